"""JSON, tables, Markdown, web pages and Arrow; JSON Lines, text and Parquet are in test_files.py."""

from __future__ import annotations

import csv
import io
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_rows import CODECS, read, summary, texts, write

from llmkit.data.sources import Broken, Record, _rows
from llmkit.data.sources._formats import Format, formats, listing, split_suffix
from llmkit.data.sources.files import Files

# --- compressed Parquet and Arrow


def packed(kind: str, texts: list[str]) -> bytes:
    """Return a table with a row group or batch of 100 rows, in one of three formats."""
    table, out = pa.table({"text": texts, "n": range(len(texts))}), io.BytesIO()
    if kind == "parquet":
        pq.write_table(table, out, row_group_size=100)
        return out.getvalue()
    new = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with new(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    return out.getvalue()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("kind", "suffix"), [("parquet", ".parquet"), ("stream", ".arrow"), ("file", ".arrow")])
def test_parquet_and_arrow_in_every_compression(tmp_path, kind, suffix, codec):
    words = [f"text {number}" for number in range(300)]
    write(tmp_path / f"a{suffix}{codec}", packed(kind, words))
    result = read(tmp_path)
    assert texts(result) == words
    assert [(row.row, dict(row.meta), row.source) for row in result] == [(n, {"n": n}, "a") for n in range(300)]
    (span,) = Files(path=str(tmp_path)).spans(Files(path=str(tmp_path)).files()[0], 100 if codec else 10**6)
    assert span.stop is None


@pytest.mark.parametrize(("kind", "suffix"), [("parquet", ".parquet"), ("stream", ".arrow"), ("file", ".arrow")])
def test_a_truncated_compression_of_a_table_is_one_broken_row(tmp_path, kind, suffix):
    path = write(tmp_path / f"a{suffix}.gz", packed(kind, [str(pow(7, n, 10**40 + 121)) for n in range(300)]))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    *kept, last = read(path)
    assert texts(kept) == [str(pow(7, n, 10**40 + 121)) for n in range(100 if kind == "stream" else 0)]
    where = "after row 100" if kind == "stream" else "before the end of its first row"
    assert last == Broken(len(kept), f"file is truncated {where}")


# --- the table of suffixes


def test_every_suffix_has_a_format():
    assert sorted(formats()) == [
        ".arrow", ".csv", ".htm", ".html", ".json", ".jsonl", ".jsonlines", ".markdown", ".md", ".ndjson", ".parquet",
        ".pq", ".text", ".tmx", ".tsv", ".txt", ".warc", ".warc.wet", ".wet", ".xhtml", ".xml",
    ]  # fmt: skip
    assert all(isinstance(form, Format) and form.__doc__ for form in formats().values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.JSONL.GZ", (".jsonl", ".gz")),
        ("CC-MAIN-0.warc.wet.gz", (".warc.wet", ".gz")),
        ("a.parquet", (".parquet", "")),
        ("a.parquet.gz", (".parquet", ".gz")),
        ("a.tar.gz", ("", "")),
        ("a.gz", ("", "")),
        ("jsonl", ("", "")),
    ],
)
def test_format_and_compression_are_separate_suffixes(name, expected):
    assert split_suffix(name) == expected


def test_the_nearest_suffix_is_named():
    assert listing(".josnl").startswith("did you mean '.jsonl'? suffixes that are read: .arrow, .csv, ")
    assert listing().startswith("suffixes that are read: ")


# --- JSON


@pytest.mark.parametrize("codec", CODECS)
def test_json_list_of_rows(tmp_path, codec):
    path = write(tmp_path / f"a.json{codec}", '[{"text": "你好", "n": 1},\n "x", {"txt": "b"}, {"text": "c"}]')
    assert read(path) == [
        Record(0, "你好", "a", meta={"n": 1}),
        Broken(1, "the row is a string, not an object", excerpt="'x'"),
        Broken(2, "no field 'text'; the row has: txt; did you mean 'txt'?", excerpt="{'txt': 'b'}"),
        Record(3, "c", "a"),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"text": "one", "more": [{"text": "no"}]}', ["one"]),
        ('{\n "version": 2,\n "data": [{"text": "a"}, {"text": "b"}]\n}', ["a", "b"]),
        ('{"data": [{"text": "a"}]}', ["a"]),
        ('{"x": [{"text": "a"}], "y": [{"text": "b"}]}', ["! no field 'text'; the row has: x, y"]),
        ("[]", []),
        ("", []),
        (" \n", []),
        ("3", ["! the row is a number, not an object"]),
        ('{"text": ', ["! invalid JSON at column 10: Expecting value"]),
        ('\ufeff[{"text": "bom"}]', ["bom"]),
        ('[{"text": "a", "n": NaN}, {"text": "\\ud800"}, {"text": "c"}]',
         ["a", "! a lone surrogate escape (\\ud800 to \\udfff) cannot be written as UTF-8", "c"]),
    ],
)  # fmt: skip
def test_json_of_other_shapes(tmp_path, content, expected):
    assert summary(read(write(tmp_path / "a.json", content))) == expected


def test_a_bad_byte_in_json_breaks_its_row_alone(tmp_path):
    path = write(tmp_path / "a.json", b'[{"text": "a"}, {"text": "caf\xe9"}, {"text": "c"}]')
    first, broken, last = read(path)
    assert (first.text, last.text) == ("a", "c")
    assert "cannot be written as UTF-8" in broken.reason


def test_json_lines_under_the_name_of_json(tmp_path, monkeypatch):
    # As C4 has them. Read by lines, a file may be larger than a row.
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 40)
    lines = ['{"text": "a"}', '{"text": "b"', '{"text": "c"}'] * 3
    result = read(write(tmp_path / "c4.json.gz", "\n".join(lines)))
    assert texts(result) == ["a", "c"] * 3
    assert [row.line for row in result if isinstance(row, Broken)] == [2, 5, 8]
    damaged_first = read(write(tmp_path / "d.json", "\n".join(lines[1:])))
    assert texts(damaged_first) == ["c"] + ["a", "c"] * 2


def test_a_json_file_over_the_limit_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 20)
    (row,) = read(write(tmp_path / "a.json", '[{"text": "' + "x" * 100 + '"}]'))
    assert row.reason == "longer than 20 bytes; JSON Lines may be of any length"


def test_integers_of_more_than_64_bits_stay_exact(tmp_path):
    big = 2**64 + 1
    for name in ("a.json", "a.jsonl"):
        (row,) = read(write(tmp_path / name, json.dumps({"text": "a", "n": big, "m": [{"k": -big}]})))
        assert row.meta == {"n": big, "m": [{"k": -big}]}


# --- tables


def test_csv_columns_and_multiline_fields(tmp_path):
    content = '\ufefftext,url\r\n"one\ntwo, ""three""",u\r\n\r\n你好，世界,v\r\n'
    assert read(write(tmp_path / "a.csv", content)) == [
        Record(0, 'one\ntwo, "three"', "a", meta={"url": "u"}),
        Record(1, "你好，世界", "a", meta={"url": "v"}),
    ]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x", "the row has 1 columns, the header has 2"),
        ("x,y,z", "the row has 3 columns, the header has 2"),
        ('"x"y,z', "the row is no CSV: ',' expected after '\"'"),
        ('"never closed,z', "the row is no CSV: ',' expected after '\"'"),
        (",".join("abcdef"), "the row has 6 columns, the header has 2"),
    ],
)
def test_a_bad_row_of_a_table_costs_no_other(tmp_path, bad, reason):
    result = read(write(tmp_path / "a.csv", f'text,n\na,1\n{bad}\n"b",2\nc,3\n'))
    assert texts(result) == ["a", "b", "c"]
    (broken,) = [row for row in result if isinstance(row, Broken)]
    assert (broken.row, broken.line, broken.reason, broken.excerpt) == (1, 3, reason, bad)


def test_a_quote_that_the_end_of_the_file_closes(tmp_path):
    result = read(write(tmp_path / "a.csv", 'text,n\na,1\n"open,2\nb,3\nc,4\n'))
    assert texts(result) == ["a", "b", "c"]
    assert summary(result)[1] == "! the row is no CSV: unexpected end of data"


def test_tabs_and_stray_quotes(tmp_path):
    content = 'id\ttext\n1\t"Hello," he said.\n2\t"a\tb"\n3\t"x\ny"\n4\tlast\n'
    assert summary(read(write(tmp_path / "a.tsv.xz", content))) == ['"Hello," he said.', "a\tb", "x\ny", "last"]


def test_semicolons_duplicate_names_and_a_bad_line(tmp_path):
    path = write(tmp_path / "a.csv", b"text;n;n\na;1;2\ncaf\xe9;1;2\nb;3;4\n")
    first, broken, last = read(path)
    assert (first.meta, last.text) == ({"n": "1", "n.1": "2"}, "b")
    assert (broken.line, broken.reason) == (3, "invalid UTF-8 at byte 3")


def test_a_table_without_the_column_and_an_empty_one(tmp_path):
    assert summary(read(write(tmp_path / "a.csv", "title,body\nx,y\n"))) == [
        "! no field 'text'; the row has: title, body"
    ]
    assert read(write(tmp_path / "b.csv", "")) == read(write(tmp_path / "c.csv", "text,n\n")) == []


def test_a_field_over_the_limit_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 50)
    content = 'text,n\na,1\n"' + "x\n" * 60 + '",2\nb,3\n'
    result = read(write(tmp_path / "a.csv", content))
    assert result[1].reason == "longer than 50 bytes"
    assert (result[1].line, texts(result)[0], texts(result)[-1]) == (3, "a", "b")


@given(
    st.lists(
        st.tuples(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), st.integers()), max_size=6
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_csv_writes_is_read_back(tmp_path, content):
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([("text", "n"), *content])
    result = read(write(tmp_path / "a.csv", out.getvalue()))
    assert [(row.text, row.meta) for row in result] == [(text, {"n": str(n)}) for text, n in content]


# --- Markdown


def test_front_matter_goes_to_meta(tmp_path):
    content = "---\r\ntitle: 你好\ndate: 2024-02-29\ntags: [a, 1]\n---\n\n# Title\n\n---\nrest\n"
    assert read(write(tmp_path / "a.md", content)) == [
        Record(0, "# Title\n\n---\nrest\n", "a", meta={"title": "你好", "date": "2024-02-29", "tags": ["a", 1]})
    ]


def test_front_matter_has_no_number_that_json_lacks(tmp_path):
    (record,) = read(write(tmp_path / "a.md", "---\nscore: .nan\nlimits: [-.inf, 1e999, 0.5]\n---\ntext\n"))
    assert record.meta == {"score": None, "limits": [None, None, 0.5]}


@pytest.mark.parametrize(
    "content",
    [
        "# no front matter\n",
        "---\nnot: [closed\n---\ntext\n",
        "---\njust words\n---\ntext\n",
        "---\nnever closed\n",
        '---\na: "\\ud800"\n---\ntext\n',
        "----\na: 1\n---\n",
        "---\n" + "a: &a [x]\n" + "b: [*a, *a]\n" * 2 + "---\n",  # a key twice
        "---\n" + "x" * 70_000 + "\n---\n",
    ],
)
def test_what_is_no_front_matter_stays_text(tmp_path, content):
    assert read(write(tmp_path / "a.md", content)) == [Record(0, content, "a")]


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html", "a.txt.gz", "a.jsonl.xz", "a.json.zst", "a.tsv.bz2"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    write(tmp_path / name, b"")
    (tmp_path / name).write_bytes(b"")  # not even compressed
    assert read(tmp_path / name) == []


def test_a_card_beside_data_is_no_document(tmp_path):
    for name in ("README.md", "notes.md", "dataset_info.json", "sub/state.json", "sub/README.md"):
        write(tmp_path / name, "x")
    documents = [file.name for file in Files(path=str(tmp_path)).files()]
    assert documents == ["README.md", "notes.md", "sub/README.md"]
    write(tmp_path / "data.csv", "text\nx\n")
    assert [file.name for file in Files(path=str(tmp_path)).files()] == ["data.csv", "notes.md"]
    assert [file.name for file in Files(path=str(tmp_path / "*.md")).files()] == ["README.md", "notes.md"]


# --- web pages


def test_a_page_is_kept_as_it_is(tmp_path):
    page = "<html>\r\n<p>你好</p></html>"
    assert read(write(tmp_path / "a.HTM", page)) == [Record(0, page, "a", meta={"format": "html"})]


# --- Arrow


def test_what_save_to_disk_writes_is_read_as_files(tmp_path):
    columns = {"text": [f"第{n}行" for n in range(700)], "n": list(range(700))}
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "saved", num_shards=2)
    result = read(tmp_path / "saved")
    assert [(row.text, row.meta["n"]) for row in result] == list(zip(*columns.values(), strict=True))
    assert [row.row for row in result] == [*range(350), *range(350)]


def test_arrow_files_and_damage(tmp_path):
    table = pa.table({"text": ["a", "b"]})
    with pa.ipc.new_file(tmp_path / "a.arrow", table.schema) as out:
        out.write_table(table)
    assert texts(read(tmp_path / "a.arrow")) == ["a", "b"]
    with pa.ipc.new_stream(tmp_path / "b.arrow", table.schema) as out:
        for _ in range(50):
            out.write_table(table)
    whole = (tmp_path / "b.arrow").read_bytes()
    (tmp_path / "b.arrow").write_bytes(whole[: len(whole) * 2 // 3])
    *kept, last = read(tmp_path / "b.arrow")
    assert len(kept) >= 60
    assert last.row == len(kept)
    assert last.reason.startswith("file is ")
    assert read(write(tmp_path / "c.arrow", b"")) == []
