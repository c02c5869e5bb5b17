from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import get_args

import numpy as np
import pytest
from corpora import InMemory, assert_equal, of_step, whole_epoch
from hypothesis import given, settings
from hypothesis import strategies as st
from written_tokens import Row, write_tokens

from llmkit.core.errors import DataError
from llmkit.data.mixture import MODES, Mixture, PackingPlan, held_out_of, temperature_weights, training_stream
from llmkit.data.order import Order
from llmkit.data.packing import Batch, BestFitPacker, PadPacker, PairPacker, StreamPacker
from llmkit.stages.pretrain import Config

NASTY = [0.1, 1 / 3, 0.7, 1e-3, 1e3, 2.0, 3.0, 0.30000000000000004, 1 - 2**-53, 5e-324, 1.5e300]
weight_lists = st.lists(st.sampled_from(NASTY) | st.floats(1e-6, 1e6) | st.integers(1, 9), min_size=1, max_size=6)


class Epochs:
    """A source whose blocks hold its number, the epoch and the index."""

    def __init__(self, source, size):
        self.source, self.size = source, size

    def num_blocks(self, epoch):
        return self.size + epoch % 2

    def blocks(self, epoch, indices):
        index = np.asarray(indices, dtype=np.int64)
        assert (index < self.num_blocks(epoch)).all()
        table = np.stack([np.full_like(index, self.source), np.full_like(index, epoch), index], axis=1)
        return Batch(
            input_ids=table, labels=table, position_ids=table, num_tokens=index, numbers=index, follows=index % 2
        )

    def documents(self, epoch, indices):
        return np.asarray(indices)

    def names(self, documents):
        return [f"{self.source}-{index}" for index in documents.tolist()]


def mixture(weights, sizes=None):
    sizes = sizes or [3] * len(weights)
    return Mixture([Order(Epochs(source, size)) for source, size in enumerate(sizes)], weights)


def merged(weights):
    """The streams' blocks by time (n + 1/2) / weight, of exact fractions, one by one."""
    seen, exact = [0] * len(weights), [Fraction(weight) for weight in weights]
    while True:
        times = [(Fraction(2 * n + 1, 2) / weight, i) for i, (n, weight) in enumerate(zip(seen, exact, strict=True))]
        stream = min(times)[1]
        yield stream, seen[stream]
        seen[stream] += 1


def streams(weights, count, start=0):
    return "".join(str(stream) for stream, _ in mixture(weights).locate(range(start, start + count)))


def test_the_order_by_hand():
    # Times 1/6, 3/6, 5/6, 7/6, 9/6, 11/6 and 1/2, 3/2: where they are equal, the first stream's block comes first.
    assert streams([3, 1], 8) == "00100010"
    assert streams([1, 1], 6) == "010101"
    assert streams([1, 2], 6) == "101101"
    assert streams([5], 3) == "000"


@settings(deadline=None)
@given(weight_lists, st.integers(0, 60), st.integers(0, 30))
def test_a_seek_is_where_merging_comes(weights, start, count):
    expected = list(islice(merged(weights), start + count))[start:]
    assert mixture(weights).locate(range(start, start + count)) == expected
    assert [mixture(weights).locate([k])[0] for k in range(start, start + count)] == expected


@settings(deadline=None)
@given(weight_lists, st.integers(0, 10**15))
def test_far_seeks_go_on_where_counting_stands(weights, k):
    mixed = mixture(weights)
    before = mixed.seen(k)
    assert sum(before) == k
    ((stream, number),) = mixed.locate([k])
    assert number == before[stream]
    before[stream] += 1
    assert mixed.seen(k + 1) == before


@settings(deadline=None)
@given(weight_lists, st.integers(0, 10**9))
def test_every_start_of_the_run_has_the_shares(weights, k):
    total = sum(map(Fraction, weights))
    for seen, weight in zip(mixture(weights).seen(k), weights, strict=True):
        share = Fraction(weight) / total
        off = abs(seen - k * share)
        assert off <= (1 + share * (len(weights) - 2)) / 2
        if len(weights) <= 3:
            assert off < 1


@settings(deadline=None)
@given(weight_lists)
def test_only_ratios_of_weights_count(weights):
    assert streams(weights, 40) == streams([Fraction(weight) * 7 for weight in weights], 40)


def test_each_source_has_epochs_of_its_own():
    # Source 1 comes every third time and has one block in its first epoch and two in its second.
    batch = mixture([2, 1], [4, 1]).batch(range(9))
    assert [row for row in batch.input_ids.tolist() if row[0] == 0] == [
        [0, 0, 0], [0, 0, 1], [0, 0, 2], [0, 0, 3], [0, 1, 0], [0, 1, 1]
    ]  # fmt: skip
    assert [row for row in batch.input_ids.tolist() if row[0] == 1] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_a_mixture_numbers_its_blocks_itself_and_all_fields_come_along():
    batch = mixture([1, 1], [4, 4]).batch([7, 0, 5, 2])
    assert batch.input_ids.tolist() == [[1, 0, 3], [0, 0, 0], [1, 0, 2], [0, 0, 1]]
    assert batch.numbers.tolist() == [7, 0, 5, 2]
    assert batch.num_tokens.tolist() == [3, 0, 2, 1]
    assert batch.follows.tolist() == [1, 0, 0, 1]
    assert mixture([1, 1]).batch([]).input_ids.shape == (0, 3)


@settings(deadline=None)
@given(weight_lists, st.integers(0, 20), st.integers(1, 12), st.integers(1, 4))
def test_the_ranks_shares_join_to_the_batch(weights, step, num_blocks, ranks):
    whole = mixture(weights).batch(of_step(step, num_blocks))
    assert whole.numbers.tolist() == list(range(step * num_blocks, (step + 1) * num_blocks))
    for rank in range(ranks):
        mine = mixture(weights).batch(range(step * num_blocks + rank, (step + 1) * num_blocks, ranks))
        assert_equal(mine, whole.take(np.arange(rank, num_blocks, ranks)))


def test_epochs_are_counted_in_blocks_of_all_sources():
    mixed = mixture([3, 1], [6, 4])
    assert [mixed.epoch_of(k) for k in (0, 5, 10, 25)] == [0, 0.5, 1, 2.5]
    assert [mixed.blocks_in(epochs) for epochs in (0.01, 0.3, 1, 1.1, 2.5)] == [1, 3, 10, 11, 25]


def test_the_documents_of_blocks_are_named_by_source():
    assert mixture([1, 1], [4, 4]).documents([7, 0, 5, 2]) == ["0-0", "0-1", "1-3", "1-2"]


@pytest.mark.parametrize("weights", [[], [1], [1, 0], [1, -1], [1, 1, 1]])
def test_weights_that_fit_no_streams_are_a_bug(weights):
    orders = [Order(Epochs(0, 1)), Order(Epochs(1, 1))]
    with pytest.raises(ValueError, match="streams with the weights"):
        Mixture(orders if weights else [], weights)


def test_temperature_weights_by_hand():
    assert temperature_weights([1, 3], 1) == pytest.approx([0.25, 0.75])
    assert temperature_weights([1, 100], 2) == pytest.approx([1 / 11, 10 / 11])  # square roots 1 and 10
    assert temperature_weights([8, 1, 27], 3) == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    assert temperature_weights([5, 500], 1e9) == pytest.approx([0.5, 0.5])


def write(directory, documents, *, validation=()):
    sides = {"train": documents, "validation": validation}
    splits = {
        side: [
            Row(f"{directory.name}/{side}{i}", ids, range(0, len(ids), 2), num_bytes=len(ids) + 1)
            for i, ids in enumerate(texts)
        ]
        for side, texts in sides.items()
    }
    return write_tokens(directory, splits)


@pytest.fixture
def two(tmp_path):
    """Tokens `a` of 40 in 10 documents and `b` of 10 in 5."""
    a = write(tmp_path / "a", [[100 + i] * 4 for i in range(10)], validation=[[1, 2, 3], [4]])
    return [a, write(tmp_path / "b", [[200 + i] * 2 for i in range(5)])]


def share_of_a(stream, count):
    return float((stream.batch(range(count)).input_ids[:, 0] < 200).mean())


def test_without_weights_all_documents_are_shuffled_as_one(two):
    plan = PackingPlan(5, suffix=[1])
    stream = training_stream(two, plan, seed=3, weights=[None, None])
    documents = [*([100 + i] * 4 for i in range(10)), *([200 + i] * 2 for i in range(5))]
    joined = StreamPacker(InMemory(documents), 5, suffix=[1], seed=3)
    assert isinstance(stream, Order)
    assert_equal(whole_epoch(stream.packer, 1), whole_epoch(joined, 1))
    assert {name.split("/")[0] for name in stream.documents(range(stream.blocks_in(1)))} == {"a", "b"}
    assert len(stream.documents(range(stream.blocks_in(1)))) == 15


def test_weights_are_shares_of_the_blocks(two):
    plan = PackingPlan(4)
    stream = training_stream(two, plan, seed=0, weights=[1, 3])
    assert isinstance(stream, Mixture)
    assert share_of_a(stream, 40) == 0.25
    assert {name.split("/")[0] for name in stream.documents(range(4))} == {"a", "b"}
    # 40 and 10 tokens: square roots in the ratio of 2 to 1.
    assert share_of_a(training_stream(two, plan, seed=0, temperature=2), 60) == pytest.approx(2 / 3, abs=1 / 60)
    assert share_of_a(training_stream(two, plan, seed=0, temperature=1), 50) == 0.8


def test_sources_are_shuffled_independently(tmp_path):
    same = [write(tmp_path / name, [[100 + i] * 4 for i in range(30)]) for name in "ab"]
    stream = training_stream(same, PackingPlan(4), seed=0, weights=[1, 1])
    ids = stream.batch(range(60)).input_ids[:, 0]
    assert sorted(ids[::2]) == sorted(ids[1::2])
    assert ids[::2].tolist() != ids[1::2].tolist()


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, StreamPacker),
        ({"packing": "best_fit"}, BestFitPacker),
        ({"packing": "pad"}, PadPacker),
        ({"layout": "pair", "packing": "pad", "random_second": True}, PairPacker),
    ],
)
def test_the_plan_chooses_the_packer(two, options, kind):
    plan = PackingPlan(6, prefix=[7], suffix=[8, 9], pad_id=5, **options)
    stream = training_stream(two, plan, seed=0)
    assert type(stream.packer) is kind
    batch = whole_epoch(stream.packer)
    assert batch.input_ids.shape[1] == 6
    assert (batch.input_ids[np.arange(6) >= batch.num_tokens[:, None]] == 5).all()
    around = 0 if kind is PairPacker else 15
    assert [(batch.input_ids == special).sum() for special in (7, 8, 9)] == [around] * 3
    assert ("follows" in batch.columns) == (kind is PairPacker)


def test_recipes_and_plans_know_the_same_modes():
    assert {"auto", *MODES} == {*get_args(Config.model_fields["packing"].annotation)}


def test_validation_scores_what_is_held_out_once(two):
    held_out = held_out_of(two, PackingPlan(3, suffix=[9]))
    assert whole_epoch(held_out.source).input_ids.tolist() == [[1, 2, 3], [9, 4, 9]]
    assert held_out.num_bytes == (3 + 1) + (1 + 1)
    assert held_out.source.seed is None
    assert held_out_of(two[1:], PackingPlan(3)) is None


def test_a_missing_training_split_is_named(tmp_path):
    path = write(tmp_path / "c", [], validation=[[1, 2]])
    with pytest.raises(DataError, match="no split 'train'; splits there: validation"):
        training_stream([path], PackingPlan(4), seed=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 50), st.integers(1, 9))
def test_a_real_mixture_resumes_by_its_step(step, num_blocks):
    def fresh():
        corpora = [[[10 + i] * (1 + i % 6) for i in range(30)], [[50 + i] * (1 + i % 4) for i in range(9)]]
        packers = [StreamPacker(InMemory(texts), 4, seed=1, source=source) for source, texts in enumerate(corpora)]
        return Mixture([Order(packer) for packer in packers], [0.7, 0.1])

    walked = fresh()
    for before in range(step):
        walked.batch(of_step(before, num_blocks))
    assert_equal(walked.batch(of_step(step, num_blocks)), fresh().batch(of_step(step, num_blocks)))
