from __future__ import annotations

import pickle
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_tokens import Row, write_tokens

from llmkit.core.errors import DataError
from llmkit.data.token_reader import TokenSplit

DOCUMENTS = [[5, 6, 7], [], [8], [9, 10, 11, 12, 65_535], [3]]
SEGMENTS = [[0, 2], [], [0], [0, 1, 4], []]


def write(directory, documents=DOCUMENTS, segments=None, *, split="train", **options):
    segments = segments or (SEGMENTS if documents is DOCUMENTS else [[]] * len(documents))
    rows = [
        Row(f"d{i}", ids, starts, "web", "zh", 10 * i + 1)
        for i, (ids, starts) in enumerate(zip(documents, segments, strict=True))
    ]
    return write_tokens(directory, {split: rows}, **options)


@pytest.mark.parametrize(("limit", "rows"), [(1, [1, 1, 1, 1, 1]), (2, [2, 2, 1]), (3, [3, 2]), (9, [5])])
def test_reading_gives_what_was_written_whatever_the_shards(tmp_path, limit, rows):
    write(tmp_path, rows_per_shard=limit)
    split = TokenSplit(tmp_path, "train")
    ends = np.cumsum(rows)
    expected = [[*chain(*DOCUMENTS[end - n : end])] for n, end in zip(rows, ends, strict=True)]
    assert [shard.tolist() for shard in split.shards] == expected
    assert [split.document(i).tolist() for i in range(5)] == DOCUMENTS
    assert [split.segments(i).tolist() for i in range(5)] == SEGMENTS
    assert split.lengths.tolist() == [3, 0, 1, 5, 1]
    assert split.lengths.dtype == split.offsets.dtype == np.int64
    assert (split.num_documents, split.num_tokens, split.num_bytes) == (5, 10, 105)
    positions = np.array([[9, 0, 4], [3, 2, 8]])
    assert split.gather(positions).tolist() == [[3, 5, 9], [8, 7, 65_535]]
    assert split.gather(positions).dtype == np.int64
    assert split.gather(np.empty((0,), np.int64)).shape == (0,)


def test_documents_are_views_of_one_contiguous_array(tmp_path):
    write(tmp_path)
    split = TokenSplit(tmp_path, "train")
    (shard,) = split.shards
    assert shard.flags.c_contiguous
    assert not shard.flags.writeable
    assert np.shares_memory(split.document(3), shard)
    assert split.document(3).ctypes.data == shard.ctypes.data + 4 * 2


@pytest.mark.parametrize("index", [-1, 5])
def test_documents_outside_are_errors(tmp_path, index):
    write(tmp_path)
    split = TokenSplit(tmp_path, "train")
    with pytest.raises(IndexError, match=f"document {index} of 5"):
        split.document(index)
    with pytest.raises(IndexError, match=f"document {index} of 5"):
        split.segments(index)


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint16, 2**16 - 1), (np.uint32, 2**32 - 1)])
def test_ids_of_either_width(tmp_path, dtype, largest):
    write(tmp_path, [[0, largest]], dtype=dtype)
    split = TokenSplit(tmp_path, "train")
    assert split.document(0).tolist() == split.gather(np.arange(2)).tolist() == [0, largest]
    assert split.document(0).dtype == dtype


def test_a_missing_split_names_those_there_are(tmp_path):
    write_tokens(tmp_path, {"test": [Row("x", [1])], "train": [Row("x", [1])]})
    with pytest.raises(DataError, match="no split 'validation'; splits there: test, train") as caught:
        TokenSplit(tmp_path, "validation")
    assert caught.value.exit_code == 3
    assert "--set validation_fraction=" in caught.value.hint


def test_a_directory_without_tokens_says_how_to_make_them(tmp_path):
    with pytest.raises(DataError, match="holds no tokens") as caught:
        TokenSplit(tmp_path / "nothing", "train")
    assert "llmkit tokenize" in caught.value.hint


def test_a_split_of_empty_documents_is_an_error(tmp_path):
    write(tmp_path, [[], []])
    with pytest.raises(DataError, match="split 'train' holds no tokens"):
        TokenSplit(tmp_path, "train")


def test_damaged_files_are_named(tmp_path):
    write(tmp_path)
    shard = tmp_path / "train/data-00000-of-00001.arrow"
    whole = shard.read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:-200], b"not arrow at all", b""):
        shard.write_bytes(damage)
        with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow cannot be read"):
            TokenSplit(tmp_path, "train")
    shard.unlink()
    with pytest.raises(DataError, match=r"data-00000-of-00001\.arrow cannot be read"):
        TokenSplit(tmp_path, "train")
    (tmp_path / "train/state.json").write_text("{")
    with pytest.raises(DataError, match=r"state\.json cannot be read"):
        TokenSplit(tmp_path, "train")


def test_another_dataset_is_refused_by_its_columns(tmp_path):
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": ["a"]})}).save_to_disk(str(tmp_path))
    with pytest.raises(DataError, match="no column id, input_ids, num_bytes, segments"):
        TokenSplit(tmp_path, "train")


def test_a_worker_gets_the_path_not_the_tokens(tmp_path):
    write(tmp_path, [[7] * 10_000])
    pickled = pickle.dumps(TokenSplit(tmp_path, "train"))
    assert len(pickled) < 2_000
    assert pickle.loads(pickled).document(0).tolist() == [7] * 10_000


@settings(max_examples=30, deadline=None)
@given(
    documents=st.lists(st.lists(st.integers(0, 99_999), max_size=9), min_size=1, max_size=12).filter(any),
    limit=st.integers(1, 12),
)
def test_any_documents_come_back(tmp_path_factory, documents, limit):
    directory = tmp_path_factory.mktemp("tokens")
    write(directory, documents, dtype=np.uint32, rows_per_shard=limit)
    split = TokenSplit(directory, "train")
    assert [split.document(i).tolist() for i in range(len(documents))] == documents
    assert split.gather(np.arange(split.num_tokens)).tolist() == [*chain(*documents)]
