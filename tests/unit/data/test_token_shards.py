from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from written_tokens import Row, write_tokens

from llmkit.data.token_shards import ROWS, Part, Stretch, finish_dict, finish_split, write_shard

LENGTHS, SEGMENTS = [3, 0, 2], [2, 0, 1]


def rows(names=("a", "文", "c")):
    values = [list(names), ["s"] * 3, ["en", "zh", "en"], [7, 0, 5], LENGTHS, SEGMENTS]
    return pa.table(dict(zip(ROWS.names, values, strict=True)), schema=ROWS)


def stretches(path, dtype):
    """The ids 5..9 and the segments 0, 2, 1, cut over two places of a file with other things in between."""
    ids, segments = np.arange(5, 10, dtype=dtype).tobytes(), np.array([0, 2, 1], np.int32).tobytes()
    size = np.dtype(dtype).itemsize
    path.write_bytes(b"junk" + ids[: 2 * size] + b"more" + ids[2 * size :] + segments)
    begin, middle, end = 4, 8 + 2 * size, 8 + 5 * size
    pieces = [Stretch(path, begin, begin + 2 * size), Stretch(path, middle, end)]
    return pieces, [Stretch(path, end, end + 12)]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_a_shard_is_one_record_batch_put_together_from_files(tmp_path, dtype):
    ids, segments = stretches(tmp_path / "parts", dtype)
    digest = write_shard(tmp_path / "shard", rows(), ids, segments, np.dtype(dtype))
    with pa.memory_map(str(tmp_path / "shard")) as source:
        (batch,) = pa.ipc.open_stream(source)
        batch.validate(full=True)
        assert batch.schema.field("input_ids").type == pa.list_(pa.from_numpy_dtype(np.dtype(dtype)))
        assert batch.to_pylist() == [
            {"id": "a", "source": "s", "language": "en", "num_bytes": 7, "input_ids": [5, 6, 7], "segments": [0, 2]},
            {"id": "文", "source": "s", "language": "zh", "num_bytes": 0, "input_ids": [], "segments": []},
            {"id": "c", "source": "s", "language": "en", "num_bytes": 5, "input_ids": [8, 9], "segments": [1]},
        ]
    # The same bytes as Arrow itself writes from memory, and a digest that follows them.
    with pa.OSFile(str(tmp_path / "plain"), "wb") as sink, pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    assert (tmp_path / "shard").read_bytes() == (tmp_path / "plain").read_bytes()
    assert write_shard(tmp_path / "again", rows(), ids, segments, np.dtype(dtype)) == digest
    assert write_shard(tmp_path / "other", rows("xyz"), ids, segments, np.dtype(dtype)) != digest
    assert write_shard(tmp_path / "others", rows(), ids[::-1], segments, np.dtype(dtype)) != digest


def test_lengths_that_do_not_add_up_are_a_bug(tmp_path):
    ids, segments = stretches(tmp_path / "parts", np.uint16)
    with pytest.raises(AssertionError, match="4 bytes for 5 values of uint16"):
        write_shard(tmp_path / "shard", rows(), ids[:1], segments, np.dtype(np.uint16))


def test_a_stretch_is_read_in_pieces_and_a_short_file_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("llmkit.data.token_shards._COPY_BYTES", 3)
    (tmp_path / "file").write_bytes(b"0123456789")
    assert list(Stretch(tmp_path / "file", 2, 9).read()) == [b"234", b"567", b"8"]
    with pytest.raises(AssertionError, match="shorter than it was"):
        list(Stretch(tmp_path / "file", 5, 12).read())


def test_a_part_gives_its_rows_back(tmp_path):
    with pa.OSFile(str(tmp_path / "file"), "wb") as sink, pa.ipc.new_stream(sink, ROWS) as stream:
        stream.write_table(rows())
    place = Stretch(tmp_path / "file", 0, (tmp_path / "file").stat().st_size)
    assert Part(place, place, place, 3, 5, 12).table() == rows()


def test_datasets_loads_several_shards(tmp_path):
    import datasets

    shards = []
    for i in range(2):
        ids, segments = stretches(tmp_path / f"parts-{i}", np.uint16)
        path = tmp_path / f"written-{i}"
        shards.append((path, write_shard(path, rows((f"{i}a", f"{i}b", f"{i}c")), ids, segments, np.dtype(np.uint16))))
    finish_split(tmp_path / "out/train", shards, np.dtype(np.uint16))
    # A second time, as after a kill between the moves and what follows them.
    finish_split(tmp_path / "out/train", shards, np.dtype(np.uint16))
    finish_dict(tmp_path / "out", ["train"])
    assert list(datasets.load_from_disk(str(tmp_path / "out"))) == ["train"]
    loaded = datasets.load_from_disk(str(tmp_path / "out"))["train"]
    assert len(loaded.cache_files) == 2
    assert loaded["id"][:] == ["0a", "0b", "0c", "1a", "1b", "1c"]
    assert loaded[5] == {
        "id": "1c", "source": "s", "language": "en", "num_bytes": 5, "input_ids": [8, 9], "segments": [1]
    }  # fmt: skip
    assert loaded.features["input_ids"] == datasets.List(datasets.Value("uint16"))
    assert loaded.map(lambda row: {"n": len(row["input_ids"])}, keep_in_memory=True)["n"][:] == [3, 0, 2] * 2
    state = json.loads((tmp_path / "out/train/state.json").read_text())
    assert [item["filename"] for item in state["_data_files"]] == [f"data-0000{i}-of-00002.arrow" for i in range(2)]


def test_the_fingerprint_follows_the_content(tmp_path):
    written = {}
    for name, text in (("a", "x"), ("b", "x"), ("c", "y")):
        write_tokens(tmp_path / name, {"train": [Row(text, [1, 2]), Row("last", [3])]}, rows_per_shard=1)
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        written[name] = {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in files}
    assert written["a"] == written["b"]
    assert sorted(written["a"]) == [
        "dataset_dict.json", "train/data-00000-of-00002.arrow", "train/data-00001-of-00002.arrow",
        "train/dataset_info.json", "train/state.json",
    ]  # fmt: skip
    states = [json.loads(written[name]["train/state.json"]) for name in "ac"]
    assert states[0]["_data_files"] == states[1]["_data_files"]
    assert states[0]["_fingerprint"] != states[1]["_fingerprint"]
