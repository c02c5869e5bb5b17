"""Bodies of HTTP responses as archives keep them: undo the transfer and content encodings that the headers name."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

from llmkit.data.rows import RowError
from llmkit.data.sources import _rows

_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\n]{0,1000})?\r?\n")
_CONTROLS = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""What no text has: of random bytes it is every tenth. ESC is not among them, with which ISO-2022 changes its set."""
_MAGIC = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_SAMPLE = 2**16


def decode_body(payload: bytes, http: Mapping[str, str]) -> bytes:
    """Return a body as it was before it was encoded.

    Archives often keep the headers of encodings that they have already undone: what cannot be undone and is text stays
    as it is. And servers forget to name gzip and zstd, which can be told by how they begin.

    Args:
        payload: What stands behind the headers.
        http: The headers, names in lower case.

    Raises:
        RowError: It is damaged or truncated, too long, or in an encoding that nobody knows.
    """
    codings = _codings(http.get("content-encoding", ""))
    for coding in reversed(codings + _codings(http.get("transfer-encoding", ""))):
        payload = _unchunk(payload) if coding == "chunked" else _decode(payload, coding)
    for _ in range(2):
        for magic, coding in _MAGIC.items():
            if payload.startswith(magic):
                payload = _decode(payload, coding)
    return payload


def check_text(text: str, http: Mapping[str, str]) -> str:
    """Return a body once it is decoded.

    Raises:
        RowError: It does not look like text.
    """
    sample = text[:_SAMPLE]
    if len(_CONTROLS.findall(sample)) > 0.02 * len(sample) or sample.count("\ufffd") > 0.1 * len(sample):
        coding = http.get("content-encoding", "")
        raise RowError(f"the body does not look like text{f', content encoding {coding}' if coding else ''}")
    return text


def _codings(header: str) -> list[str]:
    """Return the encodings in the order in which they were applied."""
    names = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
    return [name for name in names if name not in ("", "identity", "none")]


def _decode(payload: bytes, coding: str) -> bytes:
    if not payload:
        return payload
    try:
        if coding in ("gzip", "deflate"):
            return _inflate(payload)
        if coding in ("br", "zstd"):
            return _unpack(payload, {"br": "brotli"}.get(coding, coding))
        failure = f"content encoding {coding} is not read"
    except (OSError, zlib.error) as error:
        damage = "truncated" if "runcated" in str(error) else f"damaged: {error}"
        failure = f"its content encoding {coding} is {damage}"
    if not payload.startswith(tuple(_MAGIC)) and _is_text(payload):
        return payload
    raise RowError(failure)


def _inflate(payload: bytes) -> bytes:
    """Return what all members of gzip hold, one after the other; or zlib, or deflate without a header."""
    try:
        return _members(payload, zlib.MAX_WBITS | 32)  # gzip or zlib, as its header says
    except zlib.error as error:
        if "header" not in str(error) or payload.startswith(b"\x1f\x8b"):
            raise
        return _members(payload, -zlib.MAX_WBITS)


def _members(payload: bytes, window_bits: int) -> bytes:
    parts: list[bytes] = []
    left = _rows.MAX_ROW_BYTES
    while not parts or payload.startswith(b"\x1f\x8b"):
        decompressor = zlib.decompressobj(window_bits)
        parts.append(decompressor.decompress(payload, left + 1))
        left -= len(parts[-1])
        if left < 0:
            raise RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes")
        if not decompressor.eof:
            raise zlib.error("truncated")
        payload = decompressor.unused_data
        if window_bits < 0 and payload:  # text may pass for a little of this format, which has no marks
            raise zlib.error("it ends before the body")
    return b"".join(parts)


def _unpack(payload: bytes, name: str) -> bytes:
    import pyarrow as pa

    limit = _rows.MAX_ROW_BYTES
    with pa.CompressedInputStream(pa.BufferReader(payload), name) as stream:
        found: bytes = stream.read(limit + 1)
    if len(found) > limit:
        raise RowError(f"longer than {limit:,} bytes")
    return found


def _unchunk(payload: bytes) -> bytes:
    """Return the joined chunks; from a line on that gives no size, and if that is the first, the rest as it is.

    Archives keep the header of bodies whose chunks were joined already, and words such as `add` and `face` are numbers.
    So a size is believed where a line end follows what it counts, or as the header's first if CR ends it, too.

    Raises:
        RowError: The body is truncated.
    """
    chunks: list[bytes] = []
    position = 0
    while match := _CHUNK.match(payload, position):
        size = int(match[1], 16)
        end = match.end() + size
        sure = bool(chunks) or match[0].endswith(b"\r\n")
        if end > len(payload) and sure:
            raise RowError("the body ends within a chunk")
        if end >= len(payload) or not size:
            if not sure:
                break
        elif payload[end : end + 1] not in (b"\r", b"\n"):
            break
        if not size:
            return b"".join(chunks)
        chunks.append(payload[match.end() : end])
        position = end
        position += 2 if payload.startswith(b"\r\n", position) else payload.startswith(b"\n", position)
    return b"".join([*chunks, payload[position:]])


def _is_text(payload: bytes) -> bool:
    sample = payload[:_SAMPLE]
    wide = sample.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = sample.decode("utf-16" if wide else "latin-1", "replace")
    return len(_CONTROLS.findall(text)) <= 0.02 * len(text)
