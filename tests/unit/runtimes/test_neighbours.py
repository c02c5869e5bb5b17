from __future__ import annotations

import pytest
import torch

from llmkit.runtimes import Generate, Score, _scoring
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._neighbours import scores_alike, writes_alike
from tiny import byte_tokenizer, model

RECURRENT = {"block_types": ["recurrent", "attention"], "head_dim": 8, "lru_width": 16, "attention_window_size": 32}
ROWS = [Score((1, 2, 3), (4, 5)), Score((7,) * 9, (8, 9, 10)), Score((5,), (6,))]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_attention_knows_no_neighbours(arch):
    assert scores_alike(model(arch), 64)
    assert writes_alike(model(arch, max_position_embeddings=8), 8)


def test_a_recurrent_state_reads_the_padding_and_rows_are_run_alone():
    running = InMemory(model("recurrent_gemma", **RECURRENT), byte_tokenizer())
    assert running.alone(Generate) == "beside padded rows the model answers otherwise"
    for row, together in zip(ROWS, running.answer(ROWS), strict=True):
        assert running.answer([row]) == pytest.approx([together], rel=1e-5)
    prompts = [Generate(row.context, 4) for row in ROWS]
    assert running.answer(prompts) == [running.answer([one])[0] for one in prompts]


def test_batches_stay_where_they_change_nothing(monkeypatch):
    running = InMemory(model(), byte_tokenizer())
    widths = []
    whole = _scoring._scored
    monkeypatch.setattr(_scoring, "_scored", lambda *args: widths.append(len(args[1])) or whole(*args))
    state = torch.get_rng_state()
    running.answer(ROWS)
    assert widths == [3]
    assert not running.alone(Generate)
    assert torch.equal(state, torch.get_rng_state())
