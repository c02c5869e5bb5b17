"""Whether a model stops is asked with prompts of held-out rows."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from llmkit.core.console import Console
from llmkit.data.packing import IGNORED
from llmkit.training import stops
from llmkit.training.stops import PROMPTS, Probe, prober
from tiny import byte_tokenizer, encoded, model

N = IGNORED


def row(prompt, answer, after=()):
    return [*prompt, *answer, *after], [*[N] * (len(prompt) - 1), *answer, *[N] * (len(after) + 1)]


def test_prompts_end_where_the_last_answer_begins():
    talk = [1, 5, 6, 2, 5, 7, 8, 2, 9], [N, 6, 2, N, 7, 8, 2, N, N]
    probe = Probe.of(encoded([row([1, 5], [6, 2], [9]), talk, ([4], [N])]), 64)
    assert probe.prompts == [[1, 5], [1, 5, 6, 2, 5]]
    assert probe.budget == 16  # at least; else twice the longest answer


def test_the_budget_follows_the_answers_and_the_room():
    long = encoded([row([1] * 50, [5] * 40)])
    assert Probe.of(long, 1000).budget == 80
    probe = Probe.of(long, 60)
    assert probe.budget == 59
    assert probe.prompts == [[1]]
    assert Probe.of(encoded([row([1], [5] * 400)]), 1000).budget == stops.LONGEST
    assert Probe.of(encoded([([4], [N])]), 64) is None
    assert Probe.of(encoded([]), 64) is None
    assert len(Probe.of(encoded([row([1, i], [2]) for i in range(50)]), 64).prompts) == PROMPTS


@pytest.mark.parametrize("ends", [True, False])
def test_a_model_that_writes_the_end_stops_and_one_that_does_not_is_warned_of(ends, capsys):
    tokenizer = byte_tokenizer()
    llama = model("llama", vocab_size=len(tokenizer), tie_word_embeddings=False, pad_token_id=None)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>") if ends else 65
    with torch.no_grad():
        llama.lm_head.weight.zero_()
        llama.model.norm.weight.zero_()
    bias = torch.nn.Linear(16, len(tokenizer))
    with torch.no_grad():
        bias.weight.zero_()
        bias.bias.zero_()
        bias.bias[end] = 1
    llama.lm_head = bias
    llama.train()
    rows = encoded([row([70, 71], [72, 259])] * 3)
    ask = prober(llama, tokenizer, rows, [tokenizer.convert_tokens_to_ids("<|im_end|>")], 64, Console())
    assert ask(torch.float32) == {"stops": {"prompts": 3, "ended": 3 if ends else 0, "max_new_tokens": 16}}
    assert ("3 of 3 answers to held-out prompts do not end within 16 tokens" in capsys.readouterr().err) != ends
    assert llama.training


def test_a_model_that_cannot_be_asked_is_no_error(capsys):
    class Broken(SimpleNamespace):
        training = False

        def eval(self): ...
        def train(self, _mode): ...

    probe = Probe([[1]], 16)
    assert probe.ask(Broken(config=None), byte_tokenizer(), [0], torch.float32, Console()) == {}
    assert "could not be found out" in capsys.readouterr().err
