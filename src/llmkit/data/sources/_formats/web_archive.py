"""WARC and WET archives of crawls: pages as HTML, conversions as text (ISO 28500, Common Crawl).

Parsed here rather than by a library: fastwarc 2.0 aborts on streams that cannot seek, and a damaged record must not
cost those after it. Decompression takes several times longer than this.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping

from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, Record, Span, _rows
from llmkit.data.sources._bodies import check_text, decode_body
from llmkit.data.sources._formats import Format, Reading
from llmkit.data.sources._streams import DAMAGE, describe_damage
from llmkit.data.sources._text import Decoder, decode_page

_MAX_LINE = 2**16
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_HTML = ("text/html", "application/xhtml+xml")

Headers = Mapping[str, str]


class WebArchive(Format):
    """Rows are `conversion` records, and `response` records of status 200 that hold HTML or plain text.

    Everything else in an archive (requests, metadata, images, redirects) is no row and is not counted. `meta` has the
    url, date and record id, and format: html for pages.
    """

    suffixes = (".warc", ".wet", ".warc.wet")

    def read(self, reading: Reading, span: Span | None) -> Iterator[Record | Broken]:  # noqa: ARG002 - always whole
        """Yield the rows; one record is in memory at a time."""
        row = 0
        try:
            with reading.open_bytes() as stream:
                for headers, body in _records(stream):
                    try:
                        if isinstance(body, RowError):
                            raise body
                        record = _row(row, headers, body, reading)
                    except RowError as error:
                        yield Broken(row, str(error), excerpt=_name_of(headers)[:200])
                    else:
                        if record is None:
                            continue
                        yield record
                    row += 1
        except DAMAGE as error:
            yield Broken(row, describe_damage(error, row))


def _records(stream: io.BufferedIOBase) -> Iterator[tuple[Headers, bytes | RowError]]:
    """Yield the headers (names in lower case) and blocks of the records that may be rows."""
    while line := stream.readline(_MAX_LINE):
        if not line.strip():
            continue
        if not line.startswith(b"WARC/"):
            yield {}, RowError("no record begins where one should; it is skipped up to the next")
            while line and not line.startswith(b"WARC/1"):
                line = stream.readline(_MAX_LINE)
            if not line:
                return
        headers = _headers(stream)
        try:
            length = int(headers.get("content-length", ""))
            if length < 0:
                raise ValueError
        except ValueError:
            yield headers, RowError(f"a record has the length {headers.get('content-length')!r}")
            continue
        if headers.get("warc-type") not in ("response", "conversion"):
            _skip(stream, length)
            continue
        body = stream.read(min(length, _rows.MAX_ROW_BYTES))
        if len(body) < min(length, _rows.MAX_ROW_BYTES):
            raise EOFError
        if length > len(body):
            _skip(stream, length - len(body))
            yield headers, RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes")
        else:
            yield headers, body


def _headers(stream: io.BufferedIOBase) -> dict[str, str]:
    """Return the headers up to a blank line; lists of encodings may be spread over several, others count once."""
    headers: dict[str, str] = {}
    size = 0
    last = ""
    while (line := stream.readline(_MAX_LINE)).strip():
        size += len(line)
        if size >= 2**20:
            continue
        text = line.decode("utf-8", "replace")
        if text[0] in " \t" and last:  # an old way to go on in the next line
            headers[last] += f" {text.strip()}"
            continue
        name, colon, value = text.partition(":")
        name, value = name.strip().lower(), value.strip()
        if colon and name in headers and name.endswith("-encoding"):
            headers[name] += f", {value}"
        elif colon:
            headers.setdefault(name, value)
            last = name
    return headers


def _name_of(headers: Headers) -> str:
    """Return what a person finds the record by."""
    return headers.get("warc-target-uri") or headers.get("warc-record-id", "")


def _skip(stream: io.BufferedIOBase, length: int) -> None:
    while length:
        skipped = len(stream.read(min(length, 2**20)))
        if not skipped:
            raise EOFError
        length -= skipped


def _row(row: int, headers: Headers, body: bytes, reading: Reading) -> Record | None:
    """Return the record's row; None if it is none."""
    keys = {"url": "warc-target-uri", "date": "warc-date", "record_id": "warc-record-id"}
    meta = {name: headers[key].strip("<>") for name, key in keys.items() if key in headers}
    if headers["warc-type"] == "conversion":
        return reading.columns.document(row, Decoder("auto", lambda: body)(body), meta)
    blank = _BLANK_LINE.search(body)
    head, payload = (body[: blank.start()], body[blank.end() :]) if blank else (body, b"")
    status, *lines = head.split(b"\n")
    if status.split()[1:2] != [b"200"]:
        return None
    http = _headers(io.BytesIO(b"\n".join(lines)))
    kind, _, parameters = http.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if kind not in (*_HTML, "text/plain"):
        return None
    payload = decode_body(payload, http)
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'") or None
    if kind in _HTML:
        meta["format"] = "html"
    return reading.columns.document(row, check_text(decode_page(payload, charset), http), meta)


FORMAT = WebArchive()
