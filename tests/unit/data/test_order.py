from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.data.order import Order
from tiny import rows, stream


class Epochs:
    """Epochs of given sizes, and no blocks behind them."""

    def __init__(self, *sizes):
        self.sizes, self.asked = sizes, []

    def num_blocks(self, epoch):
        self.asked.append(epoch)
        return self.sizes[epoch % len(self.sizes)]


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
    found = [ids.tolist() for step in range(len(expected) // 4) for ids in order.batch(step, 4).input_ids]
    assert found == expected[: len(found)]
    assert len({tuple(ids) for ids in expected}) > plain.num_blocks(0), "epochs must differ in their order"
