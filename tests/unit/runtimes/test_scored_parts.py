"""Scores by parts, and what masked models say, against one plain forward pass."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from headed import WORDS, save_headed
from llmkit.evaluation.engine import Asked, Engine
from llmkit.evaluation.kept import Kept
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Fill, Generate, Score, ScoreParts, _scoring
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.transformers import Transformers
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()
REQUESTS = [
    ScoreParts((1, 2), (3, 4, 5, 6), (1, 3)),
    ScoreParts((7,), (8,), (1,)),
    ScoreParts((1, 2, 9), (3, 4, 5), (1, 1, 1)),
    ScoreParts((5, 5, 5, 5), (3, 4, 5, 9, 9, 9, 9), (2, 5)),
]


@pytest.mark.parametrize(("arch", "settings"), [("llama", {}), ("gpt2", {}), ("gemma2", {"head_dim": 8})])
def test_parts_are_those_of_one_pass_and_add_up_to_the_score(arch, settings):
    running = InMemory(model(arch, vocab_size=len(TOKENIZER), **settings), TOKENIZER)
    found = running.answer(REQUESTS)
    for request, parts in zip(REQUESTS, found, strict=True):
        ids = torch.tensor([[*request.context, *request.target]])
        with torch.inference_mode():
            logs = running.model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
        start = len(request.context)
        tokens = [float(logs[start + i - 1, target]) for i, target in enumerate(request.target)]
        ends = np.cumsum((0, *request.parts))
        expected = [sum(tokens[a:b]) for a, b in pairwise(ends)]
        assert parts.dtype == np.float64
        np.testing.assert_allclose(parts, expected, rtol=1e-5)
    whole = running.answer([Score(request.context, request.target) for request in REQUESTS])
    np.testing.assert_allclose([parts.sum() for parts in found], whole, rtol=1e-6)


def test_all_logits_of_a_long_row_are_never_there_twice(monkeypatch):
    """A model that caps its logits computes all: chances are taken of a few places at a time."""
    running = InMemory(model("gemma2", vocab_size=len(TOKENIZER), head_dim=8), TOKENIZER)
    whole = running.answer(REQUESTS)
    taken, add = [], _scoring._Targets.add

    def noted(targets, chances, *places):
        taken.append(len(chances))
        add(targets, chances, *places)

    monkeypatch.setattr(_scoring, "CHUNK_LOGITS", 2 * len(TOKENIZER))
    monkeypatch.setattr(_scoring._Targets, "add", noted)
    for parts, expected in zip(running.answer(REQUESTS), whole, strict=True):
        np.testing.assert_allclose(parts, expected, rtol=1e-6)
    assert max(taken) == 2
    assert sum(taken) == len(REQUESTS) * 10, "rows are padded to the longest"


def test_parts_behind_a_shared_beginning():
    running = InMemory(model(vocab_size=len(TOKENIZER)), TOKENIZER)
    shared = tuple(range(10, 40))
    requests = [ScoreParts((*shared, 1, i), (i, 4, 5), (2, 1)) for i in range(5)]
    together = running.answer(requests)
    alone = [running.answer([one])[0] for one in requests]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def test_parts_survive_the_disk(tmp_path):
    running = InMemory(model(vocab_size=len(TOKENIZER)), TOKENIZER)
    with Kept(tmp_path / "kept") as kept:
        (first,) = Engine(running, kept).ask([Asked(REQUESTS)])
    running.answer = None
    with Kept(tmp_path / "kept") as kept:
        (again,) = Engine(running, kept).ask([Asked(REQUESTS)])
    assert [one.tolist() for one in first] == [one.tolist() for one in again]


@pytest.fixture(scope="module", params=["bert", "distilbert", "albert", "roberta", "modernbert", "fnet"])
def masked(request, tmp_path_factory):
    more = {"distilbert": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2}, "albert": {"embedding_size": 8},
            "modernbert": {"global_attn_every_n_layers": 1, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2,
                           "eos_token_id": 3}}  # fmt: skip
    folder = tmp_path_factory.mktemp("masked") / request.param
    return Transformers().load(
        str(save_headed(folder, {"type": "masked_lm"}, request.param, **more.get(request.param, {})))
    )


def test_fills_are_those_of_a_hand_loop(masked):
    generator = torch.Generator().manual_seed(1)
    requests, expected = [], []
    for length in (4, 9, 9, 20):
        ids = torch.randint(5, len(WORDS), (length,), generator=generator).tolist()
        for places in ((1,), (0, length - 1)):
            row = list(ids)
            for place in places:
                row[place] = 4
            requests.append(Fill(tuple(row), places, tuple(ids[place] for place in places)))
            with torch.inference_mode():
                tensor = torch.tensor([row])
                logits = masked.model(input_ids=tensor, attention_mask=torch.ones_like(tensor)).logits[0]
            logs = logits.double().log_softmax(-1)
            expected.append(sum(float(logs[place, ids[place]]) for place in places))
    (found,) = Engine(masked).ask([Asked(requests)])
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_model_of_another_head_is_refused(masked, chain):
    assert masked.takes(Fill((0,), (0,), (0,))) is None
    for request in (Score((0,), (0,)), ScoreParts((0,), (0,), (1,)), Generate((0,), 1)):
        why = masked.takes(request)
        assert why.startswith("it is not a causal language model: it was saved as ")
        assert "the task pseudo_perplexity scores texts with this one" in why
    why = Transformers().load(str(chain.base)).takes(Fill((0,), (0,), (0,)))
    assert why.splitlines() == [
        "it is not a masked language model: it was saved as LlamaForCausalLM",
        "the task perplexity scores causal language models",
    ]


def test_nan_is_said(tmp_path):
    loaded = Transformers().load(str(save_headed(tmp_path / "m", {"type": "masked_lm"})))
    loaded.model.get_output_embeddings().bias.data.fill_(float("nan"))
    with pytest.raises(NotFiniteError, match=r"gives a text the log-likelihood nan"):
        loaded.answer([Fill((2, 4, 3), (1,), (9,))])
