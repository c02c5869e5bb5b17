"""Lay out report.html: from what was read to what was kept, how the documents changed, and samples of what fell."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from llmkit.cleaning.tally import SAMPLES_PER_RULE
from llmkit.core.page import Histogram, Page, PartsRow, compact, histogram_ticks, percent, size
from llmkit.data.corpus import UNKNOWN_LANGUAGE

_SAMPLES_ON_PAGE = 5
_FILES_ON_PAGE = 200
_ROWS_ON_PAGE = 30
_EXCERPT_CHARS = 600
_TAIL = 0.001
"""Share of the documents beyond each end of a histogram on the page: a few giants would flatten the rest."""
_LEAST_BINS = 6
_KEPT, _DROPPED, _UNREADABLE = 0, 1, 3


def make_page(
    report: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, str]]], changes: Sequence[str]
) -> Page:
    """Build the page.

    Args:
        report: The content of report.json, see `llmkit.cleaning.report`.
        samples: Rows of what fell, per rule.
        changes: Per step the settings that are not the defaults.
    """
    documents, num_bytes = report["documents"], report["bytes"]
    share = percent(documents["kept"], documents["read"])
    page = Page("Corpus report", f"{documents['kept']:,} of {documents['read']:,} documents kept ({share})")
    facts = {
        "documents kept": f"{documents['kept']:,}",
        "documents dropped": f"{documents['rejected']:,}",
        f"{percent(num_bytes['kept'], num_bytes['read'])} of the text kept": size(num_bytes["kept"]),
    }
    if num_bytes["rewritten"]:
        less = num_bytes["rewritten"] > 0
        facts["removed within documents" if less else "added within documents"] = size(abs(num_bytes["rewritten"]))
    if documents["failed"]:
        facts["rows unreadable"] = f"{documents['failed']:,}"
    if report["held_out_at_source"]:
        facts["held out at the source"] = f"{report['held_out_at_source']:,}"
    page.facts(facts)
    page.notes([note[0].upper() + note[1:] for note in report["notes"]])
    _funnel(page, report, changes)
    _counts(page, report)
    _measures(page, report)
    _origins(page, report)
    _rejects(page, report, samples)
    _files(page, report)
    page.text("All of this and every setting: report.json. Samples: rejected/sample.parquet.", style="foot")
    return page


def _funnel(page: Page, report: Mapping[str, Any], changes: Sequence[str]) -> None:
    """Show what each step left, with a row per rule below it."""
    documents, num_bytes = report["documents"], report["bytes"]
    whole = documents["read"] or 1
    left = documents["read"] - documents["failed"]
    parts = [(0.0, left / whole, _KEPT), (left / whole, documents["failed"] / whole, _UNREADABLE)]
    unreadable = f"{documents['failed']:,} unreadable" if documents["failed"] else ""
    rows = [PartsRow("read", parts, ["", "", "", documents["read"], size(num_bytes["read"])], unreadable)]
    for position, (step, changed) in enumerate(zip(report["steps"], changes, strict=True)):
        left = step["reached"] - step["dropped"]
        parts = [(0.0, left / whole, _KEPT), (left / whole, step["dropped"] / whole, _DROPPED)]
        fell = sum(rule["bytes"] for rule in step["rules"])
        share = percent(step["dropped"], step["reached"]) if step["dropped"] else ""
        cells = [step["changed"], step["dropped"], share, left, f"\u2212{size(fell)}" if fell else ""]
        rows.append(PartsRow(f"{position} {step['step']['type']}", parts, cells, changed))
        start = left
        for rule in step["rules"] if [r["rule"] for r in step["rules"]] != [step["step"]["type"]] else ():
            cells = [
                "",
                rule["documents"],
                percent(rule["documents"], step["reached"]),
                "",
                f"\u2212{size(rule['bytes'])}",
            ]
            part = (start / whole, rule["documents"] / whole, _DROPPED)
            rows.append(PartsRow(rule["rule"], [part], cells, style="sub"))
            start += rule["documents"]
    parts = [(0.0, documents["kept"] / whole, _KEPT)]
    cells = ["", documents["rejected"], percent(documents["rejected"], documents["read"]), documents["kept"]]
    rows.append(PartsRow("kept", parts, [*cells, size(num_bytes["kept"])], style="total"))
    page.heading("From read to kept")
    page.key({"still there": _KEPT, "dropped here": _DROPPED})
    page.parts_table(("step", "changed", "dropped", "of reached", "left", "text"), rows)


def _counts(page: Page, report: Mapping[str, Any]) -> None:
    rows: list[PartsRow] = []
    for position, step in enumerate(report["steps"]):
        counted = sorted(((name, count) for name, count in step["counted"].items() if count), key=lambda item: -item[1])
        if counted:
            rows.append(PartsRow(f"{position} {step['step']['type']}", [], [""]))
        for name, count in counted[:_ROWS_ON_PAGE]:
            rows.append(PartsRow(name, [(0.0, count / counted[0][1], -1)], [count], style="sub"))
        if len(counted) > _ROWS_ON_PAGE:
            rows.append(PartsRow(f"and {len(counted) - _ROWS_ON_PAGE:,} more in report.json", [], [""], style="sub"))
    if rows:
        page.heading("What the steps counted")
        page.parts_table(("step", "count"), rows)


def _measures(page: Page, report: Mapping[str, Any]) -> None:
    charts = []
    for measure in report["measures"]:
        before, after, edges = measure["before"], measure["after"], measure["edges"]
        shown = _share if measure["name"].startswith("share") else _number
        first, last = _middle(before["bins"])
        captions = [(name, f"{shown(before[name])} \u2192 {shown(after[name])}") for name in ("median", "mean")]
        ticks = histogram_ticks(edges[first : last + 1], shown)
        bins = [side["bins"][first:last] for side in (before, after)]
        charts.append(Histogram(measure["name"], captions, ticks, *bins))
    page.heading("Documents before and after")
    page.key({"read": -1, "kept": _KEPT})
    page.histograms(charts)


def _number(value: float) -> str:
    return compact(round(value, 3))  # the mean of a bin of almost nothing but zeros is no number to read


def _share(value: float) -> str:
    return f"{round(100 * value, 2):.3g}%"


def _middle(bins: Sequence[int]) -> tuple[int, int]:
    """Return the stretch of bins that holds all but the outermost documents: an even number, a few at least."""
    total, below = sum(bins), 0
    first, last = len(bins), 0
    for i, count in enumerate(bins):
        if count and below + count > total * _TAIL and below < total * (1 - _TAIL):
            first, last = min(first, i), i + 1
        below += count
    first = min(first, len(bins) - _LEAST_BINS)
    last = max(last, first + _LEAST_BINS)
    if (last - first) % 2:
        first, last = (first, last + 1) if last < len(bins) else (first - 1, last)
    return first, last


def _origins(page: Page, report: Mapping[str, Any]) -> None:
    page.heading("Sources")
    sources = list(report["sources"].items())
    top = max((source["read"] for _, source in sources), default=1) or 1
    rows = [
        PartsRow(
            name,
            _kept_and_fallen(item["kept"], item["read"] - item["kept"], top),
            [
                item["read"],
                item["kept"],
                percent(item["kept"], item["read"]),
                size(item["bytes_kept"]),
                ", ".join(f"{rule} {count:,}" for rule, count in item["fell_by"].items()),
            ],
        )
        for name, item in sources[:_ROWS_ON_PAGE]
    ]
    page.parts_table(("source", "read", "kept", "share", "text kept", "fell mostly by"), rows)
    _more(page, len(sources), _ROWS_ON_PAGE)
    if set(report["languages"]) <= {UNKNOWN_LANGUAGE}:
        return
    page.heading("Languages")
    languages = list(report["languages"].items())
    top = max(item["kept"] + item["dropped"] for _, item in languages)
    rows = [
        PartsRow(
            name if name != UNKNOWN_LANGUAGE else "undetermined",
            _kept_and_fallen(item["kept"], item["dropped"], top),
            [item["kept"], item["dropped"], percent(item["kept"], item["kept"] + item["dropped"])],
        )
        for name, item in languages[:_ROWS_ON_PAGE]
    ]
    page.parts_table(("language", "kept", "dropped", "share kept"), rows)
    _more(page, len(languages), _ROWS_ON_PAGE)


def _kept_and_fallen(kept: int, fallen: int, top: int) -> list[tuple[float, float, int]]:
    return [(0.0, kept / top, _KEPT), (kept / top, fallen / top, _DROPPED)]


def _more(page: Page, count: int, shown: int) -> None:
    if count > shown:
        page.text(f"and {count - shown:,} more in report.json")


def _rejects(page: Page, report: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
    if not report["rules"]:
        return
    page.heading("Samples of what fell")
    page.text(f"{_SAMPLES_ON_PAGE} of each rule; up to {SAMPLES_PER_RULE} are in rejected/sample.parquet.")
    for rule in report["rules"]:
        with page.folded(rule["rule"], f"{rule['documents']:,}"):
            for row in samples.get(rule["rule"], ())[:_SAMPLES_ON_PAGE]:
                against = f"threshold {row['threshold']}" if _is_number(row["threshold"]) else row["threshold"]
                name = row["file"].rpartition("/")[2]
                caption = " \u00b7 ".join(filter(None, (row["value"], against, row["source"], name)))
                text = row["text"]
                page.quote(caption, text[:_EXCERPT_CHARS] + ("…" if len(text) > _EXCERPT_CHARS else ""), prose=True)


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).removeprefix("-").isdecimal()


def _files(page: Page, report: Mapping[str, Any]) -> None:
    files = list(report["files"].items())
    shared = os.path.commonpath([os.path.dirname(path) for path, _ in files]) if _are_local(files) else ""  # noqa: PTH120
    cut = len(shared) + 1 if len(shared) > 1 else 0
    rows = [
        PartsRow(
            path[cut:],
            [
                *_kept_and_fallen(item["kept"], item["rejected"], item["rows"] or 1),
                (
                    (item["rows"] - item["failed"]) / (item["rows"] or 1),
                    item["failed"] / (item["rows"] or 1),
                    _UNREADABLE,
                ),
            ],
            [item["rows"], item["kept"], item["rejected"], item["failed"]],
        )
        for path, item in files[:_FILES_ON_PAGE]
    ]
    page.heading("Files")
    with page.folded(f"{len(files):,} {'file' if len(files) == 1 else 'files'}", shared, is_open=len(files) <= 12):
        page.parts_table(("file", "rows", "kept", "dropped", "unreadable"), rows)
        _more(page, len(files), _FILES_ON_PAGE)


def _are_local(files: Sequence[tuple[str, Any]]) -> bool:
    return bool(files) and all(os.path.isabs(path) for path, _ in files)  # noqa: PTH117
