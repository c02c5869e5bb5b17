from __future__ import annotations

import numpy as np
import pytest
from corpora import InMemory, assert_equal, of_step, whole_epoch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.data.order import Order
from llmkit.data.packing import Batch, PairPacker, StreamPacker
from tiny import rows, stream


class Epochs:
    """Epochs of given sizes, and no blocks behind them."""

    def __init__(self, *sizes):
        self.sizes, self.asked = sizes, []

    def num_blocks(self, epoch):
        self.asked.append(epoch)
        return self.sizes[epoch % len(self.sizes)]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), k=st.integers(0, 40))
def test_a_block_is_where_counting_finds_it(sizes, k):
    numbered = [(epoch, index) for epoch in range(60) for index in range(sizes[epoch % len(sizes)])]
    assert Order(Epochs(*sizes)).locate(k) == numbered[k]
    epoch, index = numbered[k]
    assert Order(Epochs(*sizes)).epoch_of(k) == pytest.approx(epoch + index / sizes[epoch % len(sizes)])


def test_sizes_are_asked_once():
    epochs = Epochs(3, 2)
    order = Order(epochs)
    for k in (11, 0, 4, 11):
        order.locate(k)
    assert epochs.asked == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("epochs", "blocks"), [(1, 10), (2, 17), (3, 27), (0.5, 5), (0.01, 1), (1.5, 14), (1.1, 11), (2.3, 20), (0.3, 3)]
)
def test_blocks_in_epochs_of_ten_and_seven(epochs, blocks):
    assert Order(Epochs(10, 7)).blocks_in(epochs) == blocks


@pytest.mark.parametrize("packer", [stream, rows])
def test_an_order_is_the_epochs_one_after_another(packer):
    order, plain = Order(packer(30)), packer(30)
    expected = [
        plain.block(epoch, index).input_ids[0].tolist()
        for epoch in range(3)
        for index in range(plain.num_blocks(epoch))
    ]
    found = [ids.tolist() for step in range(len(expected) // 4) for ids in order.batch(of_step(step, 4)).input_ids]
    assert found == expected[: len(found)]
    assert len({tuple(ids) for ids in expected}) > plain.num_blocks(0), "epochs must differ in their order"


class Counted:
    """Epochs of 3, 1, 2, 3, 1, 2 ... blocks; a block holds its epoch and index, of document 10 * epoch + index."""

    def num_blocks(self, epoch):
        return (3, 1, 2)[epoch % 3]

    def blocks(self, epoch, indices):
        index = np.asarray(indices, dtype=np.int64)
        table = np.stack([np.full_like(index, epoch), index], axis=1)
        return Batch(numbers=index, input_ids=table, num_tokens=index, follows=index % 2)

    def documents(self, epoch, indices):
        return np.unique(10 * epoch + np.asarray(indices))

    def names(self, documents):
        return [f"d{index}" for index in documents.tolist()]


def test_blocks_are_numbered_over_all_epochs():
    expected = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0)]
    order = Order(Counted())
    assert [order.locate(k) for k in range(10)] == expected
    assert Order(Counted()).locate(9) == (4, 0)  # a seek
    assert [order.epoch_of(k) for k in (0, 1, 3, 4, 5, 6)] == [0, pytest.approx(1 / 3), 1, 2, 2.5, 3]


def test_batches_go_on_across_epochs_and_any_share_of_them_can_be_asked_for():
    order = Order(Counted())
    assert order.batch(of_step(0, 4)).input_ids.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0]]
    assert order.batch(of_step(1, 4)).input_ids.tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert order.batch(of_step(1, 4)).numbers.tolist() == [4, 5, 6, 7]
    shuffled = order.batch([7, 0, 4, 1])
    assert shuffled.input_ids.tolist() == [[3, 1], [0, 0], [2, 0], [0, 1]]
    assert shuffled.num_tokens.tolist() == [1, 0, 0, 1]
    assert shuffled.numbers.tolist() == [7, 0, 4, 1]
    assert shuffled.follows.tolist() == [1, 0, 0, 1]
    assert order.batch([]).input_ids.shape == (0, 2)


def test_the_documents_of_blocks_are_named_epoch_by_epoch():
    assert Order(Counted()).documents([7, 0, 4, 1]) == ["d0", "d1", "d20", "d31"]
    assert Order(Counted()).documents([]) == []


def test_a_run_resumes_by_its_step():
    documents = [[10 + i] * (i % 6) for i in range(20)]

    def packer():
        return StreamPacker(InMemory(documents), 4, prefix=[1], suffix=[2], seed=1)

    order, num_blocks = Order(packer()), packer().num_blocks(0)
    steps = [order.batch(of_step(step, 5)) for step in range(2 * num_blocks)]  # ten epochs
    resumed = Order(packer())
    assert_equal(resumed.batch(of_step(num_blocks, 5)), steps[num_blocks])
    seen = Batch.join(steps)
    assert seen.numbers.tolist() == list(range(10 * num_blocks))
    for epoch in range(10):
        of_epoch = seen.slice(epoch * num_blocks, (epoch + 1) * num_blocks)
        assert_equal(of_epoch, whole_epoch(packer(), epoch).replace(numbers=of_epoch.numbers))
    assert resumed.batch([]).position_ids.shape == (0, 4)


def test_epochs_of_a_changing_number_of_blocks_join():
    documents = [list(range(10 * i, 10 * i + 2 + i % 9)) for i in range(30)]
    packer = PairPacker(InMemory(documents, [range(len(ids)) for ids in documents]), 5, short_fraction=0.5, seed=2)
    sizes = [packer.num_blocks(epoch) for epoch in range(4)]
    assert len(set(sizes)) > 1
    expected = Batch.join([whole_epoch(packer, epoch) for epoch in range(4)])
    assert_equal(Order(packer).batch(range(sum(sizes))), expected, but=["numbers"])
    assert Order(packer).blocks_in(4) == sum(sizes)
