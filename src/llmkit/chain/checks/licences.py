"""What the rows of the inputs say of their licences, and whether any restricts what may be made of them.

Sources keep columns that they do not read in `meta`, and `clean` keeps `meta`: the first rows are looked at there, and
one level down. This says what the data state; whether that is so, and what it means, is for people to know.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from llmkit.chain.link import same_place
from llmkit.chain.reads import DATA
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.data.sources import Record, Source

ROWS, PER_FILE, FILES = 100, 25, 100
"""Rows of an input that are looked at, of one of many files, and files that are opened for them."""
SHOWN = 5
NAMES = re.compile(r"(?:^|_)(?:licen[cs]es?|licen[cs]e_(?:name|type|id|url)|rights|usage_rights|copyright_license)$")
RESTRICTS = {
    "non-commercial": re.compile(r"(?<![a-z])nc(?![a-z])|non[- ]?commercial|research[- ]only"),
    "no-derivatives": re.compile(r"(?<![a-z])nd(?![a-z])|no[- ]?deriv"),
    "share-alike": re.compile(r"(?<![a-z])sa(?![a-z])|share[- ]?alike|(?<![a-z])[al]?gpl|copyleft"),
}


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Look at the first rows of every input that no run of the chain writes."""
    for name in DATA:
        for field, source in run.raw(name):
            yield from _of_input(chain, run, field, source)


def check_all(chain: Chain) -> Iterator[Finding]:
    """Name the inputs whose rows state nothing, in one sentence."""
    silent = chain.facts.get("licences", [])
    if silent:
        names = ", ".join(silent)
        hint = "what may be made of them is for you to know; a column `license` would travel along"
        yield Finding("warning", f"no row that was looked at states a licence in its meta: {names}", hint=hint)


def _of_input(chain: Chain, run: Run, field: str, source: Source) -> Iterator[Finding]:
    rows = _rows(source)
    if not rows:
        return
    stated = Counter(licence for row in rows if (licence := _licence(row)) is not None)
    if not stated:
        chain.facts.setdefault("licences", []).append(f"{run.label} {field} ({_named(source)})")
        return
    names = ", ".join(f"{name} {count}" for name, count in stated.most_common(SHOWN))
    more = f" and {len(stated) - SHOWN} more" if len(stated) > SHOWN else ""
    yield run.found("ok", f"of {len(rows)} rows: {names}{more}", about=field)
    for restriction, pattern in RESTRICTS.items():
        if found := [name for name in stated if pattern.search(name.lower())]:
            count = sum(stated[name] for name in found)
            words = f"{count} of {len(rows)} rows state a {restriction} licence: {', '.join(found[:SHOWN])}"
            yield run.found("warning", words, about=field, hint=_preview(run))
    if silent := len(rows) - stated.total():
        words = f"{silent} of {len(rows)} rows state no licence, and the others do"
        yield run.found("warning", words, about=field, hint=_preview(run))


def _rows(source: Source) -> list[Mapping[str, Any]]:
    """Return the meta of the first rows of the first files."""
    found: list[Mapping[str, Any]] = []
    files = source.files()[:FILES]
    each = max(PER_FILE, ROWS // max(1, len(files)))
    for file in files:
        records = (record for record in source.read(file) if isinstance(record, Record))
        found += [record.meta for record in islice(records, min(each, ROWS - len(found)))]
        if len(found) >= ROWS:
            break
    return found


def _licence(meta: Mapping[str, Any]) -> str | None:
    """Return what a row states; several licences are one statement."""
    inner = [value for value in meta.values() if isinstance(value, Mapping)]
    for fields in (meta, *inner):
        for name, value in fields.items():
            if not NAMES.search(name.lower().replace("-", "_")):
                continue
            if isinstance(value, list | tuple):
                value = " / ".join(sorted(str(item) for item in value if item))  # noqa: PLW2901 - as one text
            if isinstance(value, str) and value.strip() and value.strip().lower() not in ("none", "unknown", "null"):
                return " ".join(value.split())[:60]
    return None


def _named(source: Source) -> str:
    path = getattr(source, "path", None)
    return path if isinstance(path, str) and not same_place(path, ".") else source.type_name


def _preview(run: Run) -> str | None:
    return f"llmkit clean -r {run.given.recipe} --preview 20 shows rows" if run.stage == "clean" else None
