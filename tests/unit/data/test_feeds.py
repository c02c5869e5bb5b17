"""Feeds: what a trainer reads."""

from __future__ import annotations

import numpy as np
import pytest

from llmkit.data.feeds import Feed, HeldOut
from llmkit.data.order import Order
from llmkit.data.packing import Batch, Column, EncodedRows, Example, RowBuckets
from tiny import CONTEXT, stream


def buckets(*lengths, seed=0):
    examples = [Example({"input_ids": [7] * length}) for length in lengths]
    return RowBuckets(EncodedRows.of({"input_ids": Column()}, examples), seed=seed)


def test_a_feed_is_its_stream():
    order = Order(buckets(1, 2, 3))
    feed = Feed(order)
    assert feed.batch([4, 0]).input_ids.tolist() == order.batch([4, 0]).input_ids.tolist()
    rows = order.packer.documents(1, [1]), order.packer.documents(0, [0])
    lengths = [1 + int(row[0]) for row in rows]  # of two epochs: the batch is as wide as the longer one
    assert feed.batch([4, 0]).input_ids.tolist() == [[7] * n + [0] * (max(lengths) - n) for n in lengths]
    assert feed.documents([4, 0]) == order.documents([4, 0])
    assert (feed.epoch_of(4), feed.blocks_in(1.5), feed.blocks_in(10, most=3)) == (4 / 3, 5, order.blocks_in(10, 3))
    assert (feed.held_out(), feed.generates, feed.state()) == (None, False, {})


def test_held_out_blocks_are_those_of_the_first_epoch_and_all_of_them():
    held_out = HeldOut(buckets(1, 3, 2, seed=None), num_bytes=12)
    assert (held_out.num_blocks, held_out.num_bytes) == (3, 12)
    assert held_out.blocks(range(3)).num_tokens.tolist() == [3, 2, 1]
    assert held_out.blocks([2]).input_ids.tolist() == [[7]]
    assert Feed(Order(stream()), held_out).held_out() is held_out


@pytest.mark.parametrize(("tokens", "blocks"), [(1, 1), (15, 1), (16, 1), (31, 1), (32, 2), (100, 6)])
def test_blocks_of_one_width_are_counted_by_it(tokens, blocks):
    feed = Feed(Order(stream()), block_tokens=CONTEXT)
    assert feed.micro_blocks(feed.batch(range(8)), tokens) == blocks


@pytest.mark.parametrize(("tokens", "blocks"), [(1, 1), (9, 1), (10, 2), (14, 2), (15, 3)])
def test_blocks_of_other_widths_are_counted_by_their_batch(tokens, blocks):
    feed = Feed(Order(buckets(1, 5, 3)), block_tokens=3.0, same_width=False)
    assert feed.micro_blocks(feed.batch(range(3)), tokens) == blocks  # each is padded to 5


def test_all_sequences_of_a_block_are_its_width():
    columns = {"input_ids": np.zeros((2, 4)), "chosen_input_ids": np.zeros((2, 6)), "labels": np.zeros((2, 50))}
    batch = Batch(numbers=np.arange(2), **columns)
    feed = Feed(Order(buckets(1)), same_width=False)
    assert [feed.micro_blocks(batch, tokens) for tokens in (19, 20, 30)] == [1, 2, 3]
    empty = Batch(numbers=np.arange(1), input_ids=np.zeros((1, 0)))
    assert feed.micro_blocks(empty, 8) == 8, "a row without ids is not for free"
