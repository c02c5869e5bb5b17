"""Damaged Arrow files: a part that cannot be read costs itself, whatever it is that is damaged."""

from __future__ import annotations

import io
import random

import pyarrow as pa
import pytest
from source_rows import read, texts, write

from llmkit.data.sources import Broken

WORDS = [f"row {number} of the harbour log" for number in range(900)]


def arrow(kind, compression=None):
    table = pa.table({"text": WORDS, "n": range(900), "tags": [[{"a": word}] for word in WORDS]})
    out, options = io.BytesIO(), pa.ipc.IpcWriteOptions(compression=compression)
    new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with new(out, table.schema, options=options) as writer:
        for start in range(0, 900, 100):
            writer.write_table(table.slice(start, 100))
    return out.getvalue()


def broken(result):
    return [row for row in result if isinstance(row, Broken)]


@pytest.mark.parametrize("compression", [None, "lz4"])
@pytest.mark.parametrize("kind", ["file", "stream"])
def test_damage_in_any_place_ends_no_run_and_loses_no_row_in_silence(tmp_path, kind, compression):
    whole = arrow(kind, compression)
    draw = random.Random(0)
    for start in range(0, len(whole), len(whole) // 50):
        data = bytearray(whole)
        data[start : start + 40] = draw.randbytes(len(data[start : start + 40]))
        result = read(write(tmp_path / "a.arrow", bytes(data)))
        found = texts(result)
        assert len(found) == 900 or broken(result)
        assert sum(text not in WORDS for text in found) <= 3  # letters may be damaged where no compression shows it


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_a_batch_whose_values_lie_outside_of_it_costs_its_rows_alone(tmp_path, kind):
    data = arrow(kind)
    offsets = b"".join(number.to_bytes(4, "little") for number in (0, *_ends(WORDS[100:200])))
    where = data.index(offsets)
    data = data[: where + 40] + b"\xff" * 8 + data[where + 48 :]  # where rows 10 and 11 of the batch begin
    result = read(write(tmp_path / "a.arrow", data))
    assert [row.row for row in broken(result)] == [109, 110, 111]
    assert all(row.reason.startswith("the row is damaged: ") for row in broken(result))
    assert texts(result) == WORDS[:109] + WORDS[112:]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_the_rows_of_a_batch_that_cannot_be_unpacked_are_counted(tmp_path, kind):
    whole = arrow(kind, "lz4")
    frames = [place for place in range(len(whole)) if whole.startswith(b"\x04\x22\x4d\x18", place)]
    where = frames[len(frames) // 2]
    result = read(write(tmp_path / "a.arrow", whole[:where] + bytes(4) + whole[where + 4 :]))
    (row,) = broken(result)
    assert row.num_rows == 100
    assert row.reason.endswith("; 100 rows are lost")
    assert texts(result) == WORDS[: row.row] + WORDS[row.row + 100 :]


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_what_stands_before_the_end_of_a_truncated_file(tmp_path, kind):
    whole = arrow(kind)
    *kept, last = read(write(tmp_path / "a.arrow", whole[: len(whole) // 2]))
    assert 300 <= len(kept) <= 500
    assert texts(kept) == WORDS[: len(kept)]
    assert last == Broken(len(kept), f"file is truncated after row {len(kept)}")


def test_without_its_table_of_contents_a_file_is_a_stream(tmp_path):
    whole = arrow("file")
    *kept, last = read(write(tmp_path / "a.arrow", whole[:-30] + bytes(30)))
    assert texts(kept) == WORDS
    assert last.reason.startswith("file is damaged after row 900: ")


def _ends(words):
    total = 0
    for word in words:
        yield (total := total + len(word))


def test_streams_that_were_joined_are_read_one_after_the_other(tmp_path):
    assert texts(read(write(tmp_path / "a.arrow", arrow("stream") * 3))) == WORDS * 3
