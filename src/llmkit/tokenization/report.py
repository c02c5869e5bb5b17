"""Say what a tokenizer made of a corpus: report.json and report.html of a tokens artifact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmkit.core.durable import write_json
from llmkit.core.page import Histogram, Page, PartsRow, compact, histogram_ticks, percent, size
from llmkit.data.artifacts import Tokens
from llmkit.data.corpus import UNKNOWN_LANGUAGE
from llmkit.data.split import SPLITS
from llmkit.tokenization.show import Cutter, readable, spelled
from llmkit.tokenization.statistics import LENGTH_EDGES, SPECIAL, UNKNOWN, Counts, TokenStatistics

RARE = 100
"""Tokens that occur less often are hardly learned: their embeddings stay close to where they began."""
_LISTED = 200
_ROWS_ON_PAGE = 30
_SAMPLES_ON_PAGE = 12
_SHARES = (0.5, 0.9, 0.99, 0.999)
_CONTEXTS = tuple(2**power for power in range(9, 18))
_MANY_ODD = 0.05
_LEAST_BINS = 8


def write_token_reports(directory: Path, statistics: TokenStatistics, cutter: Cutter) -> None:
    """Write the reports of tokens, for programs and for people.

    Args:
        directory: Directory of the tokens artifact.
        statistics: Merged statistics of all tasks.
        cutter: Of the tokenizer that made the ids.
    """
    tokens = Tokens(directory)
    report = make_report(statistics, cutter.contents)
    write_json(tokens.path / tokens.COUNTS, report)
    make_page(report, statistics, cutter).write(tokens.report)


def rates(counts: Counts) -> dict[str, int | float | None]:
    """Return sums and what follows from them; None where there is nothing to divide by.

    `tokens_per_word` (fertility) comes from the documents in which words were counted; rates are shares of the tokens.
    """

    def ratio(part: int, whole: int) -> float | None:
        return round(part / whole, 6) if whole else None

    return {
        "documents": counts.documents,
        "tokens": counts.tokens,
        "bytes": counts.bytes,
        "characters": counts.characters,
        "bytes_per_token": ratio(counts.bytes, counts.tokens),
        "tokens_per_character": ratio(counts.tokens, counts.characters),
        "tokens_per_word": ratio(counts.word_tokens, counts.words),
        "words_counted": counts.words,
        "partial_rate": ratio(counts.partial, counts.tokens),
        "byte_fallback_rate": ratio(counts.byte_fallback, counts.tokens),
        "unknown_rate": ratio(counts.unknown, counts.tokens),
        "unknown_bytes": counts.unknown_bytes,
        "lost_bytes": counts.lost_bytes,
    }


def make_report(statistics: TokenStatistics, contents: Sequence[bytes]) -> dict[str, Any]:
    """Return the content of report.json.

    Args:
        statistics: Merged statistics of all tasks.
        contents: `[vocab_size]` bytes each token stands for.
    """
    report: dict[str, Any] = {
        "total": rates(statistics.total()),
        **{f"{name}s": {key: rates(c) for key, c in statistics.by(name).items()} for name in ("language", "source")},
        "splits": {split: rates(c) for split in SPLITS if (c := statistics.by("split").get(split))},
        "vocabulary": _vocabulary(statistics, contents),
        "lengths": {
            "up_to": LENGTH_EDGES.tolist(),
            **{
                split: {"documents": bins[:, 0].tolist(), "tokens": bins[:, 1].tolist()}
                for split, bins in zip(SPLITS, statistics.lengths, strict=True)
                if bins.any()
            },
        },
        "longest": [long._asdict() for long in statistics.longest],
    }
    return {"notes": notes_on(report), **report}


def _vocabulary(statistics: TokenStatistics, contents: Sequence[bytes]) -> dict[str, Any]:
    counts, ordinary = statistics.counts, statistics.kinds != SPECIAL
    order = np.argsort(-counts, kind="stable")
    cumulative = np.cumsum(counts[order])
    total = int(cumulative[-1]) if counts.size else 0
    unused = np.flatnonzero(ordinary & (counts == 0))

    def listed(ids: Any) -> list[dict[str, Any]]:
        return [{"id": i, "token": readable(contents[i]), "count": int(counts[i])} for i in ids.tolist()]

    return {
        "size": len(counts),
        "special": int(np.count_nonzero(~ordinary)),
        "used": int(np.count_nonzero(ordinary & (counts > 0))),
        "unused": len(unused),
        "rare": int(np.count_nonzero(ordinary & (counts > 0) & (counts < RARE))),
        "rare_below": RARE,
        # How many of the most frequent tokens make up a share of the text.
        "covers": {str(s): int(np.searchsorted(cumulative, s * total)) + 1 if total else 0 for s in _SHARES},
        "most_frequent": listed(order[: min(_LISTED, np.count_nonzero(counts))]),
        "first_unused": listed(unused[:_LISTED]),
    }


def notes_on(report: Mapping[str, Any]) -> list[str]:
    """Point out unknown tokens, languages that the vocabulary hardly knows, and tokens that never occur."""
    notes = []
    if rate := report["total"]["unknown_rate"]:
        notes.append(f"{percent(rate, 1)} of the tokens are unknown: that text is lost")
    for language, item in report["languages"].items():
        odd = (item["partial_rate"] or 0) + (item["byte_fallback_rate"] or 0)
        if odd >= _MANY_ODD:
            name = "text of undetermined language" if language == UNKNOWN_LANGUAGE else f"language {language}"
            notes.append(f"{name}: {percent(odd, 1)} of the tokens are no whole characters")
    vocabulary = report["vocabulary"]
    ordinary = vocabulary["size"] - vocabulary["special"]
    if vocabulary["unused"] > ordinary / 10:
        notes.append(
            f"{vocabulary['unused']:,} of {ordinary:,} tokens ({percent(vocabulary['unused'], ordinary)}) never occur"
        )
    return notes


def make_page(report: Mapping[str, Any], statistics: TokenStatistics, cutter: Cutter) -> Page:
    """Build the page from the content of report.json and the samples."""
    total, vocabulary = report["total"], report["vocabulary"]
    page = Page(
        "Token report",
        f"{total['tokens']:,} tokens of {total['documents']:,} documents, {size(total['bytes'])} of text",
    )
    facts = {
        "tokens": compact(total["tokens"]),
        "bytes per token": _shown(total["bytes_per_token"]),
        "tokens per word": _shown(total["tokens_per_word"]),
        "tokens per character": _shown(total["tokens_per_character"]),
        f"of {vocabulary['size']:,} tokens in use": f"{vocabulary['used']:,}",
    }
    page.facts({name: value for name, value in facts.items() if value})
    page.notes([note[0].upper() + note[1:] for note in report["notes"]])
    for heading, column in (("Splits", "split"), ("Languages", "language"), ("Sources", "source")):
        if column == "language" and set(report["languages"]) <= {UNKNOWN_LANGUAGE}:
            continue
        page.heading(heading)
        _rates_table(page, column, report[f"{column}s"])
    page.text(
        f"Tokens per word come from documents with {total['words_counted']:,} words in all: runs of letters and "
        "digits, and single characters in scripts without spaces."
    )
    _samples(page, statistics, cutter)
    _lengths(page, report["lengths"])
    _coverage(page, vocabulary)
    page.heading("Longest documents")
    columns = ["id", "source", "language", "split", "tokens"]
    if all(long["language"] == UNKNOWN_LANGUAGE for long in report["longest"]):
        columns.remove("language")
    shown = {UNKNOWN_LANGUAGE: "undetermined"}
    rows = [[shown.get(long[name], long[name]) for name in columns] for long in report["longest"]]
    with page.folded(f"{len(rows)} documents", compact(rows[0][-1]) if rows else ""):
        page.table(columns, rows)
    page.text("All of this: report.json.", style="foot")
    return page


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _rates_table(page: Page, column: str, groups: Mapping[str, Mapping[str, Any]]) -> None:
    top = max((item["tokens"] for item in groups.values()), default=0) or 1
    odd = {"partial_rate": "partial", "byte_fallback_rate": "fallback", "unknown_rate": "unknown"}
    odd = {name: header for name, header in odd.items() if any(item[name] for item in groups.values())}
    rows = [
        PartsRow(
            key if key != UNKNOWN_LANGUAGE else "undetermined",
            [(0.0, item["tokens"] / top, 0)],
            [
                item["documents"],
                item["tokens"],
                *(_shown(item[name]) for name in ("bytes_per_token", "tokens_per_word", "tokens_per_character")),
                *(percent(item[name], 1) if item[name] else "" for name in odd),
            ],
        )
        for key, item in list(groups.items())[:_ROWS_ON_PAGE]
    ]
    headers = (column, "documents", "tokens", "bytes/token", "tokens/word", "tokens/char.", *odd.values())
    page.parts_table(headers, rows)
    if len(groups) > _ROWS_ON_PAGE:
        page.text(f"and {len(groups) - _ROWS_ON_PAGE:,} more in report.json")


def _samples(page: Page, statistics: TokenStatistics, cutter: Cutter) -> None:
    if not statistics.samples:
        return
    page.heading("Samples")
    page.text(
        "Colours change at the borders of tokens; a pointer on one shows its id. \u23ce is a newline, \u2026 a part "
        "of a character that a token behind it completes."
    )
    sizes: Counter[tuple[str, str]] = Counter()
    for group, counts in statistics.groups().items():
        sizes[group.source, group.language] += counts.tokens
    for place in sorted(statistics.samples, key=lambda place: (-sizes[place], place))[:_SAMPLES_ON_PAGE]:
        text = statistics.samples[place].text
        pieces = cutter.pieces(text)
        known = [part for part in place if part != UNKNOWN_LANGUAGE]
        caption = " \u00b7 ".join((*known, f"{len(text) / max(len(pieces), 1):.2f} characters per token"))
        shown = spelled([piece.content for piece in pieces], brief=True)
        tokens = [
            (text + "\n" * (b"\n" in piece.content), f"{piece.id}  {piece.token}", piece.kind == UNKNOWN)
            for piece, text in zip(pieces, shown, strict=True)
        ]
        page.tokens(caption, tokens)


def _lengths(page: Page, lengths: Mapping[str, Any]) -> None:
    edges, splits = lengths["up_to"], [split for split in SPLITS if split in lengths]
    documents = np.array([lengths[split]["documents"] for split in splits]).reshape(-1, len(edges)).sum(axis=0)
    if not documents.any():
        return
    used = np.flatnonzero(documents)
    first = max(0, min(int(used[0]), len(edges) - _LEAST_BINS))
    last = max(int(used[-1]) + 1, first + _LEAST_BINS)
    ticks = histogram_ticks([edges[first - 1] if first else edges[0] / 2, *edges[first:last]], compact)
    charts = []
    for split in splits:
        counts = np.array(lengths[split]["documents"])
        quantiles = [edges[int(np.searchsorted(np.cumsum(counts), q * counts.sum()))] for q in (0.5, 0.9)]
        captions = [(f"half up to {compact(quantiles[0])}", f"90% up to {compact(quantiles[1])}")]
        bins = counts[first:last].tolist()
        charts.append(Histogram(split, captions, ticks, [0] * len(bins), bins))
    page.heading("Tokens per document")
    page.histograms(charts)
    tokens = np.array([lengths[split]["tokens"] for split in splits]).sum(axis=0)
    rows = []
    for context in _CONTEXTS:
        inside = int(np.searchsorted(edges, context)) + 1
        fits, held = int(documents[:inside].sum()), int(tokens[:inside].sum())
        rows.append([f"{context:,}", percent(fits, documents.sum()), percent(held, tokens.sum())])
        if fits == documents.sum():
            break
    page.table(("context length", "documents that fit", "tokens in them"), rows)


def _coverage(page: Page, vocabulary: Mapping[str, Any]) -> None:
    page.heading("Vocabulary")
    used = vocabulary["used"] + vocabulary["unused"]
    facts = ((f"{RARE} times or more", vocabulary["used"] - vocabulary["rare"]), ("less often", vocabulary["rare"]))
    page.bars([*facts, ("never", vocabulary["unused"]), ("special", vocabulary["special"])])
    parts = ", ".join(
        f"{count:,} of them make up {100 * float(part):g}%" for part, count in vocabulary["covers"].items()
    )
    page.text(f"{used:,} tokens are not special; the most frequent {parts} of the text.")
    named: tuple[tuple[str, str, Callable[[Mapping[str, Any]], list[Any]]], ...] = (
        ("most_frequent", "Most frequent tokens", lambda item: [item["token"], item["id"], item["count"]]),
        ("first_unused", "Tokens that never occur", lambda item: [item["token"], item["id"]]),
    )
    for key, title, row in named:
        if vocabulary[key]:
            with page.folded(title, f"first {len(vocabulary[key])}"):
                page.table(("token", "id", "count")[: len(row(vocabulary[key][0]))], [row(i) for i in vocabulary[key]])
