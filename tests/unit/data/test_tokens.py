from __future__ import annotations

import json
import pickle
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.data.token_reader import TokenSplit
from llmkit.data.tokens import SplitCounts, TokenShardWriter

DOCUMENTS = [[5, 6, 7], [], [8], [9, 10, 11, 12, 65_535], [3]]
SEGMENTS = [[0, 2], [], [0], [0, 1, 4], []]


def write(directory, documents=DOCUMENTS, segments=None, *, vocab_size=65_536, split="train", **options):
    writer = TokenShardWriter(directory, vocab_size=vocab_size, **options)
    segments = segments or (SEGMENTS if documents is DOCUMENTS else [[]] * len(documents))
    for i, (ids, starts) in enumerate(zip(documents, segments, strict=True)):
        writer.append(
            split, id=f"d{i}", source="web", language="zh", num_bytes=10 * i + 1, input_ids=ids, segments=starts
        )
    return writer.finish()


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_datasets_loads_it(tmp_path):
    import datasets

    writer = TokenShardWriter(tmp_path, vocab_size=100, max_shard_bytes=120)
    for i in range(6):
        writer.append("train", id=f"文{i}", source="s", language="en", num_bytes=i, input_ids=[i, i + 1], segments=[0])
    writer.append("test", id="t", source="s", language="en", num_bytes=4, input_ids=[99])
    counts = writer.finish()

    loaded = datasets.load_from_disk(str(tmp_path))
    assert list(loaded) == ["train", "test"] == list(counts)
    assert len(loaded["train"].cache_files) > 1
    assert loaded["train"][4] == {
        "id": "文4", "source": "s", "language": "en", "num_bytes": 4, "input_ids": [4, 5], "segments": [0]
    }  # fmt: skip
    assert loaded["train"]["id"][:] == [f"文{i}" for i in range(6)]
    assert loaded["test"].to_list()[0]["input_ids"] == [99]
    assert loaded["train"].features["input_ids"] == datasets.List(datasets.Value("uint16"))
    assert loaded["train"].map(lambda row: {"n": len(row["input_ids"])}, keep_in_memory=True)["n"][:] == [2] * 6


def test_counts_and_empty_splits(tmp_path):
    assert write(tmp_path) == {"train": SplitCounts(num_documents=5, num_tokens=10, num_bytes=105)}
    assert json.loads((tmp_path / "dataset_dict.json").read_text()) == {"splits": ["train"]}
    assert sorted(files(tmp_path)) == [
        "dataset_dict.json",
        "train/data-00000-of-00001.arrow",
        "train/dataset_info.json",
        "train/state.json",
    ]


# 28 bytes of offsets and num_bytes, names d0 + web + zh = 7, and 2 per token, 4 per segment: 49, 35, 41, 57, 37.
@pytest.mark.parametrize(("limit", "rows"), [(1, [1, 1, 1, 1, 1]), (84, [2, 1, 1, 1]), (125, [3, 2]), (10_000, [5])])
def test_reading_gives_what_was_written_whatever_the_shards(tmp_path, limit, rows):
    write(tmp_path, max_shard_bytes=limit)
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


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_the_largest_id_is_kept_and_the_next_is_an_error(tmp_path, vocab_size, dtype):
    write(tmp_path, [[0, vocab_size - 1]], vocab_size=vocab_size)
    document = TokenSplit(tmp_path, "train").document(0)
    assert document.tolist() == [0, vocab_size - 1]
    assert document.dtype == dtype
    for wrong in (vocab_size, -1):
        with pytest.raises(
            DataError, match=f"document d0: token id {wrong} is not in the vocabulary of {vocab_size:,}"
        ):
            write(tmp_path, [[0, wrong]], vocab_size=vocab_size)


@pytest.mark.parametrize("ids", [[1.5], [[1, 2]], ["1"]])
def test_ids_that_are_not_a_list_of_integers_are_a_bug(tmp_path, ids):
    with pytest.raises(TypeError, match="one-dimensional array of integers"):
        write(tmp_path, [ids])


@pytest.mark.parametrize("starts", [[-1, 1], [0, 0], [1, 0], [0, 3]])
def test_segments_must_ascend_within_the_document(tmp_path, starts):
    with pytest.raises(ValueError, match="segments must ascend within its 3 tokens"):
        write(tmp_path, [[1, 2, 3]], [starts])


def test_bytes_repeat_and_the_fingerprint_follows_the_content(tmp_path):
    write(tmp_path / "a", max_shard_bytes=84)
    write(tmp_path / "b", max_shard_bytes=84)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    write(tmp_path / "b", [*DOCUMENTS[:-1], [4]], SEGMENTS, max_shard_bytes=84)
    states = [json.loads((tmp_path / name / "train/state.json").read_text()) for name in "ab"]
    assert states[0]["_data_files"] == states[1]["_data_files"]
    assert states[0]["_fingerprint"] != states[1]["_fingerprint"]


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    write(tmp_path, split="validation")
    write(tmp_path, max_shard_bytes=1)
    (tmp_path / "tokenizer.json").write_text("{}")
    killed = TokenShardWriter(tmp_path, vocab_size=10, max_shard_bytes=1)
    for _ in range(2):
        killed.append("test", id="x", source="", language="", num_bytes=1, input_ids=[1])
    assert not (tmp_path / "dataset_dict.json").exists()
    write(tmp_path)
    assert sorted(files(tmp_path)) == [
        "dataset_dict.json",
        "tokenizer.json",
        "train/data-00000-of-00001.arrow",
        "train/dataset_info.json",
        "train/state.json",
    ]


@pytest.mark.parametrize("limit", [0, 2**31])
def test_a_shard_stays_below_32_bit_offsets(tmp_path, limit):
    with pytest.raises(ValueError, match="max_shard_bytes"):
        TokenShardWriter(tmp_path, vocab_size=10, max_shard_bytes=limit)


def test_a_missing_split_names_those_there_are(tmp_path):
    writer = TokenShardWriter(tmp_path, vocab_size=10)
    for split in ("test", "train"):
        writer.append(split, id="x", source="", language="", num_bytes=1, input_ids=[1])
    writer.finish()
    with pytest.raises(DataError, match="no split 'validation'; splits there: train, test") as caught:
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
    limit=st.integers(1, 300),
)
def test_any_documents_come_back(tmp_path_factory, documents, limit):
    directory = tmp_path_factory.mktemp("tokens")
    write(directory, documents, vocab_size=100_000, max_shard_bytes=limit)
    split = TokenSplit(directory, "train")
    assert [split.document(i).tolist() for i in range(len(documents))] == documents
    assert split.gather(np.arange(split.num_tokens)).tolist() == [*chain(*documents)]
