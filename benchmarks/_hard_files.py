"""Files that make a careless reader slow, for every format: wide, deep, unclosed, broken in every row, or one line."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

Maker = Callable[[int], bytes]
_ROWS = 64
"""Rows or groups of what is hard by its columns: one alone could hide behind the start."""


def _repeat(unit: str, head: str = "", tail: str = "") -> Maker:
    """Return a maker of one unit over and over."""
    return lambda size: (head + unit * (size // len(unit.encode())) + tail).encode()


def _each(unit: Callable[[int], str], length: int, head: str = "") -> Maker:
    """Return a maker of numbered units of about a length."""
    return lambda size: (head + "".join(map(unit, range(size // length)))).encode()


def _wide(mark: str, name: Callable[[int], str]) -> Maker:
    def make(size: int) -> bytes:
        count = size // 8
        names = mark.join(["text", *map(name, range(count))])
        return (names + "\n" + mark.join(["words", *["1"] * count]) + "\n").encode()

    return make


def _tables(mark: str) -> dict[str, Maker]:
    head = mark.join(("text", "a")) + "\n"
    return {
        "columns without names": _wide(mark, lambda _: ""),
        "columns of one name": _wide(mark, lambda _: "name"),
        "columns of many names": _wide(mark, lambda i: f"c{i}"),
        "a row too short, often": _repeat("x\n", head),
        "quotes that open in every row": _repeat(f'"x{mark}1\n', head),
        "quotes that change sides": _repeat(f'x"{mark}y{mark}"z\n', head),
        "one quote, never closed": _repeat(f"word{mark}1\n", f'{head}"open{mark}1\n'),
        "nothing but quotes": _repeat('"', head),
        "tiny rows": _repeat(f"x{mark}1\n", head),
        "blank lines": _repeat("\n", head, f"x{mark}1\n"),
    }


def _object(size: int) -> bytes:
    return json.dumps({"text": "x", **{f"k{i}": i for i in range(size // 16)}}).encode() + b"\n"


def _table(count: int) -> pa.Table:
    return pa.table({"text": ["some words"] * _ROWS, **{f"c{i}": [i] * _ROWS for i in range(count)}})


def _parquet(table: pa.Table, group: int) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=group)
    return out.getvalue()


def _arrow(table: pa.Table, chunk: int) -> bytes:
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return out.getvalue()


def _short(size: int) -> pa.Table:
    return pa.table({"text": [f"row {i}" for i in range(size // 64)]})


def _record(body: str, headers: str = "") -> str:
    page = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{headers}\r\n{body}"
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/\r\nContent-Length: {len(page.encode())}"
    return f"{head}\r\n\r\n{page}\r\n\r\n"


_ARCHIVES: dict[str, Maker] = {
    "small records": _repeat(_record("<p>Some words.</p>")),
    "no record begins": _repeat("no header\n", tail=_record("<p>Words.</p>")),
    "headers without end": _repeat("a: b\r\n", "WARC/1.0\r\n"),
    "chunks of one byte": lambda size: _record(
        "1\r\na\r\n" * (size // 6) + "0\r\n\r\n", "Transfer-Encoding: chunked\r\n"
    ).encode(),
}
_PAGES: dict[str, Maker] = {
    "nested elements": _repeat("<div>", tail="words"),
    "tags without end": _repeat("<a <b"),
    "comments without end": _repeat("<!--"),
    "scripts without end": _repeat("<script>"),
    "meta elements": _repeat("<meta a='"),
    "quotes": _repeat("<a b=\"c' "),
    "entities": _repeat("&amp;#"),
    "tables in tables": _repeat("<table><tr><td>"),
}
_TEXTS: dict[str, Maker] = {
    "one line": _repeat("some words and more "),
    "line ends": _repeat("\n", tail="x"),
    "returns": _repeat("x\r"),
    "no UTF-8": lambda size: b"\xff" * size,
    "NUL": _repeat("\0"),
}
_DUMPS: dict[str, Maker] = {
    "tiny pages": _repeat("<page><title>t</title><ns>0</ns><revision><text>x</text></revision></page>", "<mediawiki>"),
    "pages never closed": _repeat("<page>\n", "<mediawiki>"),
    "ends of pages": _repeat("</page>\n", "<mediawiki>"),
    "deep nesting": _repeat("<a>", "<mediawiki><page>", "</page>"),
    "no XML in every page": _repeat("<page>&oops;</page>\n", "<mediawiki>"),
    "no element": _repeat("<"),
    "one long text": _repeat("x", "<mediawiki><page><ns>0</ns><revision><text>", "</text></revision></page>"),
}
_MEMORIES: dict[str, Maker] = {
    "tiny units": _repeat('<tu><tuv xml:lang="en"><seg>x</seg></tuv></tu>\n', "<tmx><body>", "</body></tmx>"),
    "units never closed": _repeat("<tu>\n", "<tmx><body>"),
    "one unit of many languages": _repeat(
        '<tuv xml:lang="en"><seg>x</seg></tuv>', "<tmx><body><tu>", "</tu></body></tmx>"
    ),
    "deep nesting": _repeat("<a>", "<tmx><body><tu>", "</tu></body></tmx>"),
    "no XML in every unit": _repeat("<tu>&oops;</tu>\n", "<tmx><body>"),
    "no element": _repeat("<"),
}
HARD_FILES: dict[str, dict[str, Maker]] = {
    ".jsonl": {
        "one wide object": _object,
        "tiny objects": _repeat('{"text":"x"}\n'),
        "blank lines": _repeat("\n", tail='{"text":"x"}\n'),
        "deep nesting": _repeat("[", '{"text":'),
        "no JSON in every line": _repeat("{x\n"),
        "one key, often": _repeat('"a":1,', "{", '"text":"x"}\n'),
        "another key in every row": _each(lambda i: f'{{"text":"x","k{i}":1}}\n', 24),
        "no text in every row": _repeat('{"texts":"x","a":1,"b":2,"c":3}\n'),
        "escapes": _repeat("\\ud83d\\ude00", '{"text":"', '"}\n'),
        "lone surrogates": _repeat('{"text":"\\ud83d"}\n'),
        "a number of many digits": _repeat("9", '{"text":"x","n":', "}\n"),
    },
    ".jsonl.gz": {
        "members of one line": lambda size: gzip.compress(b'{"text":"x"}\n') * (size // 33),
        "nothing but zeros": lambda size: gzip.compress(bytes(size)),
    },
    ".json": {
        "tiny objects": _repeat('{"text":"x"},', "[", '{"text":"x"}]'),
        "one wide object": _object,
        "deep nesting": _repeat("[", '{"text":'),
        "lists of lists": _repeat("[1],", "[", "[1]]"),
        "no JSON": _repeat("{x\n"),
    },
    ".csv": _tables(","),
    ".tsv": _tables("\t"),
    ".txt": _TEXTS,
    ".md": {**_TEXTS, "rules": _repeat("---\n"), "front matter": _repeat("a: b\n", "---\n", "---\nx")},
    ".html": {**_TEXTS, **_PAGES},
    ".xml": _DUMPS,
    ".tmx": _MEMORIES,
    ".warc": _ARCHIVES,
    ".wet": _ARCHIVES,
    ".parquet": {
        "many columns": lambda size: _parquet(_table(size // 1000), _ROWS),
        "groups of one row": lambda size: _parquet(_table(size // 20_000), 1),
        "short rows": lambda size: _parquet(_short(size), 10_000),
    },
    ".arrow": {
        "many columns": lambda size: _arrow(_table(size // 1000), _ROWS),
        "batches of one row": lambda size: _arrow(_table(size // 20_000), 1),
        "short rows": lambda size: _arrow(_short(size), 10_000),
    },
}
