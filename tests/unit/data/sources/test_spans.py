from __future__ import annotations

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_rows import rows, write

from llmkit.data.sources import RawFile, Source, Span, _lines
from llmkit.data.sources.files import Files


def spans_and_rows(path, num_bytes):
    source = Files(path=str(path))
    (file,) = source.files()
    spans = source.spans(file, num_bytes)
    return spans, [row for span in spans for row in source.read_span(file, span)], list(source.read(file))


def test_lines_are_cut_behind_the_newline_that_fills_a_span(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text":"a"}\n\n \t\r\n{"text":"b"}\n{"text":"c"}')
    spans, parts, whole = spans_and_rows(path, 14)
    assert spans == [
        Span(0, 14, 0, 1, 14),  # row a and a blank line
        Span(14, 31, 1, 3, 17),  # a blank line and b
        Span(31, 43, 2, 5, 12),
    ]
    assert parts == whole
    assert [row.text for row in whole] == ["a", "b", "c"]


line = st.one_of(
    st.sampled_from([b"", b"\r", b" ", b"\t \r", b"\xef\xbb\xbf", b"{", b"\xff", b"\x00"]),
    st.text(max_size=30).map(lambda text: json.dumps({"text": text}).encode()),
)


@given(lines=st.lists(line, max_size=30), last=st.booleans(), num_bytes=st.integers(1, 80), block=st.integers(1, 50))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_cut_of_lines_gives_the_same_rows(tmp_path, monkeypatch, lines, last, num_bytes, block):
    with monkeypatch.context() as patch:
        patch.setattr(_lines, "_BLOCK_BYTES", block)
        data = b"\n".join(lines) + b"\n" * last
        spans, parts, whole = spans_and_rows(write(tmp_path / "a.jsonl", data), num_bytes)
    assert parts == whole
    if len(data) > num_bytes:
        assert b"".join(data[span.start : span.stop] for span in spans) == data
        assert all(span.num_bytes >= num_bytes for span in spans[:-1])


def test_parquet_is_cut_at_row_groups(tmp_path):
    words = [str(pow(7, n, 10**80 + 129)) for n in range(1000)]
    pq.write_table(pa.table({"text": words}), tmp_path / "a.parquet", row_group_size=100)
    size = (tmp_path / "a.parquet").stat().st_size
    spans, parts, whole = spans_and_rows(tmp_path / "a.parquet", size // 4)
    assert [(span.start, span.stop, span.row) for span in spans] == [(0, 3, 0), (3, 6, 300), (6, 9, 600), (9, 10, 900)]
    assert parts == whole
    assert [row.text for row in parts] == words
    assert sum(span.num_bytes for span in spans) <= size


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.txt", "a.csv", "small.jsonl", "utf16.jsonl", "damaged.parquet"])
def test_other_files_are_one_span(tmp_path, name):
    data = rows(*"ab") if name.startswith("small") else rows(*range(200))
    path = write(tmp_path / name, data.decode().encode("utf-16") if name.startswith("utf16") else data)
    spans, parts, whole = spans_and_rows(path, 100)
    assert spans == [Span(num_bytes=path.stat().st_size)]
    assert parts == whole


def test_json_lines_under_the_name_of_json_are_cut_too(tmp_path):
    spans, parts, whole = spans_and_rows(write(tmp_path / "a.json", rows(*map(str, range(100)))), 200)
    assert len(spans) > 5
    assert parts == whole
    assert len(parts) == 100


def test_a_source_that_cannot_cut_gives_one_span_that_reads_it_all():
    class Two(Source):
        def read(self, file):
            yield from (1, 2)

    file = RawFile("/x", "x", 7)
    assert Two().spans(file, 1) == [Span(num_bytes=7)]
    assert list(Two().read_span(file, Span())) == [1, 2]


def test_spans_travel_to_workers():
    assert pickle.loads(pickle.dumps(Span(1, 2, 3, 4, 5))) == Span(1, 2, 3, 4, 5)
