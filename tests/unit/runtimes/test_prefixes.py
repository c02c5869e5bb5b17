from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmkit.runtimes import Score, _scoring
from llmkit.runtimes._prefixes import Prefix, shared_prefixes, shares_alike
from llmkit.runtimes.transformers import InMemory
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()


def test_rows_with_a_common_beginning_are_grouped():
    one, two = (1,) * 40, (2,) * 50
    rows = [(*one, 5), (9, 9), (*two, 1, 2), (*one, 6, 7), (*two, 1, 3), one]
    assert shared_prefixes(rows) == [Prefix(40, (5, 0, 3)), Prefix(51, (2, 4))]


def test_a_long_prefix_of_two_is_not_given_up_for_a_third_that_shares_little():
    rows = [(1,) * 32 + (2,) * 100 + (n,) for n in (3, 4)] + [(1,) * 32 + (5,) * 100]
    assert shared_prefixes(rows) == [Prefix(132, (0, 1))]
    many = [*rows, *((1,) * 32 + (5 + n,) * 100 for n in range(1, 9))]
    assert shared_prefixes(many) == [Prefix(132, (0, 1)), Prefix(32, tuple(range(2, 11)))]


@given(st.lists(st.lists(st.integers(0, 1), max_size=8).map(tuple), max_size=12))
def test_members_do_begin_with_what_their_group_shares(rows):
    found = shared_prefixes(rows, least=2)
    members = [number for prefix in found for number in prefix.members]
    assert len(members) == len(set(members))
    for prefix in found:
        assert prefix.length >= 2
        assert len(prefix.members) >= 2
        assert len({rows[number][: prefix.length] for number in prefix.members}) == 1
        assert all(len(rows[number]) >= prefix.length for number in prefix.members)


def sharp(arch, **settings):
    """A model whose hidden states depend on every token that they may see: new weights are too small for that."""
    built = model(arch, vocab_size=len(TOKENIZER), **settings)
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.mul_(10)
    return built


def requests():
    generator = torch.Generator().manual_seed(1)

    def ids(count):
        return tuple(torch.randint(256, (count,), generator=generator).tolist())

    asked = [Score((*prefix, *ids(more)), ids(more + 1)) for prefix in (ids(40), ids(57)) for more in (1, 4, 9)]
    asked += [Score(ids(12), ids(5)), Score(asked[0].context, ids(1)), Score(asked[0].context, asked[0].target)]
    return [asked[i] for i in torch.randperm(len(asked), generator=generator)]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_scores_behind_shared_prefixes_are_those_of_each_row_alone(arch):
    running, asked = InMemory(sharp(arch), TOKENIZER), requests()
    with torch.inference_mode():
        assert len(_scoring._shared(running, asked)) == 8
    alone = [running.answer([one])[0] for one in asked]
    assert running.answer(asked) == pytest.approx(alone, rel=1e-6)


def test_what_is_shared_is_computed_once():
    running, asked = InMemory(sharp("llama"), TOKENIZER), requests()
    assert running.shares_prefixes
    seen = []
    running.model.get_decoder().register_forward_hook(
        lambda *args: seen.append(tuple(args[2]["input_ids"].shape)), with_kwargs=True
    )
    with torch.inference_mode():
        _scoring._shared(running, asked)
    assert seen[0] == (2, 57)
    assert seen[1][0] == 8
    assert seen[1][1] <= 19


@pytest.mark.parametrize(("arch", "settings"), [("mistral", {"sliding_window": 8}), ("gemma2", {"sliding_window": 8})])
def test_caches_that_forget_are_not_shared(arch, settings):
    built = model(arch, vocab_size=len(TOKENIZER), **settings)
    assert not shares_alike(built, 64)
    running, asked = InMemory(built, TOKENIZER), requests()
    alone = [running.answer([one])[0] for one in asked]
    assert running.answer(asked) == pytest.approx(alone, rel=1e-6)


LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 48,
    "short_factor": [1.0] * 4, "long_factor": [1.0, 2.0, 4.0, 8.0],
}  # fmt: skip
NEO = {
    "attention_types": [[["global", "local"], 1]], "num_layers": 2, "num_heads": 2, "window_size": 8,
    "bos_token_id": None, "eos_token_id": None, "max_position_embeddings": 256,
}  # fmt: skip


@pytest.mark.parametrize(
    ("arch", "settings", "asked"),
    [
        ("gpt_neo", NEO, requests()),
        (
            "llama", {"max_position_embeddings": 192, "rope_parameters": LONGROPE},
            [Score((*one.context, *range(12)), one.target) for one in requests() if 40 < len(one.context) < 50],
        ),
    ],
)  # fmt: skip
def test_models_that_compute_long_rows_otherwise_do_not_share(arch, settings, asked):
    """What short rows do not show: a window counted in places of the cache, and angles that change at a length."""
    running = InMemory(sharp(arch, **settings), TOKENIZER)
    assert not running.shares_prefixes
    alone = [running.answer([one])[0] for one in asked]
    assert running.answer(asked) == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize(
    ("arch", "settings"), [("llama", {"max_position_embeddings": 64, "window_size": 64}), ("qwen3", {"head_dim": 8})]
)
def test_a_window_that_is_switched_off_or_as_long_as_the_model_is_none(arch, settings):
    assert InMemory(sharp(arch, **settings), TOKENIZER).shares_prefixes


def test_a_model_that_answers_otherwise_behind_a_cache_is_found(monkeypatch):
    built = sharp("llama")
    assert shares_alike(built, 64)
    body = built.get_decoder()
    whole = body.forward

    def ignoring(*, position_ids=None, **inputs):
        return whole(position_ids=None, **inputs)

    monkeypatch.setattr(body, "forward", ignoring)
    assert not shares_alike(built, 64)
