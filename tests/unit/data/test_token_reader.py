from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from corpora import InMemory, assert_equal, whole_epoch
from hypothesis import given, settings
from hypothesis import strategies as st
from written_tokens import Row, write_tokens

from llmkit.data.packing import PairPacker
from llmkit.data.token_reader import JoinedSplits, TokenSplit

CORPORA = {"a": [[[5, 6], [7]], [], [[8]]], "b": [[[9], [10, 11, 12]], [[13, 14]], []]}
"""Documents as lists of sentences."""


def write(directory, documents, **options):
    rows = []
    for i, sentences in enumerate(documents):
        starts = np.cumsum([0, *map(len, sentences)])[:-1].tolist()
        rows.append(Row(f"{directory.name}{i}", [*chain(*sentences)], starts, num_bytes=10 * i + 1))
    return TokenSplit(write_tokens(directory, {"train": rows}, **options), "train")


@pytest.fixture
def joined(tmp_path):
    return JoinedSplits([write(tmp_path / name, documents) for name, documents in CORPORA.items()])


def test_joined_artifacts_lie_one_after_another(joined):
    assert joined.offsets.tolist() == [0, 3, 3, 4, 8, 10, 10]
    assert joined.num_bytes == 2 * (1 + 11 + 21)
    assert joined.sentence_starts().tolist() == [0, 2, 3, 4, 5, 8]
    assert joined.gather(np.arange(10)).tolist() == [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    assert joined.gather(np.array([[9, 0], [4, 3]])).tolist() == [[14, 5], [9, 8]]
    assert joined.gather(np.arange(10)).dtype == np.int64


def test_documents_have_their_ids_in_any_order(joined):
    assert joined.ids(np.arange(6)) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert joined.ids(np.array([4, 0, 4, 2])) == ["b1", "a0", "b1", "a2"]
    assert joined.ids(np.array([], dtype=np.int64)) == []
    assert joined.parts[1].ids(np.array([2, 0])) == ["b2", "b0"]


def test_documents_of_several_shards_have_their_own_ids(tmp_path):
    split = write(tmp_path / "d", [[[i, i + 1]] for i in range(40)], rows_per_shard=7)
    assert len(split.shards) > 2
    assert split.ids(np.arange(40)) == [f"d{i}" for i in range(40)]
    assert split.sentence_starts().tolist() == list(range(0, 80, 2))
    assert [split.document(i).tolist() for i in (0, 39)] == [[0, 1], [39, 40]]
    with pytest.raises(IndexError, match="document 40 of 40"):
        split.ids(np.array([40]))


def test_one_part_is_itself(tmp_path):
    part = write(tmp_path / "a", CORPORA["a"])
    alone = JoinedSplits([part])
    for name in ("offsets", "num_bytes"):
        np.testing.assert_array_equal(getattr(alone, name), getattr(part, name))
    assert alone.sentence_starts().tolist() == part.sentence_starts().tolist()
    assert alone.gather(np.array([3, 1])).tolist() == part.gather(np.array([3, 1])).tolist() == [8, 6]


documents = st.lists(st.lists(st.lists(st.integers(0, 999), min_size=1, max_size=4), max_size=4), max_size=8).filter(
    any
)


@settings(deadline=None, max_examples=20)
@given(st.lists(documents, min_size=1, max_size=3), st.integers(1, 9))
def test_shards_and_artifacts_make_no_difference_to_pairs(tmp_path_factory, corpora, limit):
    directory = tmp_path_factory.mktemp("tokens")
    parts = [write(directory / f"c{i}", texts, rows_per_shard=limit) for i, texts in enumerate(corpora)]
    whole = [*chain(*corpora)]
    starts = [np.cumsum([0, *map(len, sentences)])[:-1].tolist() for sentences in whole]
    memory = InMemory([[*chain(*sentences)] for sentences in whole], starts)
    if (np.diff(memory.offsets) >= 2).any():
        packers = [PairPacker(tokens, 5, seed=1) for tokens in (JoinedSplits(parts), memory)]
        assert_equal(*(whole_epoch(packer, 1) for packer in packers))
