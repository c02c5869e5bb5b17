from __future__ import annotations

import gzip
import zlib

import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from source_rows import compress, read, summary, texts, write

from llmkit.data.sources import Broken, Record, _rows

CHINESE = "我们在这里说的是中国的事情，他们也知道。"


def record(kind, body, number=1, **headers):
    if kind == "response":
        headers["Content_Type"] = "application/http; msgtype=response"
    lines = [
        "WARC/1.0",
        f"WARC-Type: {kind}",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        "WARC-Date: 2024-02-29T00:00:00Z",
        f"WARC-Target-URI: http://a.b/{number}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body + b"\r\n\r\n"


def http(payload, status="200 OK", kind="text/html", **headers):
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind}",
        *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + payload


def meta(number, **more):
    return {"url": f"http://a.b/{number}", "date": "2024-02-29T00:00:00Z", "record_id": f"urn:uuid:{number}", **more}


ARCHIVE = [
    record("warcinfo", b"software: x\r\n", 0),
    record("request", b"GET / HTTP/1.1\r\n\r\n", 1),
    record("response", http(b"<p>one"), 1),
    record("metadata", b"fetchTimeMs: 3", 1),
    record("response", http(b"moved", "301 Moved"), 2),
    record("response", http(b"\x89PNG", kind="image/png"), 3),
    record("response", http(CHINESE.encode("gbk"), kind="text/html; charset=GB2312"), 4),
    record("response", http(b"plain", kind="text/plain"), 5),
]


@pytest.mark.parametrize("suffix", ["warc", "warc.gz", "warc.zst"])
def test_pages_are_rows_and_nothing_else_is(tmp_path, suffix):
    codec = suffix.removeprefix("warc")
    path = write(tmp_path / "a.warc", b"").rename(tmp_path / f"a.{suffix}")
    path.write_bytes(b"".join(compress(part, codec) for part in ARCHIVE))  # each record a member, as crawlers write
    assert read(path) == [
        Record(0, "<p>one", "a", meta=meta(1, format="html")),
        Record(1, CHINESE, "a", meta=meta(4, format="html")),
        Record(2, "plain", "a", meta=meta(5)),
    ]


def test_the_same_pages_as_fastwarc(tmp_path):
    path = write(tmp_path / "a.warc.gz", b"".join(ARCHIVE))
    expected = [
        (part.record_id.strip("<>"), part.reader.read().decode(part.http_charset or "utf-8"))
        for part in ArchiveIterator(str(path), record_types=WarcRecordType.response, parse_http=True)
        if part.http_headers.status_code == 200 and part.http_content_type.startswith("text/")
    ]
    assert [(row.meta["record_id"], row.text) for row in read(path)] == [
        (name.removeprefix("<").removesuffix(">"), text) for name, text in expected
    ]


@pytest.mark.parametrize("name", ["a.wet", "a.warc.wet", "a.warc.wet.gz"])
def test_conversions_are_text(tmp_path, name):
    parts = [
        record("warcinfo", b"x", 0),
        record("conversion", f"{CHINESE}\r\n\r\nend".encode(), 1),
        record("conversion", b"\xff", 2),
    ]
    first, second = read(write(tmp_path / name, b"".join(parts)))
    assert first == Record(0, f"{CHINESE}\r\n\r\nend", "a", meta=meta(1))
    assert (second.row, second.reason, second.excerpt) == (1, "invalid UTF-8 at byte 0", "http://a.b/2")


@pytest.mark.parametrize(
    ("payload", "headers", "expected"),
    [
        (b"5;x=1\r\n<p>he\r\n3\r\nllo\r\n0\r\n\r\n", {"Transfer_Encoding": "chunked"}, "<p>hello"),
        (b"<p>already joined", {"Transfer_Encoding": "chunked"}, "<p>already joined"),
        (b"add\nbad\nface\n", {"Transfer_Encoding": "chunked"}, "add\nbad\nface\n"),
        (b"0\nis a number", {"Transfer_Encoding": "chunked"}, "0\nis a number"),
        (b"5\nand more", {"Transfer_Encoding": "chunked"}, "5\nand more"),
        (gzip.compress(b"<p>zip", mtime=0), {"Content_Encoding": "gzip"}, "<p>zip"),
        (zlib.compress(b"<p>zip"), {"Content_Encoding": "deflate"}, "<p>zip"),
        (b"<p>already unpacked", {"Content_Encoding": "gzip"}, "<p>already unpacked"),
        (b"<p>already unpacked", {"Content_Encoding": "br"}, "<p>already unpacked"),
        (b"\x8b\x02\x80", {"Content_Encoding": "br"}, "! its content encoding br is truncated"),
        (b"\x8b\x02\x80\x03", {"Content_Encoding": "compress"}, "! content encoding compress is not read"),
        (gzip.compress(b"<p>" + b"x" * 1000, mtime=0), {"Content_Encoding": "gzip"}, "! longer than 500 bytes"),
        (b"\x1f\x8b\x08nonsense-----", {"Content_Encoding": "gzip"}, "! its content encoding gzip is damaged: "),
    ],
)
def test_transfer_and_content_encodings(tmp_path, monkeypatch, payload, headers, expected):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 500)
    parts = [record("response", http(payload, **headers), 1), record("response", http(b"next"), 2)]
    first, second = summary(read(write(tmp_path / "a.warc", b"".join(parts))))
    assert first.startswith(expected) if expected.endswith(" ") else first == expected
    assert second == "next"


PAGE = "".join(f"<p>{number}: the boats lie at the quay, 港口里停着三条船。" for number in range(200)).encode()
ENCODERS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "x-gzip": lambda data: gzip.compress(data[:99], mtime=0) + gzip.compress(data[99:], mtime=0) + bytes(8),
    "deflate": zlib.compress,
    "DEFLATE": lambda data: zlib.compress(data, wbits=-15),
    "br": lambda data: packed("brotli", data),
    "zstd": lambda data: packed("zstd", data),
}


def packed(codec, data):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, codec) as stream:
        stream.write(data)
    return out.getvalue().to_pybytes()


def read_one(tmp_path, body):
    (row,) = read(write(tmp_path / "a.warc", record("response", body)))
    return row


@pytest.mark.parametrize("first", ENCODERS)
@pytest.mark.parametrize("second", [None, *ENCODERS])
def test_encodings_are_undone_in_the_order_in_which_they_were_applied(tmp_path, first, second):
    names = [name for name in (first, second) if name]
    payload = PAGE
    for name in names:
        payload = ENCODERS[name](payload)
    assert read_one(tmp_path, http(payload, Content_Encoding=", ".join(names))).text == PAGE.decode()
    lines = "".join(f"Content-Encoding: {name}\n" for name in names)
    body = f"HTTP/1.1 200 OK\nContent-Type: text/html;\n charset=utf-8\n{lines}\n".encode() + payload
    assert read_one(tmp_path, body).text == PAGE.decode()
    chunked = (
        b"%x\n" % 100 + payload[:100] + b"\n%X ; name=value\r\n" % len(payload[100:]) + payload[100:] + b"\r\n0\r\n"
    )
    assert read_one(tmp_path, http(chunked, Transfer_Encoding=f"{', '.join(names)}, chunked")).text == PAGE.decode()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_truncated_body_is_an_unreadable_row_with_its_record(tmp_path, name):
    payload = ENCODERS[name](PAGE)
    row = read_one(tmp_path, http(payload[: len(payload) * 2 // 3], Content_Encoding=name))
    assert row == Broken(
        0, f"its content encoding {name.lower().removeprefix('x-')} is truncated", excerpt="http://a.b/1"
    )


def test_gzip_and_zstd_that_no_header_names(tmp_path):
    for name in ("gzip", "zstd"):
        assert read_one(tmp_path, http(ENCODERS[name](PAGE))).text == PAGE.decode()


def test_a_body_that_is_no_text_is_an_unreadable_row(tmp_path):
    noise = bytes(pow(7, n, 257) % 256 for n in range(2000))
    for headers in ({}, {"Content_Encoding": "identity"}):
        assert read_one(tmp_path, http(noise, **headers)).reason.startswith("the body does not look like text")
    assert read_one(tmp_path, http("<p>宽".encode("utf-16"), Content_Encoding="gzip")).text == "<p>宽"


def test_a_body_that_ends_within_a_chunk_is_unreadable(tmp_path):
    row = read_one(tmp_path, http(b"40\r\n<p>this is a page about", Transfer_Encoding="chunked"))
    assert row.reason.startswith("the body ends within a chunk")


def test_what_stands_behind_a_bad_chunk_size_is_kept(tmp_path):
    body = b"5\r\n<p>he\r\nzz\r\nllo and all the rest\r\n0\r\n\r\n"
    text = read_one(tmp_path, http(body, Transfer_Encoding="chunked")).text
    assert text == "<p>hezz\r\nllo and all the rest\r\n0\r\n\r\n"


def test_damage_costs_no_other_record(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 500)
    parts = [
        record("conversion", b"one", 1),
        b"garbage\r\nmore of it\r\n",
        record("conversion", b"two", 2),
        record("conversion", b"x" * 501, 3),
        record("conversion", b"three", 4).replace(b"Content-Length: 5", b"Content-Length: five"),
        record("conversion", b"four", 5),
    ]
    assert summary(read(write(tmp_path / "a.wet", b"".join(parts)))) == [
        "one",
        "! no record begins where one should; it is skipped up to the next",
        "two",
        "! longer than 500 bytes",
        "! a record has the length 'five'",
        "! no record begins where one should; it is skipped up to the next",
        "four",
    ]


@pytest.mark.parametrize("codec", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_a_truncated_archive_keeps_its_records(tmp_path, codec):
    parts = [record("conversion", str(pow(7, n, 10**400 + 69)).encode(), n) for n in range(1, 2000)]
    path = write(tmp_path / f"a.wet{codec}", b"".join(parts))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 9 // 10])
    *kept, last = read(path)
    assert texts(kept) == [str(pow(7, n, 10**400 + 69)) for n in range(1, len(kept) + 1)]
    assert len(kept) > 1500  # a block of bzip2 holds 900 kB
    assert (last.row, last.reason) == (len(kept), f"file is truncated after row {len(kept)}")
