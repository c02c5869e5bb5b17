from __future__ import annotations

import gzip

from llmkit.cleaning.spool import read_chunk, spool_file
from llmkit.data.sources import Broken
from llmkit.data.sources.files import Files


def spooled(tmp_path, data, chunk_bytes):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(data)
    source = Files(path=str(path))
    (file,) = source.files()
    folder = tmp_path / "chunks"
    sizes = spool_file((source, file, folder, chunk_bytes))
    chunks = [list(read_chunk(folder / f"{i:06}")) for i in range(len(sizes))]
    assert [row for chunk in chunks for row in chunk] == list(source.read(file))
    return sizes, chunks


def test_a_chunk_ends_with_the_row_that_fills_it(tmp_path):
    lines = [f'{{"text": "{"x" * size}"}}' for size in (4, 6, 9, 1, 30, 2)]
    sizes, chunks = spooled(tmp_path, gzip.compress("\n".join(lines).encode()), 10)
    assert sizes == [10, 10, 30, 2]
    assert [len(chunk) for chunk in chunks] == [2, 2, 1, 1]


def test_a_file_without_rows_is_one_empty_chunk(tmp_path):
    assert spooled(tmp_path, gzip.compress(b""), 10) == ([0], [[]])


def test_a_file_that_is_cut_off_keeps_what_it_has(tmp_path):
    lines = "".join(f'{{"text": "text {i * i}"}}\n' for i in range(3000)).encode()
    _, chunks = spooled(tmp_path, gzip.compress(lines)[:-2000], 5000)
    rows = [row for chunk in chunks for row in chunk]
    assert isinstance(rows[-1], Broken)
    assert [row.text for row in rows[:-1]] == [f"text {i * i}" for i in range(len(rows) - 1)]
    assert len(rows) > 100


def test_an_earlier_attempt_leaves_nothing_behind(tmp_path):
    (tmp_path / "chunks").mkdir()
    (tmp_path / "chunks/000007").write_bytes(b"half")
    spooled(tmp_path, gzip.compress(b'{"text": "a"}'), 10)
    assert {path.name for path in (tmp_path / "chunks").iterdir()} == {"000000"}


def test_a_chunk_of_empty_rows_ends_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr("llmkit.cleaning.spool.MAX_ROWS", 4)
    monkeypatch.setattr("llmkit.cleaning.spool._ROWS_PER_BATCH", 3)
    sizes, chunks = spooled(tmp_path, gzip.compress(b'{"text": ""}\n' * 10), 10)
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert sizes == [0, 0, 0]
