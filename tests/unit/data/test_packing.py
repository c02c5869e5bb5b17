from __future__ import annotations

import re
from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from corpora import FIELDS, InMemory, assert_equal, neighbours, real, seeds, specials, texts, whole_epoch
from hypothesis import given, settings
from hypothesis import strategies as st
from written_tokens import Row, write_tokens

from llmkit.core.errors import DataError
from llmkit.data import packing
from llmkit.data.packing import Batch, BestFitPacker, PadPacker, RowPacker, StreamPacker
from llmkit.data.token_reader import TokenSplit
from tiny import encoded

X = -100


def stream(documents, context_length=4, *, prefix=(1,), suffix=(2,), seed=None, **options):
    return StreamPacker(InMemory(documents), context_length, prefix=prefix, suffix=suffix, seed=seed, **options)


@pytest.mark.parametrize(("packer", "column"), [(StreamPacker, 0), (BestFitPacker, 1), (PadPacker, 2)])
def test_the_example_of_the_package_is_what_the_code_gives(packer, column):
    lines = packing.__doc__.splitlines()
    at = next(i for i, line in enumerate(lines) if "BestFitPacker" in line)
    assert lines[at].split()[column] == packer.__name__
    batch = whole_epoch(packer(InMemory([[5], [7, 8, 9]]), 4, prefix=[1], suffix=[2], seed=None, pad_id=0))
    for line in lines[at + 1 : at + 4]:
        text, name = line.strip().removesuffix(")").rsplit("(", 1)
        shown = [block.split() for block in re.split(r"\s{3,}", text.strip())[column].split("|")]
        found = np.where(getattr(batch, name) == X, 0, getattr(batch, name)).tolist()
        assert found == [[int(value.replace(".", "0")) for value in block] for block in shown], name


def test_three_documents_with_specials():
    # virtual sequence: 1 7 8 9 | 2 1 5 2 | 1 3 4 2, documents [7 8 9], [5], [3 4]
    batch = whole_epoch(stream([[7, 8, 9], [5], [3, 4]]))
    assert batch.input_ids.tolist() == [[1, 7, 8, 9], [2, 1, 5, 2], [1, 3, 4, 2]]
    assert batch.labels.tolist() == [[7, 8, 9, 2], [X, 5, 2, X], [3, 4, 2, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 1, 2], [0, 1, 2, 3]]
    assert batch.num_tokens.tolist() == [4, 4, 4]
    assert batch.numbers.tolist() == [0, 1, 2]
    assert {getattr(batch, name).dtype for name in FIELDS} == {np.dtype(np.int64)}


def test_three_documents_without_specials_and_padding():
    # 7 8 9 5 | 3 4 . .
    batch = whole_epoch(stream([[7, 8, 9], [5], [3, 4]], prefix=(), suffix=(), pad_id=99))
    assert batch.input_ids.tolist() == [[7, 8, 9, 5], [3, 4, 99, 99]]
    assert batch.labels.tolist() == [[8, 9, X, X], [4, X, X, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0], [0, 1, 0, 1]]
    assert batch.num_tokens.tolist() == [4, 2]


def test_several_specials_cut_in_their_middle():
    # 1 2 7 8 | 9 3 4 5 | and one more position
    batch = whole_epoch(stream([[7, 8, 9]], prefix=(1, 2), suffix=(3, 4, 5, 6)))
    assert batch.input_ids.tolist() == [[1, 2, 7, 8], [9, 3, 4, 5], [6, 0, 0, 0]]
    assert batch.labels.tolist() == [[2, 7, 8, 9], [3, 4, 5, 6], [X, X, X, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert batch.num_tokens.tolist() == [4, 4, 1]


def test_a_document_longer_than_many_blocks():
    packer = stream([[50, 51], list(range(100, 120)), [60]], 3, prefix=(), suffix=(2,))
    batch = whole_epoch(packer)
    # 50 51 2 | 100 101 102 | ... | 118 119 2 | 60 2 .
    assert packer.num_blocks(0) == 9
    for i in range(1, 7):
        first = 100 + 3 * (i - 1)
        assert batch.input_ids[i].tolist() == [first, first + 1, first + 2]
        assert batch.labels[i].tolist() == [first + 1, first + 2, first + 3]
        assert batch.position_ids[i].tolist() == [0, 1, 2]
    assert batch.labels[7:].tolist() == [[119, 2, X], [2, X, X]]


def test_documents_without_tokens_are_left_out():
    with_empty = [[], [7, 8, 9], [], [], [5], []]
    assert_equal(whole_epoch(stream(with_empty)), whole_epoch(stream([[7, 8, 9], [5]])))


def test_only_empty_documents_are_an_error():
    for build in (
        lambda: stream([[], []]),
        lambda: RowPacker(encoded([([], [])]), 4, seed=0),
        lambda: RowPacker(encoded([]), 4, seed=0),
    ):
        with pytest.raises(DataError, match="to pack"):
            build()


def test_the_order_is_the_documented_draw():
    documents = [[10 + i] * (i + 1) for i in range(7)]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([5, 3, 2])))
    permuted = [documents[i] for i in generator.permutation(7)]
    expected = whole_epoch(stream(permuted))
    blocks = generator.permutation(expected.input_ids.shape[0])
    batch = whole_epoch(stream(documents, seed=5, source=2), epoch=3)
    assert_equal(batch, expected.take(blocks), but=["numbers"])
    assert batch.numbers.tolist() == list(range(blocks.size))


@pytest.mark.parametrize("change", [{"seed": 1}, {"source": 1}, {"epoch": 1}])
def test_seed_source_and_epoch_each_change_the_order(change):
    documents = [[10 + i] * 5 for i in range(20)]
    epoch = change.pop("epoch", 0)
    first = whole_epoch(stream(documents, seed=0))
    second = whole_epoch(stream(documents, **{"seed": 0, **change}), epoch)
    assert first.input_ids.tolist() != second.input_ids.tolist()
    assert sorted(first.input_ids.ravel()) == sorted(second.input_ids.ravel())


def test_without_a_seed_every_epoch_is_the_given_order():
    packer = stream([[7, 8, 9], [5], [3, 4]])
    assert_equal(whole_epoch(packer, 0), whole_epoch(packer, 9))


def test_any_block_is_a_seek():
    documents = [[10 + i] * (i % 6) for i in range(40)]
    walked = stream(documents, seed=1)
    epochs = [whole_epoch(walked, epoch) for epoch in range(3)]
    for epoch, index in [(2, 7), (0, 0), (1, 11), (2, 3)]:
        fresh = stream(documents, seed=1).block(epoch, index)
        assert fresh.input_ids.shape == (1, 4)
        assert_equal(fresh, epochs[epoch].slice(index, index + 1))
        assert_equal(fresh, walked.block(epoch, index))


@pytest.mark.parametrize("index", [-1, 3])
def test_blocks_outside_the_epoch_are_errors(index):
    with pytest.raises(IndexError, match="of epoch 0, which has 3"):
        stream([[7, 8, 9], [5], [3, 4]]).block(0, index)


def test_two_shards_equal_one_shard(tmp_path):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 1000, rng.integers(0, 30)) for _ in range(50)]
    for name, limit in [("one", 50), ("many", 7)]:
        rows = [Row(str(i), ids) for i, ids in enumerate(documents)]
        write_tokens(tmp_path / name, {"train": rows}, rows_per_shard=limit)
    one, many = TokenSplit(tmp_path / "one", "train"), TokenSplit(tmp_path / "many", "train")
    assert len(one.shards) == 1 < len(many.shards)
    for seed in (None, 3):
        packers = [StreamPacker(tokens, 16, prefix=[1], suffix=[2], seed=seed) for tokens in (one, many)]
        assert_equal(*(whole_epoch(packer, 1) for packer in packers))
    memory = stream([ids.tolist() for ids in documents], 16, seed=3)
    assert_equal(whole_epoch(packers[1], 1), whole_epoch(memory, 1))


def test_batches_are_cut_taken_and_joined_with_all_their_fields():
    batch = Batch(
        **{name: np.arange(6).reshape(3, 2) + 10 * i for i, name in enumerate(FIELDS[:3])},
        **{name: np.arange(3) + 10 * i for i, name in enumerate(["num_tokens", "numbers", "follows"], 3)},
    )
    cut, taken = batch.slice(1, 3), batch.take(np.array([2, 0]))
    assert cut.input_ids.tolist() == [[2, 3], [4, 5]]
    assert cut.position_ids.tolist() == [[22, 23], [24, 25]]
    assert [cut.num_tokens.tolist(), cut.numbers.tolist(), cut.follows.tolist()] == [[31, 32], [41, 42], [51, 52]]
    assert taken.labels.tolist() == [[14, 15], [10, 11]]
    assert [taken.num_tokens.tolist(), taken.numbers.tolist(), taken.follows.tolist()] == [[32, 30], [42, 40], [52, 50]]
    assert_equal(Batch.join([batch.slice(0, 1), cut]), batch)


@pytest.mark.parametrize("kind", [StreamPacker, BestFitPacker, PadPacker])
def test_the_documents_of_blocks_have_names(kind):
    packer = kind(InMemory([[], [10] * 6, [11], [], [12] * 3]), 4, seed=3)
    for epoch in range(3):
        batch = whole_epoch(packer, epoch)
        for index, ids in enumerate(batch.input_ids.tolist()):
            held = packer.documents(epoch, [index])
            assert held.tolist() == sorted({{10: 1, 11: 2, 12: 4}[token] for token in ids if token})
            assert packer.names(held) == [f"d{i}" for i in held]
        assert packer.documents(epoch, range(packer.num_blocks(epoch))).tolist() == [1, 2, 4]


@settings(deadline=None)
@given(texts, st.tuples(specials, specials), st.integers(1, 9), seeds, st.integers(0, 3))
def test_an_epoch_inputs_every_position_and_targets_every_non_first_one_once(
    documents, ends, context_length, seed, epoch
):
    prefix, suffix = ends
    packer = stream(documents, context_length, prefix=prefix, suffix=suffix, seed=seed)
    batch = whole_epoch(packer, epoch)
    wrapped = [[*prefix, *ids, *suffix] for ids in documents if ids]
    assert Counter(batch.input_ids[real(batch)].tolist()) == Counter(chain(*wrapped))
    assert (batch.labels[~real(batch)] == X).all()
    # Every (input, target) pair are neighbours in one document, and there are no others.
    assert neighbours(batch) == sorted(pair for ids in wrapped for pair in pairwise(ids))


@settings(deadline=None)
@given(texts, st.integers(1, 9))
def test_positions_count_within_block_and_document(documents, context_length):
    batch = whole_epoch(stream(documents, context_length, prefix=[], suffix=[2]))
    for ids, positions, num_tokens in zip(batch.input_ids, batch.position_ids, batch.num_tokens, strict=True):
        expected = []
        for t in range(context_length):
            # 2 occurs only as the suffix, so a document starts after it.
            restarts = t in (0, num_tokens) or (t < num_tokens and ids[t - 1] == 2)
            expected.append(0 if restarts else expected[-1] + 1)
        assert positions.tolist() == expected


ROWS = [([1, 2, 3], [2, 3, X]), ([4, 5], [X, 6]), ([], []), ([7], [8]), ([9, 9, 9, 9], [1, 2, 3, 4]), ([6], [X])]


def test_rows_are_packed_greedily_in_order():
    # [1 2 3] leaves no room for [4 5]; [4 5][7] leave none for four 9s.
    batch = whole_epoch(RowPacker(encoded(ROWS), 4, seed=None, pad_id=50))
    assert batch.input_ids.tolist() == [[1, 2, 3, 50], [4, 5, 7, 50], [9, 9, 9, 9], [6, 50, 50, 50]]
    assert batch.labels.tolist() == [[2, 3, X, X], [X, 6, 8, X], [1, 2, 3, 4], [X, X, X, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0], [0, 1, 0, 0], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert batch.num_tokens.tolist() == [3, 3, 4, 1]
    assert {getattr(batch, name).dtype for name in FIELDS} == {np.dtype(np.int64)}


def test_rows_are_permuted_by_seed_and_epoch():
    rows = [([10 + i] * (i % 4 + 1), [i] * (i % 4 + 1)) for i in range(30)]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, 2, 1])))
    expected = RowPacker(encoded([rows[i] for i in generator.permutation(30)]), 8, seed=None)
    packer = RowPacker(encoded(rows), 8, seed=7, source=1)
    whole_epoch(packer, 0)
    assert_equal(whole_epoch(packer, 2), whole_epoch(expected))
    assert whole_epoch(packer, 1).input_ids.tolist() != whole_epoch(packer, 2).input_ids.tolist()


def test_a_row_longer_than_a_block_is_named():
    with pytest.raises(DataError, match="row 1 has 5 tokens, but context_length is 4") as caught:
        RowPacker(encoded([([1], [1]), ([1] * 5, [1] * 5)]), 4, seed=0)
    assert caught.value.hint == "make room for it: --set context_length=5"


def test_rows_with_labels_of_another_length_are_a_bug():
    with pytest.raises(ValueError, match="differ in length"):
        RowPacker(encoded([([1, 2], [1])]), 4, seed=0)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(-100, 99)), max_size=6), min_size=1).filter(any),
    st.integers(6, 9),
    st.integers(0, 9),
)
def test_rows_come_out_whole_and_once(pairs, context_length, epoch):
    rows = [([a for a, _ in row], [b for _, b in row]) for row in pairs]
    batch = whole_epoch(RowPacker(encoded(rows), context_length, seed=4), epoch)
    found = Counter()
    for ids, labels, positions, num_tokens in zip(*(getattr(batch, name) for name in FIELDS[:4]), strict=True):
        starts = [*np.flatnonzero(positions[:num_tokens] == 0), num_tokens]
        for start, end in pairwise(starts):
            found[tuple(zip(ids[start:end].tolist(), labels[start:end].tolist(), strict=True))] += 1
        assert (labels[num_tokens:] == X).all()
    assert found == Counter(tuple(row) for row in pairs if row)
