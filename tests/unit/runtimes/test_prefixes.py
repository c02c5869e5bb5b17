from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llmkit.runtimes import Score, _sharing
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._prefixes import Tree, families
from llmkit.runtimes._sharing import Beginnings, hidden_of, shares_alike
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()
ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple), min_size=1, max_size=12)


def test_rows_that_begin_like_the_one_before_them_are_a_family():
    one, two = (1,) * 40, (2,) * 50
    rows = [(*one, 5), (9, 9), (*two, 1, 2), (*one, 6, 7), (*two, 1, 3), one, (1, 0, 0, 0, 0, 0)]
    assert families(rows) == [[(5, 0), (0, 40), (3, 40)], [(2, 0), (4, 51)]]


def test_a_tree_has_what_is_shared_once_at_every_level():
    shots, questions = (7,) * 5, [(1, 2), (3,)]
    rows = [(*shots, *question, *choice) for question in questions for choice in ((4, 4), (5,))]
    tree = Tree.of(rows)
    assert len(tree.ids) == 5 + (2 + 3) + (1 + 3)
    assert tree.root == 5
    assert tree.places.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 7, 5, 6, 7, 6]
    seen = tree.seen()
    assert seen[:5].sum(1).tolist() == [1, 2, 3, 4, 5]
    assert np.flatnonzero(seen[9]).tolist() == [0, 1, 2, 3, 4, 5, 6, 9], "the second choice sees the first not"
    assert np.flatnonzero(seen[13]).tolist() == [0, 1, 2, 3, 4, 10, 13]
    assert tree.seen(9).shape == (5, 14)


@given(ROWS)
def test_every_path_of_a_tree_is_its_row_and_sees_itself_alone(rows):
    tree = Tree.of(rows)
    seen = tree.seen()
    assert len(tree.ids) == len({row[: end + 1] for row in rows for end in range(len(row))}), "one token a beginning"
    for row, path in zip(rows, tree.paths, strict=True):
        assert tuple(tree.ids[path].tolist()) == row
        assert tree.places[path].tolist() == list(range(len(row)))
        for end in range(len(row)):
            assert np.flatnonzero(seen[path[end]]).tolist() == path[: end + 1].tolist()
    assert len({row[: tree.root] for row in rows}) == 1


@given(ROWS, st.integers(0, 8))
def test_rows_of_branches_hold_every_token_once_and_all_that_it_sees(rows, begin):
    tree = Tree.of(rows)
    begin = min(begin, tree.root)
    found = tree.side_by_side(begin)
    if found is None:
        return
    assert len(found) > 1
    count = len(tree.ids)
    shared = list(range(begin, tree.root))
    assert all(row[: len(shared)].tolist() == shared for row in found)
    own = [number for row in found for number in row[len(shared) :].tolist() if number < count]
    assert sorted(own) == list(range(tree.root, count)), "each once"
    assert found.size <= 1.1 * (count - begin), "hardly anything is padded or repeated"
    for path in tree.paths:
        for number in path[tree.root :].tolist():
            (row,) = (row for row in found.tolist() if number in row)
            seen = [one for one in path.tolist() if begin <= one <= number]
            assert [one for one in row if one in seen] == seen, "what it sees is in its row, in order"


def test_branches_fill_rows_and_repeat_what_all_begin_with():
    rows = [(7, *[first] * size) for first, size in ((1, 20), (2, 12), (3, 8), (4, 19))]
    tree = Tree.of(rows)
    found = tree.side_by_side()
    assert tree.root == 1
    assert found.shape == (3, 21)
    assert tree.ids[found[0]].tolist() == [7] + [1] * 20
    assert found[1].tolist()[-1] == len(tree.ids), "padding"
    assert tree.ids[found[2]].tolist() == [7] + [2] * 12 + [3] * 8
    assert Tree.of(rows[:1] + rows[2:3]).side_by_side() is None, "half of the second row would be empty"
    assert Tree.of([(7, *row) for row in rows]).side_by_side(2).shape == (3, 20)
    assert Tree.of([(*[7] * 40, *row) for row in rows]).side_by_side(40) is None, "each row behind more than its own"


@given(ROWS)
def test_members_of_a_family_share_what_is_said(rows):
    found = families(rows)
    members = [number for family in found for number, _ in family]
    assert len(members) == len(set(members))
    for family in found:
        assert len(family) >= 2
        assert family[0][1] == 0
        for (before, _), (number, shared) in pairwise(family):
            assert 0 < shared <= min(len(rows[before]), len(rows[number]))
            assert rows[before][:shared] == rows[number][:shared]


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
def test_scores_of_rows_in_a_tree_are_those_of_each_row_alone(arch):
    running, asked = InMemory(sharp(arch), TOKENIZER), requests()
    assert running.shares_prefixes
    alone = [running.answer([one])[0] for one in asked]
    assert running.answer(asked) == pytest.approx(alone, rel=1e-6)


def few_shot(shots=70, questions=3):
    """Shots, then questions, then choices: of choices that are one token long only the last differs."""
    generator = torch.Generator().manual_seed(2)

    def ids(count):
        return tuple(torch.randint(256, (count,), generator=generator).tolist())

    begin = ids(shots)
    return [
        Score((*begin, *question), choice)
        for question in (ids(11 + n) for n in range(questions))
        for choice in (ids(1), ids(1), ids(4), ids(9))
    ]


@pytest.mark.parametrize("arch", ["llama", "gpt2"])
def test_what_is_shared_is_computed_once_and_kept_for_the_next_batch(arch, monkeypatch):
    monkeypatch.setattr(_sharing, "APART", 64)
    running = InMemory(sharp(arch), TOKENIZER, frozen=True)
    first, second = few_shot()[:8], few_shot()[8:]
    alone = [running.answer([one])[0] for one in (*first, *second)]
    assert running.shares_prefixes
    seen = []
    running.model.get_decoder().register_forward_hook(
        lambda *args: seen.append(args[2]["input_ids"].shape[1]), with_kwargs=True
    )
    heads = []
    running.model.get_output_embeddings().register_forward_hook(lambda *args: heads.append(len(args[2])))
    found = running.answer(first) + running.answer(second)
    assert found == pytest.approx(alone, rel=1e-6)
    assert seen == [70, 11 + 12 + 2 * (3 + 8), 13 + 3 + 8], "the shots, two questions with their choices, the third"
    assert heads == [2 * (1 + 3 + 8), 1 + 3 + 8], "the first ids of all choices need the same logits"


def test_beginnings_are_kept_within_bounds():
    kept = Beginnings(most=3 * 40 * 8)
    one = tuple(range(40))
    layers = ((torch.arange(40.0)[None, None, :, None], torch.zeros(1, 1, 40, 1)),)
    kept.keep(one[:20], layers)
    assert kept.find(one) == (0, ()), "too short to be worth it"
    kept.keep(one, layers)
    length, found = kept.find((*one[:35], 99, 98))
    assert length == 35
    assert found[0][0].flatten().tolist() == list(range(35))
    for number in range(1, 5):
        kept.keep((number, *one[1:]), layers)
    assert kept.find(one)[0] == 0, "the oldest is gone"
    assert kept.find((4, *one[1:]))[0] == 40
    kept.keep(tuple(range(500)), ((torch.zeros(1, 1, 500, 1), torch.zeros(1, 1, 500, 1)),))
    assert kept.find(tuple(range(500)))[0] == 0, "what is too large is not kept"


def test_a_model_whose_weights_may_change_keeps_nothing():
    running = InMemory(sharp("llama"), TOKENIZER)
    asked = few_shot()[:8]
    before = running.answer(asked)
    with torch.no_grad():
        running.model.get_decoder().layers[0].self_attn.q_proj.weight.mul_(2)
    alone = [running.answer([one])[0] for one in asked]
    assert running.answer(asked) == pytest.approx(alone, rel=1e-6)
    assert before != pytest.approx(alone, rel=1e-3)


def test_hidden_states_behind_a_kept_beginning_are_those_of_the_whole_tree():
    running = InMemory(sharp("llama"), TOKENIZER)
    tree = Tree.of([(*one.context, *one.target[:-1]) for one in few_shot()])
    kept = Beginnings()
    with torch.inference_mode():
        whole, start, _ = hidden_of(running.model, tree, root=tree.root, beginnings=kept)
        rest, begin, _ = hidden_of(running.model, tree, root=tree.root, beginnings=kept)
    assert (start, begin) == (0, 70)
    torch.testing.assert_close(rest, whole[70:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("begin", [0, 40])
@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_branches_side_by_side_are_computed_as_in_one_row(arch, begin, monkeypatch):
    built = sharp(arch)
    generator = torch.Generator().manual_seed(3)
    sizes = (50, 48, 30, 18)
    branches = [torch.randint(256, (size,), generator=generator).tolist() for size in sizes]
    rows = [(*range(begin or 2), *branch[:-3], *end) for branch in branches for end in ([1, 2, 3], [4, 5])]
    tree = Tree.of(rows)
    asked = []
    built.get_decoder().register_forward_hook(lambda *args: asked.append(args[2]["input_ids"].shape), with_kwargs=True)
    with torch.inference_mode():
        known = Beginnings()
        if begin:
            hidden_of(built, Tree.of([(*rows[0][:begin], 9)]), root=begin, beginnings=known)
        hidden, start, layers = hidden_of(built, tree, root=tree.root, beginnings=known)
        monkeypatch.setattr(Tree, "side_by_side", lambda *_: None)
        whole, _, wanted = hidden_of(built, tree, root=tree.root, beginnings=known)
    assert start == begin
    assert asked[-2][0] == 3, "30 and 18 in a row"
    assert asked[-1][0] == 1
    torch.testing.assert_close(hidden, whole, rtol=1e-4, atol=1e-5)
    for pair, other in zip(layers, wanted, strict=True):
        torch.testing.assert_close(pair, other, rtol=1e-4, atol=1e-5)


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
