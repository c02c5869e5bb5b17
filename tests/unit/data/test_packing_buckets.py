"""Blocks of one row each: every row once an epoch, rows of like length together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.data.order import Order
from llmkit.data.packing import Column, EncodedRows, Example, RowBuckets, buckets


def of_lengths(*lengths):
    """Rows of which the n-th holds the id n, so often."""
    examples = [Example({"input_ids": [number] * length, "label": -number}) for number, length in enumerate(lengths)]
    return EncodedRows.of(
        {"input_ids": Column(pad=99), "label": Column(pad=None)}, examples, range(5, 5 + len(lengths))
    )


def shuffled(count):
    """Rows of 1 to `count` tokens."""
    return of_lengths(*(1 + np.random.default_rng(1).permutation(count)).tolist())


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=40),
    batch_blocks=st.none() | st.integers(1, 9),
    seed=st.none() | st.integers(0, 3),
    epoch=st.integers(0, 5),
)
def test_every_row_is_there_once_an_epoch(lengths, batch_blocks, seed, epoch):
    made = RowBuckets(of_lengths(*lengths), seed=seed, batch_blocks=batch_blocks)
    assert made.num_blocks(epoch) == len(lengths)
    assert sorted(made.documents(epoch, range(len(lengths))).tolist()) == list(range(len(lengths)))


def test_rows_of_like_length_are_one_batch():
    order = Order(RowBuckets(shuffled(100), seed=0, batch_blocks=4))
    batches = [order.batch(range(start, start + 4)).num_tokens.tolist() for start in range(0, 100, 4)]
    assert sorted(batches) == [[n, n - 1, n - 2, n - 3] for n in range(4, 101, 4)]
    assert batches != sorted(batches), "the batches themselves are shuffled"
    assert batches != sorted(batches, reverse=True)


def test_batches_keep_their_borders_where_an_epoch_ends_within_one():
    order = Order(RowBuckets(shuffled(10), seed=0, batch_blocks=4))
    # Epoch 0 is the blocks 0 to 9, epoch 1 is 10 to 19: the batch 8 to 11 has rows of both, of any length.
    for first, second in (((0, 4), (4, 8)), ((12, 16), (16, 20))):
        one, two = (order.batch(range(*span)).num_tokens for span in (first, second))
        assert one.min() > two.max() or two.min() > one.max()
    assert sorted(order.batch(range(20)).num_tokens.tolist()) == sorted([*range(1, 11)] * 2)


def test_only_stretches_are_sorted(monkeypatch):
    monkeypatch.setattr(buckets, "MEGABATCH", 2)
    rows = shuffled(64)
    made = RowBuckets(rows, seed=0, batch_blocks=4)
    batches = made.blocks(0, range(64)).num_tokens.reshape(16, 4)
    assert (np.diff(batches) < 0).all(), "sorted within a batch"
    assert any(one.max() - one.min() > 16 for one in batches), "but of 8 rows at a time, not of all"


def test_without_batches_lengths_mean_nothing():
    lengths = RowBuckets(shuffled(64), seed=0).blocks(0, range(64)).num_tokens.reshape(16, 4)
    assert not (np.diff(lengths) < 0).all()


@pytest.mark.parametrize("batch_blocks", [None, 4])
def test_the_order_is_a_function_of_seed_and_epoch(batch_blocks):
    def order(seed, *epochs):
        made = RowBuckets(shuffled(30), seed=seed, batch_blocks=batch_blocks)
        return [made.documents(epoch, range(30)).tolist() for epoch in epochs]

    first, second = order(0, 0, 1)
    assert order(0, 1, 0, 1) == [second, first, second]
    assert first != second
    assert order(1, 0) != [first]
    made = RowBuckets(shuffled(30), seed=0, batch_blocks=batch_blocks)
    assert made.documents(1, [7, 29, 7]).tolist() == [second[7], second[29], second[7]]


def test_for_scoring_the_longest_come_first_and_equal_ones_in_their_order():
    made = RowBuckets(of_lengths(2, 5, 1, 5), seed=None)
    assert made.documents(0, range(4)).tolist() == [1, 3, 0, 2]
    assert made.names(np.array([1, 0])) == ["row 6", "row 5"]


def test_a_batch_by_hand():
    batch = RowBuckets(of_lengths(2, 5, 1, 3), seed=None).blocks(0, [3, 1])
    assert batch.numbers.tolist() == [3, 1]
    assert {name: column.tolist() for name, column in batch.columns.items()} == {
        "input_ids": [[2, 99, 99], [3, 3, 3]], "input_ids_length": [1, 3], "label": [-2, -3], "num_tokens": [1, 3],
    }  # fmt: skip


def test_the_share_of_padding_by_hand():
    made = RowBuckets(of_lengths(1, 2, 3, 4), seed=None)
    assert made.padding_share(0, 2) == pytest.approx(2 / 12)  # [4 3] and [2 1]: 10 tokens in 8 + 4 positions
    assert made.padding_share(0, 3) == pytest.approx(3 / 13)  # [4 3 2] and [1]: 10 tokens in 12 + 1 positions
    assert made.padding_share(0, 1) == 0


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="there are no rows to train on"):
        RowBuckets(of_lengths(), seed=0)
