"""Bytes to text: which encoding a file, a line or a web page is in, and what to do where it says nothing."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Callable
from typing import Any

from llmkit.data.rows import RowError
from llmkit.data.sources import _rows
from llmkit.data.sources._prescan import declared_encoding

HEAD_BYTES = 2**16
"""How much of a file is looked at to find its encoding."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_MULTIBYTE = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+")
_MAX_DAMAGE = 0.1
"""Of what looks like characters of UTF-8, so many may be damaged before it is none."""
_COMMON_CHINESE = frozenset("的一是不了在人有我他这中大来上国和地到以说时要就出会可也你对生能而子那得于着下自之")


class Decoder:
    """Decode the lines or the whole of one file; a `RowError` is one broken row.

    Args:
        encoding: `auto`, or a Python codec. `auto` is UTF-8 and, line by line where that fails, GB18030 if the head of
            the file looks like Chinese in it.
        head: Returns the first `HEAD_BYTES` of the file; called at the first line that is not UTF-8.
    """

    def __init__(self, encoding: str, head: Callable[[], bytes]) -> None:
        self.utf8 = encoding in ("auto", "utf-8")
        self._encoding = encoding
        self._head = head
        self._chinese: bool | None = None

    def __call__(self, data: bytes) -> str:
        if len(data) > _rows.MAX_ROW_BYTES:
            raise RowError(f"longer than {_rows.MAX_ROW_BYTES:,} bytes")
        try:
            if not self.utf8:
                text = data.decode(self._encoding)
                text.encode()  # some codecs, such as UTF-7, let lone surrogates through
                return text
            return data.decode()
        except UnicodeEncodeError:
            raise RowError(f"{self._encoding}: a lone surrogate cannot be written as UTF-8") from None
        except UnicodeDecodeError as error:
            if self._encoding == "auto" and self._guess_chinese():
                return _decode_or_break(data, "gb18030")
            name = "UTF-8" if self.utf8 else self._encoding
            raise RowError(f"invalid {name} at byte {error.start}") from None

    def _guess_chinese(self) -> bool:
        if self._chinese is None:
            self._chinese = looks_gb18030(self._head())
        return self._chinese


def _decode_or_break(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise RowError(f"invalid UTF-8 and invalid {encoding.upper()} at byte {error.start}") from None


def looks_gb18030(data: bytes) -> bool:
    """Tell whether those lines that are not UTF-8 are Chinese in GB18030 (or its subsets GBK and GB2312).

    Half of them must decode, consist of the common characters of GB2312 without kana, and hold some of the most
    frequent ones: UTF-8 read as GB18030 gives rare characters, EUC-JP kana, EUC-KR common characters in unheard-of
    proportions.
    """
    lines = [line for line in data.split(b"\n") if _decodes(line, "utf-8") is None]
    texts = [text for line in lines if (text := _decodes(line, "gb18030")) is not None]
    wide = "".join(character for text in texts for character in text if character > "\x7f")
    # The ideographs and kana of GB2312 itself, not all there are: this is about an encoding.
    han = [character for character in wide if "\u4e00" <= character <= "\u9fff"]
    if len(han) < 4 or len(texts) < len(lines) / 2:
        return False
    common = len(wide.encode("gb2312", "ignore")) // 2
    kana = sum("\u3040" <= character <= "\u30ff" for character in wide)
    frequent = sum(character in _COMMON_CHINESE for character in han)
    return common >= 0.9 * len(wide) and kana <= 0.05 * len(wide) and frequent >= 0.03 * len(han)


def _decodes(line: bytes, encoding: str) -> str | None:
    try:
        # Not final: the last line may end in the middle of a character.
        return codecs.getincrementaldecoder(encoding)().decode(line)
    except UnicodeDecodeError:
        return None


def wide_encoding(encoding: str, head: bytes) -> str | None:
    """Return the encoding if a newline in it is more than one byte (UTF-16, UTF-32), else None."""
    if encoding == "auto":
        encoding = next((name for mark, name in _BOMS if head.startswith(mark)), "utf-8")
    return encoding if encoding.replace("_", "-").startswith(("utf-16", "utf-32")) else None


class Transcoded(io.RawIOBase):
    """A UTF-16 or UTF-32 stream as UTF-8. What is invalid becomes the byte FF, so that its line alone is broken."""

    def __init__(self, stream: io.BufferedIOBase, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("llmkit.mark")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._stream.read1(HEAD_BYTES)
            self._ready = self._decoder.decode(data, final=not data).encode("utf-8", "surrogateescape")
            if not data:
                break
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


def _mark(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("llmkit.mark", _mark)


def decode_page(data: bytes, charset: str | None = None) -> str:
    """Decode a web page as browsers do, except that valid UTF-8 is taken for UTF-8 whatever the page declares.

    Args:
        data: The page.
        charset: What the HTTP header says. It comes before what the page itself declares, then detection by resiliparse
            (uchardet). A declaration that does not hold for the whole page, but for a character cut in two at its end,
            is none. What the encoding detected does not have becomes U+FFFD.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return data.decode(name, "replace").removeprefix("\ufeff")
    # ISO 2022 is pure ASCII, hence valid UTF-8.
    if b"\x1b" not in data and (text := _decode_strictly(data, "utf-8")) is not None:
        return text
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for label in (charset, declared_encoding(data[:HEAD_BYTES])):
        found = map_encoding_to_html5(label, fallback_utf8=False) if label else None
        if found and not found.startswith("utf") and (text := _decode_strictly(data, _codec(found))) is not None:
            return text
    text = data.decode("utf-8", "replace")
    damage = text.count("\ufffd")
    if damage <= _MAX_DAMAGE * len(_MULTIBYTE.findall(data)):
        return text
    found = "gb18030" if looks_gb18030(data[:HEAD_BYTES]) else detect_encoding(data)
    return data.decode(_codec(found or "cp1252"), "replace")


def _codec(name: str) -> str:
    return "gb18030" if name in ("gbk", "gb2312") else name


def _decode_strictly(data: bytes, encoding: str) -> str | None:
    """Return the text, None if it is not in the encoding; a last character that was cut in two becomes U+FFFD."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        cut = error.start > len(data) - 4 and error.end == len(data) and error.start > 0
        return data.decode(encoding, "replace") if cut else None
    except LookupError:  # of the standard's, Python lacks a few
        return None
