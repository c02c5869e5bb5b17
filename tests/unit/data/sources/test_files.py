from __future__ import annotations

import json
import math
import subprocess
import sys
import tracemalloc
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from source_rows import CODECS, read, rows, summary, texts, write

from llmkit.core.errors import DataError
from llmkit.data.sources import Broken, Record, _rows, _streams
from llmkit.data.sources.files import Files

LINES = (".jsonl", ".ndjson", ".jsonlines")
CHAT = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]


@pytest.mark.parametrize("suffix", [kind + codec for kind in LINES for codec in CODECS])
def test_every_json_lines_suffix_reads_the_same_rows(tmp_path, suffix):
    write(tmp_path / f"web{suffix}", b'{"text": "a", "url": "u", "n": 1}\n{"text": "\xe4\xbd\xa0\xe5\xa5\xbd"}')
    assert read(tmp_path / f"web{suffix}") == [
        Record(0, "a", "web", meta={"url": "u", "n": 1}),
        Record(1, "你好", "web"),
    ]


@pytest.mark.parametrize("suffix", [".txt" + codec for codec in CODECS])
def test_a_text_file_is_one_document(tmp_path, suffix):
    path = write(tmp_path / f"b.c{suffix}", b"\xef\xbb\xbfone\r\n\r\ntwo\x00\x0c\xe2\x80\xa8x\rend\n")
    assert read(path) == [Record(0, "one\n\ntwo\x00\x0c\u2028x\rend\n", "b.c")]


def test_suffixes_count_in_any_case(tmp_path):
    write(tmp_path / "A.JSONL", rows("x"))
    assert read(tmp_path / "A.JSONL") == [Record(0, "x", "A")]


def test_name_and_text_field_are_configurable(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"body": "x", "text": "y"}\n')
    assert read(path, name="mine", text_field="body") == [Record(0, "x", "mine", meta={"text": "y"})]


def test_only_newlines_end_a_line(tmp_path):
    odd = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"
    path = write(tmp_path / "a.jsonl", json.dumps({"text": odd}, ensure_ascii=False).encode() + b"\r\n" + rows("z"))
    assert texts(read(path)) == [odd, "z"]


def test_bom_blank_lines_and_crlf_are_not_rows(tmp_path):
    path = write(tmp_path / "a.jsonl", b'\xef\xbb\xbf\r\n{"text": "a"}\r\n \t\n\n{"text": "b"}\n[1]\n')
    assert read(path) == [
        Record(0, "a", "a"),
        Record(1, "b", "a"),
        Broken(2, "the row is an array, not an object", 6, "[1]"),
    ]


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a"}\n\ufeff{"text": "b, ] }"}\n',
        '{"text": "a"}\ufeff{"text": "b, ] }"}\n',
        '{"text": "a"}{"text": "b, ] }"}',
        '\x1e{"text": "a"}\n\x1e{"text": "b, ] }"}\n',
        '\x1e{"text": "a"}\x1e{"text": "b, ] }"}',
        '{"text": "a"},\n{"text": "b, ] }"},\n',
        '{"text": "a",}\n{"text": "b, ] }" , }\n',
        '{"text": "a", "n": [1, 2,]}\n{"text": "b, ] }", "n": [1,\t], }\n',
    ],
)
def test_what_joining_files_leaves_between_rows_costs_no_row(tmp_path, content):
    assert summary(read(write(tmp_path / "a.jsonl", content))) == ["a", "b, ] }"]


def test_rows_in_one_line_are_counted_each(tmp_path):
    result = read(write(tmp_path / "a.jsonl", '{"text": "a"}{"body": "b"}{"text": "c"}\n{"text": "d"} e\n'))
    reasons = ["! no field 'text'; the row has: body", "! invalid JSON at column 15: Extra data"]
    assert summary(result) == ["a", reasons[0], "c", reasons[1]]
    assert [row.row for row in result] == [0, 0, 0, 1]


def test_a_comma_at_the_end_of_a_list_in_json(tmp_path):
    assert summary(read(write(tmp_path / "a.json", '[{"text": "a, ]",}, {"text": "b"},\n]'))) == ["a, ]", "b"]


def test_bom_before_the_first_row_is_dropped(tmp_path):
    assert texts(read(write(tmp_path / "a.jsonl", b"\xef\xbb\xbf" + rows("a")))) == ["a"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "a"', "invalid JSON at column 13: Expecting ',' delimiter"),
        (b'{"text": "a"} {}', "invalid JSON at column 15: Extra data"),
        (b'"text"', "the row is a string, not an object"),
        (b"{}", "no field 'text'; the row has: nothing"),
        (b'{"body": "a", "title": "b"}', "no field 'text'; the row has: body, title"),
        (b'{"id": 1, "texts": "a"}', "no field 'text'; the row has: id, texts; did you mean 'texts'?"),
        (b'{"text": null}', "field 'text' is null, not a string"),
        (b'{"text": NaN}', "field 'text' is null, not a string"),
        (b'{"text": 3}', "field 'text' is a number, not a string"),
        (b'{"text": ["a"]}', "field 'text' is an array, not a string"),
        (b'{"text": "\xff"}', "invalid UTF-8 at byte 10"),
        (b'{"text": "\xed\xa0\x80"}', "invalid UTF-8 at byte 10"),
        (b'{"text": "\\ud83d"}', "a lone surrogate escape (\\ud800 to \\udfff) cannot be written as UTF-8"),
        (b'{"text": "a", "\\uDC00": 1}', "a lone surrogate escape (\\ud800 to \\udfff) cannot be written as UTF-8"),
        (b'{"text": "a", "n": ' + b"[" * 100 + b"]" * 100 + b"}", "JSON nested deeper than 100 levels"),
    ],
)
def test_a_broken_line_is_reported_and_its_neighbours_are_kept(tmp_path, line, reason):
    path = write(tmp_path / "a.jsonl", rows("before") + b"\n" + line + b"\n" + rows("after"))
    excerpt = line[:200].decode("utf-8", "replace")
    assert read(path) == [Record(0, "before", "a"), Broken(1, reason, 3, excerpt), Record(2, "after", "a")]


@pytest.mark.parametrize("line", [b"[" * 200_000, b'{"text": "a", "n": ' + b"9" * 5000 + b"}"])
def test_json_that_the_parser_refuses_is_broken(tmp_path, line):
    path = write(tmp_path / "a.jsonl", line + b"\n" + rows("after"))
    broken, after = read(path)
    assert broken.reason.startswith("invalid JSON: ")
    assert len(broken.excerpt) == 200
    assert after == Record(1, "after", "a")


def test_nesting_and_braces_within_the_limit_are_kept(tmp_path):
    deep = b"[" * 99 + b"]" * 99
    path = write(tmp_path / "a.jsonl", b'{"text": "' + b"{" * 500 + b'", "n": ' + deep + b"}\n")
    assert read(path) == [Record(0, "{" * 500, "a", meta={"n": json.loads(deep)})]


def test_surrogate_pairs_and_nul_bytes_are_text(tmp_path):
    path = write(tmp_path / "a.jsonl", b'{"text": "\\ud83d\\ude00 \\\\ud800 \\u0000"}\n{"text": "a\x00\tb"}\n')
    assert texts(read(path)) == ["😀 \\ud800 \x00", "a\x00\tb"]


def test_numbers_that_json_does_not_have_become_null(tmp_path):
    line = b'{"text": "a", "x": NaN, "y": [-Infinity, 1e999, 1.5], "z": {"k": Infinity}}\n'
    (row,) = read(write(tmp_path / "a.jsonl", line))
    assert row.meta == {"x": None, "y": [None, None, 1.5], "z": {"k": None}}


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_a_line_over_the_limit_is_broken_and_skipped(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 100)
    fits = json.dumps({"text": "x" * 88}).encode()
    assert len(fits) == 100
    long = json.dumps({"text": "y" * 3_000_000}).encode()
    path = write(tmp_path / f"a{suffix}", fits + b"\n" + fits[:-1] + b" }\n" + long + b"\n" + rows("z") + long)
    result = read(path)
    assert [row.row for row in result] == [0, 1, 2, 3, 4]
    assert texts(result) == ["x" * 88, "z"]
    assert [(row.line, row.reason) for row in result if isinstance(row, Broken)] == [
        (number, "longer than 100 bytes") for number in (2, 3, 5)
    ]


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_bomb_is_cut_off(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(_streams, "FREE_BYTES", 1_000_000)
    monkeypatch.setattr(_streams, "MAX_EXPANSION", 5)
    path = write(tmp_path / f"a.jsonl{codec}", rows("first") + b"0" * 30_000_000)
    first, broken = read(path)
    assert first.text == "first"
    assert (broken.row, broken.reason) == (
        1,
        "file is damaged after row 1: it expands to more than 5 times its size",
    )


def test_a_line_over_the_limit_is_never_held_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 1_000_000)
    path = write(tmp_path / "a.jsonl.gz", b'{"text": "' + b"x" * 50_000_000 + b'"}\n' + rows("next"))
    source = Files(path=str(path))
    (file,) = source.files()
    stream = source.read(file)
    tracemalloc.start()
    broken, following = stream
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (broken.reason, following.text) == ("longer than 1,000,000 bytes", "next")
    assert peak < 5_000_000


def test_a_text_file_over_the_limit_is_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 5)
    assert texts(read(write(tmp_path / "a.txt", b"12345"))) == ["12345"]
    (row,) = read(write(tmp_path / "b.txt", b"123456"))
    assert (row.row, row.reason) == (0, "longer than 5 bytes")


def test_a_text_file_with_a_bad_byte_is_one_broken_row(tmp_path):
    assert read(write(tmp_path / "a.txt", b"caf\xe9 au lait")) == [
        Broken(0, "invalid UTF-8 at byte 3", None, "caf\ufffd au lait")
    ]


@pytest.mark.parametrize("codec", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("keep", [0.02, 0.3, 0.7, 0.999])
def test_a_truncated_file_keeps_its_rows(tmp_path, codec, keep):
    # Text that hardly compresses, so that the cut falls in the middle of the rows too.
    words = [str(pow(7, n, 10**40 + 121)) for n in range(1, 20_000)]
    path = write(tmp_path / f"a.jsonl{codec}", rows(*words))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    result = read(path)
    kept = texts(result)
    assert kept == words[: len(kept)]
    # Everything up to the last compression block must be there: a block holds at most 128 KiB.
    assert len(kept) > keep * len(words) - 2 * 131_072 / 50
    where = f"after row {len(kept)}" if kept else "before the end of its first row"
    assert result[-1] == Broken(len(kept), f"file is truncated {where}")
    assert len(result) == len(kept) + 1


@pytest.mark.parametrize("codec", [".gz", ".zst"])
def test_bytes_after_the_compressed_data_lose_no_row(tmp_path, codec):
    words = [str(n) for n in range(10_000)]
    path = write(tmp_path / f"a.jsonl{codec}", rows(*words))
    path.write_bytes(path.read_bytes() + b"garbage!")
    *kept, last = read(path)
    assert texts(kept) == words
    assert last.row == 10_000
    assert last.reason.startswith("file is damaged after row 10000: ")


@pytest.mark.parametrize("codec", CODECS)
def test_concatenated_compressed_files_are_one(tmp_path, codec):
    first, second = (write(tmp_path / f"{n}.jsonl{codec}", rows(n)) for n in "ab")
    (tmp_path / f"both.jsonl{codec}").write_bytes(first.read_bytes() + second.read_bytes())
    assert texts(read(tmp_path / f"both.jsonl{codec}")) == ["a", "b"]


@pytest.mark.parametrize("codec", CODECS[1:])
@pytest.mark.parametrize("kind", [".jsonl", ".txt"])
def test_a_file_that_is_not_compressed_at_all_is_one_broken_row(tmp_path, kind, codec):
    path = tmp_path / f"a{kind}{codec}"
    path.write_bytes(rows("plain"))
    (row,) = read(path)
    assert row.row == 0
    assert row.reason.startswith("file is damaged before the end of its first row: ")


@given(
    text=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8),
    ascii_only=st.booleans(),
    codec=st.sampled_from(["", ".gz", ".zst"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_json_writes_is_read_back(tmp_path, text, ascii_only, codec):
    lines = "".join(json.dumps({"text": item, "copy": item}, ensure_ascii=ascii_only) + "\n" for item in text)
    result = read(write(tmp_path / f"a.jsonl{codec}", lines.encode()))
    assert result == [Record(n, item, "a", meta={"copy": item}) for n, item in enumerate(text)]


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_is_one_row_and_never_an_exception(tmp_path, noise):
    noise = noise.replace(b"\n", b"")
    result = read(write(tmp_path / "a.jsonl", rows("a") + noise + b"\n" + rows("b")))
    assert len(result) == 2 + bool(noise.strip(b" \t\r"))
    assert texts([result[0], result[-1]]) == ["a", "b"]


def table(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_rows_and_their_other_columns(tmp_path):
    columns = {
        "text": pa.array(["a", None, "c"]),
        "score": [0.5, math.nan, math.inf],
        "tags": [["x"], [], None],
        "map": pa.array([[("k", 1)], [], None], pa.map_(pa.string(), pa.int64())),
        "raw": [b"\xff", b"", None],
        "day": [date(2024, 2, 29), None, None],
        "at": pa.array([1_500_000_001, 0, None], pa.timestamp("ns", "UTC")),
        "price": [Decimal("1.10"), None, None],
    }
    first, second, third = read(table(tmp_path / "a.parquet", columns))
    assert (first.row, first.text, first.source) == (0, "a", "a")
    assert first.meta == {
        "score": 0.5,
        "tags": ["x"],
        "map": [["k", 1]],
        "raw": "/w==",
        "day": "2024-02-29",
        "at": "1970-01-01T00:00:01.500000001+00:00",
        "price": "1.10",
    }
    assert (second.row, second.reason) == (1, "field 'text' is null, not a string")
    assert third.meta["score"] is None
    json.dumps([first.meta, third.meta], allow_nan=False)


def test_parquet_rows_are_numbered_over_row_groups_and_batches(tmp_path):
    words = [str(n) for n in range(1500)]
    result = read(table(tmp_path / "a.parquet", {"text": words}, row_group_size=700))
    assert [(row.row, row.text) for row in result] == list(enumerate(words))


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_string_types(tmp_path, kind):
    assert texts(read(table(tmp_path / "a.parquet", {"text": pa.array(["x", "y"], kind)}))) == ["x", "y"]


def test_parquet_without_the_text_column_names_the_columns(tmp_path):
    result = read(table(tmp_path / "a.parquet", {"body": ["a", "b"], "title": ["c", "d"]}))
    assert [row.reason for row in result] == ["no field 'text'; the row has: body, title"] * 2
    assert result[1].excerpt == "{'body': 'b', 'title': 'd'}"


def test_a_parquet_row_that_python_cannot_hold_loses_only_itself(tmp_path):
    broken = pa.StringArray.from_buffers(3, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffc"))
    first, second, third = read(table(tmp_path / "a.parquet", {"text": broken}))
    assert (first, third) == (Record(0, "a", "a"), Record(2, "c", "a"))
    assert isinstance(second, Broken)
    assert second.row == 1
    assert second.reason == "field 'text' holds bytes that are no text: invalid UTF-8 at byte 0"


@pytest.mark.parametrize("data", [b"", b"not parquet", b"PAR1 but no footer PAR1"])
def test_a_file_that_is_not_parquet_is_one_broken_row(tmp_path, data):
    (row,) = read(write(tmp_path / "a.parquet", data))
    assert row.row == 0
    assert row.reason.startswith("file is damaged before the end of its first row: ")
    assert "\n" not in row.reason


def test_a_damaged_row_group_loses_no_other(tmp_path):
    words = [str(n) for n in range(3000)]
    path = table(tmp_path / "a.parquet", {"text": words}, row_group_size=1000, write_page_checksum=True)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + 600
    data[middle : middle + 50] = bytes(50)
    path.write_bytes(data)
    result = read(path)
    (broken,) = [row for row in result if isinstance(row, Broken)]
    assert texts(result) == words[:1000] + words[2000:]
    assert broken.row == 1000
    assert broken.reason.endswith("; 1000 rows are lost")
    assert result[-1].row == 2999


def test_messages_make_examples(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": CHAT, "text": "t", "id": 7}).encode())
    source = Files(path=str(path), messages_field="messages")
    assert source.kind() == "examples"
    assert Files(path=str(path)).kind() == "corpus"
    assert read(path, messages_field="messages") == [
        Record(0, "2+2?\n4", "a", fields={"messages": CHAT}, meta={"text": "t", "id": 7})
    ]


def test_messages_field_may_have_another_name(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"turns": CHAT}).encode())
    (row,) = read(path, messages_field="turns")
    assert row.fields == {"messages": CHAT}


def test_parquet_messages_drop_null_keys(tmp_path):
    chat = [{"role": "system", "content": "s", "name": None}, {**CHAT[1], "name": None}]
    (row,) = read(
        table(tmp_path / "a.parquet", {"messages": pa.array([chat])}),
        messages_field="messages",
    )
    chat = [{"role": "system", "content": "s", "name": "n"}, {**CHAT[1], "name": "m"}]
    (named,) = read(table(tmp_path / "b.parquet", {"messages": pa.array([chat])}), messages_field="messages")
    assert row.fields == {"messages": [{"role": "system", "content": "s"}, CHAT[1]]}
    assert named.fields == {"messages": chat}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("hi", "field 'messages' is a string, not an array"),
        ([], "field 'messages' has no message of the assistant"),
        (CHAT[:1], "field 'messages' has no message of the assistant"),
        ([*CHAT, "x"], "messages.2 is a string, not an object"),
        ([{"role": "human", "content": "x"}], "messages.0.role is 'human'; did you mean 'user'?"),
        ([{"role": ["user"], "content": "x"}], "messages.0.role is ['user']; valid: system, user, assistant, tool"),
        ([{"content": "x"}], "messages.0.role is None; valid: system, user, assistant, tool"),
        ([{"role": "user"}], "messages.0.content is null, not a string"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content.0 is a string, not an object"),
        ([{**CHAT[1], "wieght": 0}], "messages.0 has the key 'wieght'; did you mean 'weight'?"),
    ],
)
def test_messages_of_another_shape_are_broken(tmp_path, value, reason):
    path = write(tmp_path / "a.jsonl", json.dumps({"messages": value}).encode())
    (row,) = read(path, messages_field="messages")
    assert (row.row, row.line, row.reason) == (0, 1, reason)


def test_a_text_file_has_no_messages(tmp_path):
    (row,) = read(write(tmp_path / "a.txt", b"x"), messages_field="messages")
    assert row.reason == "no field 'messages'; the row has: text"


@pytest.fixture
def tree(tmp_path):
    for name in ("b.txt", "sub/a.jsonl", "sub/c.d.jsonl.gz", ".hidden/x.txt", ".x.txt", "notes.pdf", "sub/data.jsonx"):
        write(tmp_path / "in" / name, b"")
    return tmp_path / "in"


def names(path):
    return [file.name for file in Files(path=str(path)).files()]


def test_a_directory_is_searched_for_the_known_suffixes(tree):
    found = Files(path=str(tree)).files()
    assert [file.name for file in found] == ["b.txt", "sub/a.jsonl", "sub/c.d.jsonl.gz"]
    assert [Path(file.path) for file in found] == [tree / file.name for file in found]
    assert [file.num_bytes for file in found] == [0, 0, (tree / "sub/c.d.jsonl.gz").stat().st_size]


def test_paths_are_absolute_and_names_relative_from_anywhere(tree, monkeypatch):
    monkeypatch.chdir(tree)
    expected = Files(path=str(tree)).files()
    assert Files(path=".").files() == expected
    assert Files(path="**/*").files() == expected
    assert names("sub") == ["a.jsonl", "c.d.jsonl.gz"]
    assert names("b.txt") == ["b.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["b.txt"]),
        ("**/*.txt", ["b.txt"]),
        ("*/*.jsonl*", ["sub/a.jsonl", "sub/c.d.jsonl.gz"]),
        ("s*", ["sub/a.jsonl", "sub/c.d.jsonl.gz"]),
        ("sub/[ab].jsonl", ["a.jsonl"]),
        ("**", ["b.txt", "sub/a.jsonl", "sub/c.d.jsonl.gz"]),
    ],
)
def test_a_glob_names_files_relative_to_its_fixed_part(tree, pattern, expected):
    assert names(tree / pattern) == expected


def test_a_name_with_glob_characters_is_taken_literally_if_it_exists(tmp_path):
    write(tmp_path / "a[1].txt", b"x")
    write(tmp_path / "a1.txt", b"y")
    assert texts(read(tmp_path / "a[1].txt")) == ["x"]


def test_home_is_expanded(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree))
    assert names("~/sub") == ["a.jsonl", "c.d.jsonl.gz"]


def test_links_are_followed_once(tree, tmp_path):
    write(tmp_path / "elsewhere" / "far.txt", b"")
    (tree / "link").symlink_to(tmp_path / "elsewhere")
    (tree / "again.txt").symlink_to(tmp_path / "elsewhere" / "far.txt")
    (tree / "sub" / "a_loop").symlink_to(tree)
    (tree / "dangling.txt").symlink_to(tmp_path / "nowhere")
    assert names(tree) == ["again.txt", "b.txt", "sub/a.jsonl", "sub/c.d.jsonl.gz"]


def test_missing_path_names_the_nearest_sibling(tree):
    with pytest.raises(DataError) as caught:
        names(tree / "subb" / "a.jsonl")
    assert caught.value.exit_code == 3
    assert caught.value.message == (f"no such file or directory: {tree}/subb/a.jsonl; did you mean '{tree}/sub'?")
    assert caught.value.hint == f"ls {tree}"


def test_missing_path_with_nothing_like_it(tree):
    with pytest.raises(DataError, match=r"^no such file or directory: \S+/zzzzzz$"):
        names(tree / "zzzzzz")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("notes.pdf", "cannot read {}: unknown file type '.pdf'"),
        ("sub/data.jsonx", "cannot read {}: unknown file type '.jsonx'"),
        ("*.pdf", "no files to read in {}"),
        ("*.csv", "no files match {}"),
        ("nowhere/*.txt", "no files match {}"),
        ("empty", "no files to read in {}"),
    ],
)
def test_nothing_to_read_is_an_error_that_says_why(tree, path, message):
    (tree / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        names(tree / path)
    assert caught.value.message == message.format(tree / path)
    if "match" not in message:
        assert ".jsonl, " in caught.value.hint
        assert caught.value.hint.endswith("compressed: .gz, .bz2, .xz, .zst")
        assert caught.value.hint.startswith("did you mean '.json") == path.endswith(".jsonx")


@pytest.mark.parametrize("suffix", [".jsonl", ".txt.gz", ".txt.zst", ".parquet"])
def test_a_file_that_went_away_is_an_error_and_not_a_broken_row(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", b"")
    source = Files(path=str(path))
    (file,) = source.files()
    path.unlink()
    with pytest.raises(DataError, match=f"^cannot read {path}: "):
        list(source.read(file))


def test_an_empty_path_is_refused():
    with pytest.raises(ValidationError, match="at least 1 character"):
        Files(path="")


def test_a_large_file_is_streamed(tmp_path):
    path = write(tmp_path / "a.jsonl", rows("x" * 1000) * 20_000)
    source = Files(path=str(path))
    (file,) = source.files()
    stream = source.read(file)
    tracemalloc.start()
    assert sum(1 for _ in stream) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_importing_the_module_loads_no_arrow():
    code = "import sys, llmkit.data.sources.files; print({'pyarrow', 'datasets', 'torch'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"


def test_dates_of_parquet_have_a_zone_only_if_written_with_one(tmp_path):
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    columns = {
        "text": ["a"],
        "naive": pa.array([moment.replace(tzinfo=None)], pa.timestamp("us")),
        "aware": pa.array([moment], pa.timestamp("us", "UTC")),
    }
    (row,) = read(table(tmp_path / "a.parquet", columns))
    assert row.meta == {"naive": "2024-01-02T03:04:05", "aware": "2024-01-02T03:04:05+00:00"}


def test_a_dataset_of_the_hub_is_told_from_a_path(tree, monkeypatch):
    monkeypatch.chdir(tree)
    with pytest.raises(DataError) as caught:
        Files(path="user/dataset").files()
    assert caught.value.hint == "a dataset of the Hugging Face hub: -s 'inputs=[{type: hf, path: user/dataset}]'"
    with pytest.raises(DataError) as caught:
        Files(path="sub/none.jsonl").files()
    assert caught.value.hint == "ls sub"


@pytest.mark.parametrize(
    ("value", "language", "left"),
    [
        ("en", "en", {}),
        ("zh-Hant-TW", "zh-Hant-TW", {}),
        ("Python", None, {"language": "Python"}),
        ("EN", "en", {}),
        ("zho_Hans", "zh-Hans", {}),
        ("PHP", None, {"language": "PHP"}),
        (["en"], None, {"language": ["en"]}),
        (None, None, {"language": None}),
    ],
)
def test_a_column_of_languages_is_believed_if_it_holds_tags(tmp_path, value, language, left):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "print()", "language": value}) + "\n")
    source = Files(path=str(path))
    (record,) = source.read(source.files()[0])
    assert (record.language, record.meta) == (language, left)
