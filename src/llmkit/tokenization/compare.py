"""Put two tokenizers side by side on the same text: sizes, vocabularies, and where they cut differently."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from rich.text import Text

from llmkit.core.config import Config, resolve
from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.core.page import percent
from llmkit.core.registry import Family
from llmkit.data.corpus import UNKNOWN_LANGUAGE
from llmkit.data.sources import Broken, Record, Source, Span
from llmkit.modeling.coverage import coverage_of
from llmkit.modeling.token_bytes import is_byte_level
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.report import rates
from llmkit.tokenization.show import BORDER, Cutter, bordered, coloured, readable, spelled
from llmkit.tokenization.statistics import SPECIAL, TokenStatistics

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SAMPLE_BYTES = 8 * 2**20
"""Text that is compared at most: a few seconds."""
_PIECE_BYTES = 2**20
_CUT_BYTES = 2**20
"""Text in which borders are compared, the same of all sources and languages: that costs a Python loop over them."""
_MAX_SCANNED_BYTES = 512 * 2**20
"""Of larger files only the beginning is read: finding where the lines of a file end reads all of it."""
_LISTED, _SHOWN = 100, 15
_ROWS_SHOWN = 12


class _Inputs(Config):
    inputs: list[Annotated[Source, Family("source", shorthand=("files", "path"))]] = Field(min_length=1)


class Difference(NamedTuple):
    """A stretch between two borders that both tokenizers have, cut differently in between.

    Attributes:
        times: How often it occurs.
        cuts: Its bytes, per tokenizer as the tokens have them.
    """

    times: int
    cuts: tuple[tuple[bytes, ...], tuple[bytes, ...]]


@dataclass
class Comparison:
    """Two tokenizers on the same text.

    Args:
        names: What the user calls them.
        cutters: The tokenizers.
        records: The text.
    """

    names: tuple[str, str]
    cutters: tuple[Cutter, Cutter]
    records: Sequence[Record]

    @cached_property
    def statistics(self) -> tuple[TokenStatistics, TokenStatistics]:
        """Counts per source and language, of each."""
        first, second = self.cutters
        return _count(first, self.records), _count(second, self.records)

    @cached_property
    def shared(self) -> int:
        """Tokens that both vocabularies have, special ones left out."""
        first, second = map(_content, self.cutters)
        return len(first & second)

    @cached_property
    def differences(self) -> list[Difference]:
        """Where the borders differ, those first that make the greatest difference in tokens."""
        found: Counter[tuple[tuple[bytes, ...], tuple[bytes, ...]]] = Counter()
        kinds = {(record.source, record.language) for record in self.records}
        left = dict.fromkeys(kinds, _CUT_BYTES // max(len(kinds), 1))
        for record in self.records:
            text = record.text[: max(left[record.source, record.language], 0)]
            left[record.source, record.language] -= len(text.encode())
            found.update(_differing(text, self.cutters))
        return sorted(
            (Difference(count, cuts) for cuts, count in found.items()),
            key=lambda d: (-d.times * abs(len(d.cuts[0]) - len(d.cuts[1])), -d.times, d.cuts),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the content of `--json`."""
        return {
            "documents": len(self.records),
            "tokenizers": [
                {
                    "path": name,
                    "vocabulary": len(cutter.kinds),
                    "used": int(np.count_nonzero(statistics.counts)),
                    "total": rates(statistics.total()),
                    "languages": {key: rates(counts) for key, counts in statistics.by("language").items()},
                    "sources": {key: rates(counts) for key, counts in statistics.by("source").items()},
                }
                for name, cutter, statistics in zip(self.names, self.cutters, self.statistics, strict=True)
            ],
            "shared_tokens": self.shared,
            "differences": [
                {"count": d.times, "text": readable(b"".join(d.cuts[0])), "cuts": [spelled(cut) for cut in d.cuts]}
                for d in self.differences[:_LISTED]
            ],
        }


def compare(
    names: tuple[str, str], tokenizers: Sequence[PreTrainedTokenizerFast], records: Sequence[Record]
) -> Comparison:
    """Compare two tokenizers on the same text.

    Raises:
        DataError: There is no text.
    """
    if not any(record.text for record in records):
        raise DataError("nothing to compare: the input has no text")
    return Comparison(names, (Cutter(tokenizers[0]), Cutter(tokenizers[1])), records)


def open_sources(paths: Sequence[str]) -> list[Source]:
    """Return the sources that `--input` names: corpora of llmkit's, and whatever `llmkit clean` reads.

    Raises:
        ConfigError: A name that is no source.
    """
    return resolve(_Inputs, options={"inputs": ("--input", list(paths))}).config.inputs


def sample(sources: Sequence[Source], num_bytes: int = SAMPLE_BYTES) -> list[Record]:
    """Return documents from all over the input: parts of files in an order that looks random and is always the same.

    Raises:
        DataError: A path that does not exist.
    """
    pieces = [
        (i, file, span)
        for i, source in enumerate(sources)
        for file in source.files()
        for span in (source.spans(file, _PIECE_BYTES) if file.num_bytes <= _MAX_SCANNED_BYTES else [Span()])
    ]
    pieces.sort(key=lambda piece: hashlib.blake2b(f"{piece[0]} {piece[1].name} {piece[2].start}".encode()).digest())
    found: list[Record] = []
    for number, (i, file, span) in enumerate(pieces):
        share = max(num_bytes // (len(pieces) - number), min(num_bytes, _PIECE_BYTES))
        for record in sources[i].read_span(file, span) if share > 0 else ():
            if share <= 0:
                break
            if not isinstance(record, Broken):
                size = len(record.text.encode())
                share, num_bytes = share - size, num_bytes - size
                found.append(record)
    return found


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison; of a single short text how each cuts it, too."""
    if console.json_mode:
        console.print_json({"status": "compare", "exit_code": 0, **comparison.as_json()})
        return
    plain = not console.out.is_terminal or console.out.no_color
    for letter, name in zip("AB", comparison.names, strict=True):
        console.print(f"{letter}  {name}")
    if len(comparison.records) == 1:
        for letter, cutter in zip("AB", comparison.cutters, strict=True):
            pieces = cutter.pieces(comparison.records[0].text)
            console.print()
            console.print(Text(f"{letter}  ", "bold").append(Text(bordered(pieces)) if plain else coloured(pieces)))
    console.print()
    console.table(list(_rows(comparison)), headers=("", "A", "B", "B to A"), numbers_from=1)
    shown = comparison.differences[:_SHOWN]
    if shown:
        console.print("\ncut differently, what makes the greatest difference first")
        rows = [(*(BORDER.join(spelled(cut)) for cut in d.cuts), f"{d.times:,}") for d in shown]
        console.table(rows, headers=("A", "B", "times"), numbers_from=2)


def _rows(comparison: Comparison) -> Iterator[tuple[str, str, str, str]]:
    sizes = [int(np.count_nonzero(cutter.kinds != SPECIAL)) for cutter in comparison.cutters]
    yield "vocabulary, special tokens left out", f"{sizes[0]:,}", f"{sizes[1]:,}", ""
    yield "  also in the other", *(percent(comparison.shared, size) for size in sizes), ""  # type: ignore[misc]
    yield "  used here", *(f"{np.count_nonzero(s.counts):,}" for s in comparison.statistics), ""  # type: ignore[misc]
    a, b = (rates(statistics.total()) for statistics in comparison.statistics)
    yield _row("tokens", a["tokens"], b["tokens"], ",.0f")
    for name, label in (("bytes_per_token", "bytes per token"), ("tokens_per_word", "tokens per word")):
        yield _row(label, a[name], b[name], ".2f")
    for name, label in (("unknown_bytes", "unknown text"), ("lost_bytes", "lost text")):
        if a[name] or b[name]:
            yield label, percent(a[name] or 0, a["bytes"] or 1), percent(b[name] or 0, b["bytes"] or 1), ""
    odd = {
        "partial_rate": "parts of characters",
        "byte_fallback_rate": "bytes by fallback",
        "unknown_rate": "unknown",
    }
    for name, label in odd.items():
        if a[name] or b[name]:
            yield label, percent(a[name] or 0, 1), percent(b[name] or 0, 1), ""
    for column in ("language", "source"):
        first, second = (statistics.by(column) for statistics in comparison.statistics)
        for key in list(first)[:_ROWS_SHOWN] if len(first) > 1 else ():
            one, other = (rates(groups[key])["bytes_per_token"] for groups in (first, second))
            yield _row(f"bytes per token, {column} {key}", one, other, ".2f")
        if len(first) > _ROWS_SHOWN:
            yield f"and {len(first) - _ROWS_SHOWN:,} more with --json", "", "", ""


def _row(label: str, a: float | None, b: float | None, style: str) -> tuple[str, str, str, str]:
    change = f"{100 * (b / a - 1):+.1f}%" if a and b is not None else ""
    return label, "" if a is None else format(a, style), "" if b is None else format(b, style), change


def _count(cutter: Cutter, records: Sequence[Record]) -> TokenStatistics:
    texts = [record.text for record in records]
    encoded = encode_documents(cutter.tokenizer, texts)
    statistics = TokenStatistics(cutter.kinds)
    statistics.add(
        documents=[f"{record.source}:{i}" for i, record in enumerate(records)],
        splits=["train"] * len(records),
        sources=[record.source for record in records],
        languages=[record.language or UNKNOWN_LANGUAGE for record in records],
        num_bytes=np.array([len(text.encode()) for text in texts]),
        num_chars=np.array([len(text) for text in texts]),
        input_ids=np.concatenate(encoded),
        num_tokens=np.array([len(ids) for ids in encoded]),
        text=texts.__getitem__,
        unread=np.array([coverage_of(cutter.tokenizer).measure([text]) for text in texts], np.int64),
    )
    return statistics


def _content(cutter: Cutter) -> set[bytes]:
    """Return what the tokens stand for, special ones left out: `▁the`, `Ġthe` and WordPiece's `the` are ` the`."""
    contents = {content for content, kind in zip(cutter.contents, cutter.kinds, strict=True) if kind != SPECIAL}
    if is_byte_level(cutter.tokenizer):
        return contents
    if type(cutter.tokenizer.backend_tokenizer.model).__name__ == "WordPiece":
        return {content[2:] if content.startswith(b"##") else b" " + content for content in contents}
    return {content.replace("▁".encode(), b" ") for content in contents}


def _differing(text: str, cutters: tuple[Cutter, Cutter]) -> Iterator[tuple[tuple[bytes, ...], tuple[bytes, ...]]]:
    """Yield the stretches between common borders that have a border of one tokenizer alone inside."""
    raw = text.encode()
    a, b = (cutter.ends(text)[1] for cutter in cutters)
    common = np.union1d(np.intersect1d(a, b), [0, len(raw)])
    inside = ~np.isin(a, common), ~np.isin(b, common)
    differs = np.zeros(len(common), np.bool_)
    for ends, alone in zip((a, b), inside, strict=True):
        differs[np.searchsorted(common, ends[alone])] = True
    for i in np.flatnonzero(differs).tolist():
        start, stop = int(common[i - 1]), int(common[i])
        yield _parts(raw, a, start, stop), _parts(raw, b, start, stop)


def _parts(raw: bytes, ends: NDArray[np.int64], start: int, stop: int) -> tuple[bytes, ...]:
    """Return the bytes from `start` to `stop`, cut at the borders in between."""
    first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(ends, stop, side="left")
    borders = [start, *dict.fromkeys(ends[first:last].tolist()), stop]
    return tuple(raw[one:other] for one, other in pairwise(borders))
