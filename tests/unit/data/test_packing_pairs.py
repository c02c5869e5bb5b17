from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from corpora import InMemory, assert_equal, real, seeds, whole_epoch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.packing import PairPacker
from llmkit.data.packing.pairs import _borders


def numbered(lengths):
    """Documents of sentences of given lengths; token 1000 * d + i is the i-th of document d."""
    documents = [[1000 * d + i for i in range(sum(sentences))] for d, sentences in enumerate(lengths)]
    return InMemory(documents, [np.cumsum([0, *sentences])[:-1].tolist() for sentences in lengths])


def pairs(lengths, context_length, *, seed=None, **options):
    return PairPacker(numbered(lengths), context_length, seed=seed, **options)


def halves(batch):
    """The two parts of each block."""
    found = []
    for ids, positions, num_tokens in zip(batch.input_ids, batch.position_ids, batch.num_tokens, strict=True):
        first, second = np.flatnonzero(positions[:num_tokens] == 0)
        assert positions[:num_tokens].tolist() == [*range(second), *range(num_tokens - second)]
        assert first == 0 < second
        found.append((ids[:second].tolist(), ids[second:num_tokens].tolist()))
    return found


def consecutive(ids):
    return ids == list(range(ids[0], ids[0] + len(ids)))


corpora = st.lists(st.lists(st.integers(1, 12), max_size=6), min_size=1, max_size=8).filter(
    lambda documents: sum(sum(sentences) >= 2 for sentences in documents) >= 2
)


def test_the_example_of_the_module():
    tokens = InMemory([[1, 2, 3, 4, 5, 6, 7, 8, 9]], [[0, 2, 3, 5]])
    splits = set()
    for source in range(20):
        batch = whole_epoch(PairPacker(tokens, 6, short_fraction=0, seed=None, source=source))
        assert batch.input_ids.tolist() == [[1, 2, 3, 4, 5, 0], [6, 7, 8, 9, 0, 0]]
        assert batch.position_ids[1].tolist() == [0, 1, 0, 1, 0, 1]
        assert batch.num_tokens.tolist() == [5, 4]
        assert batch.follows.tolist() == [1, 1]
        splits.add(tuple(batch.position_ids[0].tolist()))
    assert splits == {(0, 1, 0, 1, 2, 0), (0, 1, 2, 0, 1, 0)}


def test_a_sentence_longer_than_a_block_is_cut_into_pieces_of_one():
    batch = whole_epoch(pairs([[11]], 4, short_fraction=0))
    assert halves(batch) == [([0, 1], [2, 3]), ([4, 5], [6, 7]), ([8], [9, 10])]


def test_borders_are_sentences_documents_and_cuts():
    assert _borders(numbered([[3, 2], [], [9], [1]]), 4).tolist() == [0, 3, 5, 9, 13, 14, 15]


def test_a_single_token_makes_no_pair_and_is_counted_as_lost():
    packer = pairs([[1], [4], [1]], 4)
    assert halves(whole_epoch(packer)) == [([1000, 1001], [1002, 1003])]
    assert packer.lost(0) == 2


@settings(deadline=None)
@given(corpora, st.integers(2, 9), st.booleans(), st.sampled_from([0.0, 0.5, 1.0]), seeds, st.integers(0, 3))
def test_every_token_is_an_input_once_but_what_is_lost(lengths, context_length, random_second, short, seed, epoch):
    packer = pairs(lengths, context_length, random_second=random_second, short_fraction=short, seed=seed)
    batch = whole_epoch(packer, epoch)
    found = Counter(batch.input_ids[real(batch)].tolist())
    stored = [1000 * d + i for d, sentences in enumerate(lengths) for i in range(sum(sentences))]
    assert set(found) <= set(stored)
    assert max(found.values()) == 1
    assert len(found) == len(stored) - packer.lost(epoch)


@settings(deadline=None)
@given(corpora, st.integers(2, 9), st.booleans(), seeds, st.integers(0, 3))
def test_parts_are_runs_of_a_document_and_follow_unless_marked(lengths, context_length, random_second, seed, epoch):
    packer = pairs(lengths, context_length, random_second=random_second, short_fraction=0.3, seed=seed)
    batch = whole_epoch(packer, epoch)
    for (first, second), follows in zip(halves(batch), batch.follows, strict=True):
        assert consecutive(first)
        assert consecutive(second)
        if follows:
            assert consecutive(first + second)
        else:
            assert random_second
            assert first[0] // 1000 != second[0] // 1000
            assert len(first) + len(second) <= context_length


@settings(deadline=None)
@given(corpora, st.integers(2, 9), seeds, st.integers(0, 3))
def test_pairs_begin_and_split_between_sentences(lengths, context_length, seed, epoch):
    packer = pairs(lengths, context_length, short_fraction=0.3, seed=seed)
    borders = set()
    for d, sentences in enumerate(lengths):
        at = 1000 * d
        for size in sentences:
            borders |= {*range(at, at + size, context_length)}
            at += size
        borders.add(at)
    for first, second in halves(whole_epoch(packer, epoch)):
        end = second[-1] + 1
        assert {first[0], end} <= borders
        within = borders & {*range(first[0] + 1, end)}
        middle = first[0] + (end - first[0]) // 2
        assert second[0] in (within or {middle}), "between sentences, or in the middle of the only one"


def test_full_pairs_take_as_many_sentences_as_fit():
    # 3 + 3 fit into 8, and the third would make 9; 2 + 5 fit into 8; the last is alone.
    batch = whole_epoch(pairs([[3, 3, 3, 5, 4]], 8, short_fraction=0))
    assert batch.num_tokens.tolist() == [6, 8, 4]


def test_short_targets():
    # Sentences of one token: a pair is as long as its target, 8, or one of 2 to 8, each as often.
    counts = Counter(whole_epoch(pairs([[1] * 20_000], 8, short_fraction=0.5, seed=0)).num_tokens.tolist())
    total = sum(counts.values())
    assert set(counts) <= set(range(1, 9))
    assert counts[8] / total == pytest.approx(0.5 + 0.5 / 7, abs=0.03)
    for length in range(2, 8):
        assert counts[length] / total == pytest.approx(0.5 / 7, abs=0.02)


def test_half_of_the_second_parts_come_from_elsewhere():
    lengths = [[3, 2, 4, 3] for _ in range(500)]
    packer = pairs(lengths, 6, random_second=True, seed=1)
    batch = whole_epoch(packer)
    assert batch.follows.mean() == pytest.approx(0.5, abs=0.01)
    assert whole_epoch(pairs(lengths, 6, seed=1)).follows.all()


def test_parts_of_equal_length_are_exchanged():
    # Second parts of 7 and of 1: at most one of 7 replaces one of 1, behind a first part of 7, and loses 6.
    for seed in range(5):
        packer = pairs([[1, 7], [7, 1]] * 200, 8, random_second=True, short_fraction=0, seed=seed)
        assert packer.lost(0) in {0, 6}
        assert (whole_epoch(packer).follows == 0).sum() >= 199


def test_an_exchanged_part_that_is_too_long_is_cut():
    # One pair of two parts of 1 and 7, one of 7 and 1 tokens: exchanged, the second pair would be 14 long.
    lengths, cut = [[1, 7], [7, 1]] * 4, 0
    for seed in range(20):
        packer = pairs(lengths, 8, random_second=True, short_fraction=0, seed=seed)
        batch = whole_epoch(packer)
        assert packer.lost(0) == 64 - batch.num_tokens.sum()
        cut += packer.lost(0) > 0
        for (first, second), follows in zip(halves(batch), batch.follows, strict=True):
            whole = 7 if second[0] % 1000 == 1 else 1
            assert len(second) == min(whole, 8 - len(first)), "from its start"
            assert follows or first[0] // 1000 != second[0] // 1000
    assert cut


def test_pairs_of_one_document_keep_their_second_parts():
    # Of 21 documents' 40 pairs 20 are one document's; the others can take at most as many.
    lengths = [[2] * 40, *[[2, 2]] * 20]
    for seed in range(5):
        batch = whole_epoch(pairs(lengths, 4, random_second=True, short_fraction=0, seed=seed))
        exchanged = [pair for pair, follows in zip(halves(batch), batch.follows, strict=True) if not follows]
        assert exchanged
        assert all(first[0] // 1000 != second[0] // 1000 for first, second in exchanged)


def test_blocks_are_a_function_of_seed_source_and_epoch():
    lengths = [[1 + (d + s) % 4 for s in range(d % 7)] for d in range(60)]

    def epoch_of(seed, source, epoch):
        return whole_epoch(pairs(lengths, 6, random_second=True, seed=seed, source=source), epoch)

    assert_equal(epoch_of(3, 1, 2), epoch_of(3, 1, 2))
    others = [epoch_of(*key).input_ids.tobytes() for key in [(3, 1, 2), (4, 1, 2), (3, 0, 2), (3, 1, 1)]]
    assert len(set(others)) == 4
    packer = pairs(lengths, 6, random_second=True, seed=3, source=1)
    last = whole_epoch(packer, 2)
    whole_epoch(packer, 0)
    assert_equal(packer.blocks(2, [5, 1]), last.take(np.array([5, 1])))


def test_without_a_seed_every_epoch_is_the_same_in_the_given_order():
    packer = pairs([[2, 3, 4]] * 5, 6)
    batch = whole_epoch(packer)
    assert_equal(batch, whole_epoch(packer, 4))
    assert (np.diff(batch.input_ids[:, 0]) > 0).all()


def test_the_documents_of_both_parts_are_named():
    packer = pairs([[2, 2]] * 8, 4, random_second=True, seed=0)
    batch = whole_epoch(packer)
    for index, (first, second) in enumerate(halves(batch)):
        assert packer.documents(0, [index]).tolist() == sorted({first[0] // 1000, second[0] // 1000})
    assert packer.names(np.array([3, 5])) == ["d3", "d5"]


def test_what_cannot_be_paired_is_refused():
    with pytest.raises(ConfigError, match="two parts of a pair need a token each, and room is left for 1") as caught:
        pairs([[5]], 1)
    assert caught.value.hint == "raise context_length"
    with pytest.raises(DataError, match="no document with two tokens"):
        pairs([[1], [1]], 4)
    with pytest.raises(DataError, match="there are no tokens to pack"):
        pairs([[], []], 4)
    with pytest.raises(DataError, match="there is only one document") as caught:
        pairs([[5], [1]], 4, random_second=True, seed=0)
    assert caught.value.hint == "split the corpus into documents, or use sentence_order"
    held_out = pairs([[5], [1]], 6, random_second=True)
    assert whole_epoch(held_out).follows.tolist() == [1], "validation takes what there is"
