"""Where a tokenizer cuts a text, and what each token stands for: in colours, as plain text, as JSON."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.modeling.token_bytes import BYTE_NAME, is_byte_level, token_bytes
from llmkit.modeling.tokenizer import encode_with_ends
from llmkit.tokenization.statistics import BYTE, PARTIAL, SPECIAL, UNKNOWN, WHOLE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_COLOURS = tuple(f"#14171c on {colour}" for colour in ("#bcd7ff", "#ffd9a8", "#bdebc9", "#e6c9f5"))
"""Dark on light: readable on any terminal, whatever its own background."""
_UNKNOWN_COLOUR = "#ffffff on #b42318"
BORDER = "|"
_NAMES = {"\n": "⏎", "\t": "⇥", "\r": "␍", "\x7f": "␡"} | {
    chr(c): chr(0x2400 + c) for c in range(32) if c not in (9, 10, 13)
}
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zs", "Zl", "Zp"}
_ESCAPED_OR_ONE = re.compile("[\udc80-\udcff]+|.", re.DOTALL)
_CONTINUATION = bytes(range(0x80, 0xC0))
_LAST_CHARACTER = re.compile(rb"[\xc2-\xf4][\x80-\xbf]*$")
_DOTTED_CIRCLE = "\u25cc"


class Piece(NamedTuple):
    """One token of a text.

    Attributes:
        id: Its id.
        token: How the vocabulary writes it.
        kind: `WHOLE`, `PARTIAL`, `BYTE`, `UNKNOWN` or `SPECIAL`.
        start: Where it begins in the text's UTF-8 bytes.
        end: Where it ends; the next token begins there, so blanks that a tokenizer drops belong to the token behind.
        content: The bytes between; of a token that covers nothing (a mark put before the text) its own.
    """

    id: int
    token: str
    kind: int
    start: int
    end: int
    content: bytes


class Cutter:
    """Cuts texts with one tokenizer.

    Args:
        tokenizer: The tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.contents = token_bytes(tokenizer)
        self.kinds = token_kinds(tokenizer, self.contents)
        self._is_byte_level = is_byte_level(tokenizer)

    def ends(self, text: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return the ids of a text and where each token ends in its UTF-8 bytes, both `[tokens]`.

        Special tokens are neither added nor found in the text.

        Raises:
            DataError: The text has characters that UTF-8 does not know.
        """
        raw = encoded(text)
        ids, char_ends = encode_with_ends(self.tokenizer, [text])[0]
        if self._is_byte_level:
            contents = [self.contents[i] for i in ids.tolist()]
            if b"".join(contents) == raw:  # not where a normalizer or a space put before has changed the text
                return ids, np.cumsum([len(content) for content in contents], dtype=np.int64)
        sizes = np.fromiter((len(character.encode()) for character in text), np.int64, len(text))
        char_ends = np.maximum.accumulate(char_ends)
        ends = np.concatenate([[0], np.cumsum(sizes)])[char_ends]
        # Parts of characters all have the borders of the whole; a mark put before the text has those of what follows
        # it, and bytes by fallback may have those of several characters.
        kinds = self.kinds[ids]
        is_part = (kinds == BYTE) | (kinds == PARTIAL)
        for i in np.flatnonzero((char_ends[:-1] == char_ends[1:]) | is_part[1:])[::-1].tolist():
            first = int(np.searchsorted(char_ends, char_ends[i]))
            before = ends[first - 1] if first else 0
            part, lowest = len(self.contents[ids[i + 1]]), 0 if kinds[i + 1] == BYTE else before
            ends[i] = max(min(ends[i], ends[i + 1] - part), lowest) if is_part[i + 1] else before
        return ids, ends

    def pieces(self, text: str) -> list[Piece]:
        """Return the tokens of a text in order.

        Raises:
            DataError: The text has characters that UTF-8 does not know.
        """
        ids, ends = self.ends(text)
        raw, found, start = text.encode(), [], 0
        for i, end in zip(ids.tolist(), ends.tolist(), strict=True):
            token = cast("str", self.tokenizer.convert_ids_to_tokens(i))
            content = raw[start:end] or self.contents[i]
            found.append(Piece(i, token, int(self.kinds[i]), start, end, content))
            start = end
        return found


def encoded(text: str) -> bytes:
    """Return a text in UTF-8.

    Raises:
        DataError: It has characters that UTF-8 does not know.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"the text is not valid UTF-8: {error.reason} at character {error.start + 1}") from None


def readable(content: bytes, *, brief: bool = False) -> str:
    """Return bytes as a person can read them: `⏎` for a newline, `<U+200B>` for what is unseen, `<E4 BD>` for bytes.

    A combining mark at the beginning stands on a dotted circle; `brief` shows bytes as `…`.
    """
    text = content.decode("utf-8", "surrogateescape")
    on_circle = bool(text) and unicodedata.category(text[0]).startswith("M")
    return on_circle * _DOTTED_CIRCLE + _ESCAPED_OR_ONE.sub(_shorten if brief else _readable, text)


def _readable(found: re.Match[str]) -> str:
    part = found[0]
    if "\udc80" <= part[0] <= "\udcff":  # bytes that are no characters, as the decoder escaped them
        return f"<{' '.join(f'{ord(byte) - 0xDC00:02X}' for byte in part)}>"
    hidden = part != " " and unicodedata.category(part) in _HIDDEN
    return _NAMES.get(part) or (f"<U+{ord(part):04X}>" if hidden else part)


def _shorten(found: re.Match[str]) -> str:
    return "…" if "\udc80" <= found[0][0] <= "\udcff" else _readable(found)


def spelled(contents: Sequence[bytes], *, brief: bool = False) -> list[str]:
    """Return the bytes of each token as `readable` does; a token that completes a character begun before names it.

    The parts of `你` are `<E4>`, `<BD>` and `<A0=你>`; with `brief` they are `…`, `…` and `你`.
    """
    found, pending = [], b""
    for content in contents:
        head = len(content) - len(content.lstrip(_CONTINUATION)) if pending else 0
        begun = pending + content[:head]
        if head and _is_text(begun):
            character = readable(begun) if brief else f"<{content[:head].hex(' ').upper()}={readable(begun)}>"
            found.append(character + readable(content[head:], brief=brief))
            pending = b""
        else:
            found.append(readable(content, brief=brief))
            pending = begun if head == len(content) else b""
        last = _LAST_CHARACTER.search(content)
        if last and not _is_text(last[0]):
            pending = last[0]
    return found


def coloured(pieces: Sequence[Piece]) -> Text:
    """Return the text in alternating colours, unknown tokens in red; a line ends behind a token with a newline."""
    shown = Text()
    for number, (piece, text) in enumerate(zip(pieces, spelled([piece.content for piece in pieces]), strict=True)):
        shown.append(text, _UNKNOWN_COLOUR if piece.kind == UNKNOWN else _COLOURS[number % 4])
        if b"\n" in piece.content:
            shown.append("\n")
    if shown.plain.endswith("\n"):
        shown.right_crop()
    return shown


def bordered(pieces: Sequence[Piece]) -> str:
    r"""Return the text with `|` between tokens, `\|` for one in the text; lines end as in `coloured`."""
    shown = ""
    for piece, text in zip(pieces, spelled([piece.content for piece in pieces]), strict=True):
        shown += text.replace(BORDER, f"\\{BORDER}") + BORDER + "\n" * (b"\n" in piece.content)
    return shown.removesuffix("\n").removesuffix(BORDER)


def show_text(tokenizer: PreTrainedTokenizerFast, text: str, console: Console, *, verbose: bool = False) -> None:
    """Print where a text is cut: colours on a terminal, borders in a pipe, a table of the tokens with `verbose`.

    Raises:
        DataError: The text has characters that UTF-8 does not know.
    """
    pieces = Cutter(tokenizer).pieces(text)
    if console.json_mode:
        console.print_json({"status": "show", "exit_code": 0, **as_json(text, pieces)})
        return
    plain = not console.out.is_terminal or console.out.no_color
    if pieces:
        console.print(Text(bordered(pieces)) if plain else coloured(pieces))
    if verbose:
        rows = [
            (readable(piece.content), readable(piece.token.encode()), piece.content.hex(" "), str(piece.id))
            for piece in pieces
        ]
        console.print()
        console.table(rows, headers=("text", "token", "bytes", "id"), numbers_from=3)
    num_bytes = len(text.encode())
    ratio = f", {num_bytes / len(pieces):.2f} bytes per token" if pieces else ""
    console.print(f"{len(pieces):,} tokens, {len(text):,} characters, {num_bytes:,} bytes{ratio}{_odd(pieces)}")


def _odd(pieces: Sequence[Piece]) -> str:
    names = {PARTIAL: "parts of characters", BYTE: "bytes by fallback", UNKNOWN: "unknown"}
    counts = {name: sum(piece.kind == kind for piece in pieces) for kind, name in names.items()}
    return "".join(f"; {count:,} {name}" for name, count in counts.items() if count)


def as_json(text: str, pieces: Sequence[Piece]) -> dict[str, Any]:
    """Return the content of `--json`; `text` of a token is null where its bytes are no whole characters."""
    return {
        "num_tokens": len(pieces),
        "num_characters": len(text),
        "num_bytes": len(text.encode()),
        "tokens": [
            {
                "id": piece.id,
                "token": piece.token,
                "text": piece.content.decode() if _is_text(piece.content) else None,
                "bytes": piece.content.hex(),
                "start": piece.start,
                "end": piece.end,
            }
            for piece in pieces
        ],
    }


def token_kinds(tokenizer: PreTrainedTokenizerFast, contents: Sequence[bytes] | None = None) -> NDArray[np.uint8]:
    """Return what each id is, `[vocab_size]`: one of the kinds in `statistics`; gaps are `SPECIAL`.

    Args:
        tokenizer: The tokenizer.
        contents: What `token_bytes` says about it, if that is known already.
    """
    content = token_bytes(tokenizer) if contents is None else contents
    kinds = np.full(len(content), SPECIAL, np.uint8)
    has_fallback = not is_byte_level(tokenizer)
    for token, i in tokenizer.get_vocab().items():
        kinds[i] = BYTE if has_fallback and BYTE_NAME.fullmatch(token) else WHOLE if _is_text(content[i]) else PARTIAL
    for i, added in tokenizer.added_tokens_decoder.items():
        if added.special:
            kinds[i] = SPECIAL
    unknown = _unknown_id(tokenizer)
    if unknown is not None:
        kinds[unknown] = UNKNOWN
    return kinds


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unknown_id(tokenizer: PreTrainedTokenizerFast) -> int | None:
    # Not `tokenizer.unk_token`: GPT-2 names its EOS there, while its model never writes one.
    model = tokenizer.backend_tokenizer.model
    if hasattr(model, "unk_token"):
        return None if not model.unk_token else cast("int | None", model.token_to_id(model.unk_token))
    return cast("int | None", json.loads(model.__getstate__()).get("unk_id"))  # Unigram has no getter in Python
