from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from corpora import InMemory, neighbours, pieces, real, seeds, specials, texts, whole_epoch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmkit.data.packing import IGNORED, BestFitPacker, PadPacker
from llmkit.data.packing.best_fit import best_fit


def naive(sizes, capacity):
    """Best-fit-decreasing as the textbook has it: how full blocks are; of equally full ones any may be next."""
    blocks = []
    for size in sorted(sizes, reverse=True):
        fitting = [block for block in blocks if capacity - sum(block) >= size]
        if fitting:
            min(fitting, key=lambda block: capacity - sum(block)).append(size)
        else:
            blocks.append([size])
    return Counter(sum(block) for block in blocks)


def packed(sizes, capacity):
    blocks, num_blocks = best_fit(np.array(sizes, dtype=np.int64), capacity)
    return [[size for size, block in zip(sizes, blocks, strict=True) if block == b] for b in range(num_blocks)]


def test_each_piece_goes_where_least_room_is_left():
    # 7, 6 and 5 open blocks with room for 3, 4 and 5; 4 fills the second, 3 the first; the 2s fit in the third.
    assert packed([2, 7, 3, 5, 4, 6, 2], 10) == [[7, 3], [4, 6], [2, 5, 2]]


def test_equal_pieces_fill_one_block_before_the_next():
    assert packed([3, 3, 3, 3, 3], 7) == [[3, 3], [3, 3], [3]]
    # The four 5s leave room for 4 each; of the 2s two go into the first, one into the second.
    assert packed([5, 5, 5, 5, 2, 2, 2], 9) == [[5, 2, 2], [5, 2], [5], [5]]


@settings(deadline=None)
@example(([1, 1, 2, 4, 10, 12, 14], 15))  # 14, 12 + 2 and 10 + 4 are equally full when the 1s come
@given(
    st.integers(1, 40).flatmap(lambda t: st.tuples(st.lists(st.integers(1, t), min_size=1, max_size=60), st.just(t)))
)
def test_it_is_best_fit_decreasing(case):
    sizes, capacity = case
    found = packed(sizes, capacity)
    assert all(found), "no block is empty"
    assert Counter(sum(block) for block in found) == naive(sizes, capacity)


def pack(documents, context_length=4, *, prefix=(), suffix=(), seed=None, kind=BestFitPacker, **options):
    return kind(InMemory(documents), context_length, prefix=prefix, suffix=suffix, seed=seed, **options)


def test_whole_documents_and_the_rest_of_a_long_one():
    # Pieces 1 20 21 22 | 23 24 25 26 | 2, then 1 30 2 and 1 40 41 2; by size: 4, 4, 4, 3 with 1.
    batch = whole_epoch(pack([list(range(20, 27)), [30], [40, 41]], prefix=[1], suffix=[2], pad_id=9))
    assert batch.input_ids.tolist() == [[1, 20, 21, 22], [23, 24, 25, 26], [1, 40, 41, 2], [2, 1, 30, 2]]
    assert batch.labels.tolist() == [[20, 21, 22, 23], [24, 25, 26, 2], [40, 41, 2, IGNORED], [IGNORED, 30, 2, IGNORED]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3]] * 3 + [[0, 0, 1, 2]]
    assert batch.num_tokens.tolist() == [4, 4, 4, 4]


def test_the_share_of_padding():
    # 3 1 | 3 | 3 in blocks of 4 positions.
    packer = pack([[10] * 3, [11] * 3, [12] * 3, [13]], context_length=4)
    assert packer.num_blocks(0) == 3
    assert packer.padding_share(0) == pytest.approx(2 / 12)
    assert pack([[10] * 3, [11] * 3], kind=PadPacker).padding_share(0) == pytest.approx(2 / 8)


def test_pad_puts_one_piece_in_a_block():
    batch = whole_epoch(pack([[20, 21, 22, 23, 24], [], [30]], suffix=[2], kind=PadPacker, pad_id=9))
    assert batch.input_ids.tolist() == [[20, 21, 22, 23], [24, 2, 9, 9], [30, 2, 9, 9]]
    assert batch.labels.tolist() == [[21, 22, 23, 24], [2, *[IGNORED] * 3], [2, *[IGNORED] * 3]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1], [0, 1, 0, 1]]
    assert batch.num_tokens.tolist() == [4, 2, 2]


@pytest.mark.parametrize("kind", [BestFitPacker, PadPacker])
@settings(deadline=None)
@given(texts, specials, specials, st.integers(1, 9), seeds, st.integers(0, 3))
def test_every_position_is_an_input_once_and_every_one_but_a_first_a_target_once(
    kind, documents, prefix, suffix, context_length, seed, epoch
):
    packer = pack(documents, context_length, prefix=prefix, suffix=suffix, seed=seed, kind=kind)
    batch = whole_epoch(packer, epoch)
    wrapped = [[*prefix, *ids, *suffix] for ids in documents if ids]
    assert Counter(batch.input_ids[real(batch)].tolist()) == Counter(chain(*wrapped))
    assert (batch.labels[~real(batch)] == IGNORED).all()
    assert neighbours(batch) == sorted(pair for ids in wrapped for pair in pairwise(ids))


@pytest.mark.parametrize("kind", [BestFitPacker, PadPacker])
@settings(deadline=None)
@given(texts, st.integers(1, 9), seeds, st.integers(0, 3))
def test_no_document_is_cut_that_fits(kind, documents, context_length, seed, epoch):
    wrapped = [[*ids, 2] for ids in documents if ids]
    batch = whole_epoch(pack(documents, context_length, suffix=[2], seed=seed, kind=kind), epoch)
    expected = [ids[at : at + context_length] for ids in wrapped for at in range(0, len(ids), context_length)]
    found = pieces(batch)
    assert sorted(chain(*found)) == sorted(expected)
    if kind is PadPacker:
        assert {len(block) for block in found} == {1}


@pytest.mark.parametrize("kind", [BestFitPacker, PadPacker])
def test_epochs_differ_in_order_and_not_in_number(kind):
    documents = [[10 + i] * (1 + i % 5) for i in range(40)]
    packer = pack(documents, 6, seed=0, kind=kind)
    batches = [whole_epoch(packer, epoch) for epoch in range(3)]
    assert {batch.input_ids.shape for batch in batches} == {batches[0].input_ids.shape}
    assert len({batch.input_ids.tobytes() for batch in batches}) == 3
    assert len({packer.padding_share(epoch) for epoch in range(3)}) == 1
    again, other = pack(documents, 6, seed=0, kind=kind), pack(documents, 6, seed=0, source=1, kind=kind)
    assert whole_epoch(again, 2).input_ids.tobytes() == batches[2].input_ids.tobytes()
    assert whole_epoch(other, 2).input_ids.tobytes() != batches[2].input_ids.tobytes()


def test_documents_are_packed_with_others_in_another_epoch():
    documents = [[10 + i] * 3 for i in range(30)]
    packer = pack(documents, 6, seed=0)
    partners = [{frozenset(ids) for ids in whole_epoch(packer, epoch).input_ids.tolist()} for epoch in range(2)]
    assert len(partners[0]) == len(partners[1]) == 15
    assert partners[0] != partners[1]


@pytest.mark.parametrize("kind", [BestFitPacker, PadPacker])
def test_any_block_is_a_seek(kind):
    documents = [[10 + i] * (i % 6) for i in range(40)]
    whole = whole_epoch(pack(documents, seed=1, kind=kind), 2)
    for index in (7, 0, 3):
        fresh = pack(documents, seed=1, kind=kind)
        assert fresh.block(2, index).input_ids.tolist() == whole.input_ids[index : index + 1].tolist()
