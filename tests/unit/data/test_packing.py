from __future__ import annotations

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.data.order import Order
from llmkit.data.packing import Batch, RowPacker, StreamPacker
from llmkit.data.token_reader import TokenSplit
from llmkit.data.tokens import TokenShardWriter

X = -100
FIELDS = ("input_ids", "labels", "position_ids", "num_tokens")


class InMemory:
    def __init__(self, documents):
        self.offsets = np.cumsum([0, *map(len, documents)], dtype=np.int64)
        self._flat = np.array([*chain(*documents)], dtype=np.int64)

    def gather(self, positions):
        return self._flat[positions]


def stream(documents, context_length=4, *, prefix=(1,), suffix=(2,), seed=None, **options):
    return StreamPacker(InMemory(documents), context_length, prefix=prefix, suffix=suffix, seed=seed, **options)


def whole_epoch(packer, epoch=0):
    return packer.blocks(epoch, np.arange(packer.num_blocks(epoch)))


def assert_equal(left, right):
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def test_three_documents_with_specials():
    # virtual sequence: 1 7 8 9 | 2 1 5 2 | 1 3 4 2, documents [7 8 9], [5], [3 4]
    batch = whole_epoch(stream([[7, 8, 9], [5], [3, 4]]))
    assert batch.input_ids.tolist() == [[1, 7, 8, 9], [2, 1, 5, 2], [1, 3, 4, 2]]
    assert batch.labels.tolist() == [[7, 8, 9, 2], [X, 5, 2, X], [3, 4, 2, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 0, 1, 2], [0, 1, 2, 3]]
    assert batch.num_tokens.tolist() == [4, 4, 4]
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
    for build in (lambda: stream([[], []]), lambda: RowPacker([([], [])], 4, seed=0), lambda: RowPacker([], 4, seed=0)):
        with pytest.raises(DataError, match="to pack"):
            build()


def test_the_order_is_the_documented_draw():
    documents = [[10 + i] * (i + 1) for i in range(7)]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([5, 3, 2])))
    permuted = [documents[i] for i in generator.permutation(7)]
    expected = whole_epoch(stream(permuted))
    blocks = generator.permutation(expected.input_ids.shape[0])
    batch = whole_epoch(stream(documents, seed=5, source=2), epoch=3)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(batch, name), getattr(expected, name)[blocks])


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
        assert_equal(fresh, Batch(*(getattr(epochs[epoch], name)[index : index + 1] for name in FIELDS)))
        assert_equal(fresh, walked.block(epoch, index))


@pytest.mark.parametrize("index", [-1, 3])
def test_blocks_outside_the_epoch_are_errors(index):
    with pytest.raises(IndexError, match="of epoch 0, which has 3"):
        stream([[7, 8, 9], [5], [3, 4]]).block(0, index)


def test_two_shards_equal_one_shard(tmp_path):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 1000, rng.integers(0, 30)) for _ in range(50)]
    for name, limit in [("one", 1 << 20), ("many", 500)]:
        writer = TokenShardWriter(tmp_path / name, vocab_size=1000, max_shard_bytes=limit)
        for i, ids in enumerate(documents):
            writer.append("train", id=str(i), source="", language="", num_bytes=1, input_ids=ids)
        writer.finish()
    one, many = TokenSplit(tmp_path / "one", "train"), TokenSplit(tmp_path / "many", "train")
    assert len(one.shards) == 1 < len(many.shards)
    for seed in (None, 3):
        packers = [StreamPacker(tokens, 16, prefix=[1], suffix=[2], seed=seed) for tokens in (one, many)]
        assert_equal(*(whole_epoch(packer, 1) for packer in packers))
    memory = stream([ids.tolist() for ids in documents], 16, seed=3)
    assert_equal(whole_epoch(packers[1], 1), whole_epoch(memory, 1))


corpora = st.lists(st.lists(st.integers(10, 99), max_size=12), min_size=1, max_size=8).filter(any)
specials = st.lists(st.integers(1, 9), max_size=2)


@settings(deadline=None)
@given(corpora, st.tuples(specials, specials), st.integers(1, 9), st.none() | st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_inputs_every_position_and_targets_every_non_first_one_once(
    documents, ends, context_length, seed, epoch
):
    prefix, suffix = ends
    packer = stream(documents, context_length, prefix=prefix, suffix=suffix, seed=seed)
    batch = whole_epoch(packer, epoch)
    wrapped = [[*prefix, *ids, *suffix] for ids in documents if ids]
    real = np.arange(context_length) < batch.num_tokens[:, None]
    assert Counter(batch.input_ids[real].tolist()) == Counter(chain(*wrapped))
    assert Counter(batch.labels[batch.labels != X].tolist()) == Counter(chain(*(ids[1:] for ids in wrapped)))
    assert (batch.labels[~real] == X).all()
    # Every (input, target) pair are neighbours in one document, and there are no others.
    pairs = Counter(
        zip(batch.input_ids[batch.labels != X].tolist(), batch.labels[batch.labels != X].tolist(), strict=True)
    )
    assert pairs == Counter(pair for ids in wrapped for pair in pairwise(ids))


@settings(deadline=None)
@given(corpora, st.integers(1, 9))
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
    batch = whole_epoch(RowPacker(ROWS, 4, seed=None, pad_id=50))
    assert batch.input_ids.tolist() == [[1, 2, 3, 50], [4, 5, 7, 50], [9, 9, 9, 9], [6, 50, 50, 50]]
    assert batch.labels.tolist() == [[2, 3, X, X], [X, 6, 8, X], [1, 2, 3, 4], [X, X, X, X]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 0], [0, 1, 0, 0], [0, 1, 2, 3], [0, 0, 1, 2]]
    assert batch.num_tokens.tolist() == [3, 3, 4, 1]
    assert {getattr(batch, name).dtype for name in FIELDS} == {np.dtype(np.int64)}


def test_rows_are_permuted_by_seed_and_epoch():
    rows = [([10 + i] * (i % 4 + 1), [i] * (i % 4 + 1)) for i in range(30)]
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([7, 2, 1])))
    expected = RowPacker([rows[i] for i in generator.permutation(30)], 8, seed=None)
    packer = RowPacker(rows, 8, seed=7, source=1)
    whole_epoch(packer, 0)
    assert_equal(whole_epoch(packer, 2), whole_epoch(expected))
    assert whole_epoch(packer, 1).input_ids.tolist() != whole_epoch(packer, 2).input_ids.tolist()


def test_a_row_longer_than_a_block_is_named():
    with pytest.raises(DataError, match="row 1 has 5 tokens, but context_length is 4") as caught:
        RowPacker([([1], [1]), ([1] * 5, [1] * 5)], 4, seed=0)
    assert caught.value.hint == "make room for it: --set context_length=5"


def test_rows_with_labels_of_another_length_are_a_bug():
    with pytest.raises(ValueError, match="differ in length"):
        RowPacker([([1, 2], [1])], 4, seed=0)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 99), st.integers(-100, 99)), max_size=6), min_size=1).filter(any),
    st.integers(6, 9),
    st.integers(0, 9),
)
def test_rows_come_out_whole_and_once(pairs, context_length, epoch):
    rows = [([a for a, _ in row], [b for _, b in row]) for row in pairs]
    batch = whole_epoch(RowPacker(rows, context_length, seed=4), epoch)
    found = Counter()
    for ids, labels, positions, num_tokens in zip(*(getattr(batch, name) for name in FIELDS), strict=True):
        starts = [*np.flatnonzero(positions[:num_tokens] == 0), num_tokens]
        for start, end in pairwise(starts):
            found[tuple(zip(ids[start:end].tolist(), labels[start:end].tolist(), strict=True))] += 1
        assert (labels[num_tokens:] == X).all()
    assert found == Counter(tuple(row) for row in pairs if row)


class Counted:
    """Epochs of 3, 1, 2, 3, 1, 2 ... blocks; a block holds its epoch and index."""

    def num_blocks(self, epoch):
        return (3, 1, 2)[epoch % 3]

    def blocks(self, epoch, indices):
        index = np.asarray(indices, dtype=np.int64)
        table = np.stack([np.full_like(index, epoch), index], axis=1)
        return Batch(table, table, table, index)


def test_order_numbers_the_blocks_of_all_epochs():
    expected = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0)]
    order = Order(Counted())
    assert [order.locate(k) for k in range(10)] == expected
    assert Order(Counted()).locate(9) == (4, 0)  # a seek
    assert [order.epoch_of(k) for k in (0, 1, 3, 4, 5, 6)] == [0, pytest.approx(1 / 3), 1, 2, 2.5, 3]


def test_order_gives_whole_batches_across_epochs_and_any_share_of_them():
    order = Order(Counted())
    assert order.batch(0, 4).input_ids.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert order.batch(1, 4).input_ids.tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    shuffled = order.blocks([7, 0, 4, 1])
    assert shuffled.input_ids.tolist() == [[3, 1], [0, 0], [2, 0], [0, 1]]
    assert shuffled.num_tokens.tolist() == [1, 0, 0, 1]
    assert order.blocks([]).input_ids.shape == (0, 2)


def test_order_over_a_real_packer_resumes_by_step():
    documents = [[10 + i] * (i % 6) for i in range(20)]
    order = Order(stream(documents, seed=1))
    num_blocks = stream(documents, seed=1).num_blocks(0)
    steps = [order.batch(step, 5) for step in range(2 * num_blocks)]  # ten epochs
    resumed = Order(stream(documents, seed=1))
    assert_equal(resumed.batch(num_blocks, 5), steps[num_blocks])
    seen = np.concatenate([step.input_ids for step in steps])
    assert seen.shape == (10 * num_blocks, 4)
    for epoch in range(10):
        batch = whole_epoch(stream(documents, seed=1), epoch)
        np.testing.assert_array_equal(seen[epoch * num_blocks : (epoch + 1) * num_blocks], batch.input_ids)
    assert resumed.blocks([]).position_ids.shape == (0, 4)
