"""Show a preview in the terminal: per document what each step did, and what changed in the text.

A pipe gets the marks of `git diff --word-diff` instead of colours: `[-old-]{+new+}`.
"""

from __future__ import annotations

import difflib
import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence

from rich.text import Text

from llmkit.cleaning.preview import BROKEN_SHOWN, SEED, DocumentTrace, Preview, StepTrace
from llmkit.core.console import Console
from llmkit.text.characters import unspaced_class

Parts = list[tuple[str, str]]
"""Stretches of a line: `=`, `-` or `+`, and the text."""

MAX_LINES = 14
"""Lines of text shown of a document."""
EXCERPT_LINES = 3
_MAX_COMPARED_LINES = 400
_MAX_COMPARED_CHARS = 2000
"""Characters of a line that are compared word by word: difflib takes quadratic time."""
_CONTEXT = 24
"""Characters around a change within a line."""
_STYLES = {"=": "", "-": "red", "+": "green"}
_MARKS = {"=": ("", ""), "-": ("[-", "-]"), "+": ("{+", "+}")}


def show_preview(preview: Preview, console: Console) -> None:
    """Print the documents, then what the steps did to all of them, then what a preview cannot show."""
    plain = not console.out.is_terminal or console.out.no_color
    width = 2 * console.out.width if console.out.is_terminal else 160
    for number, trace in enumerate(preview.documents, 1):
        console.print(Text(f"{number}/{len(preview.documents)} ", "bold").append(_header(trace)))
        for step in trace.steps:
            console.print(Text("  ").append(_step_line(step)))
        for line in text_lines(trace, plain=plain):
            line.truncate(width, overflow="ellipsis")
            line.rstrip()
            console.print(Text("    ").append(line) if line.plain else "")
        console.print()
    _show_totals(preview, console)


def _show_totals(preview: Preview, console: Console) -> None:
    names = [f"{total.position} {total.name}" for total in preview.totals()]
    width = max(map(len, names), default=0)
    for name, total in zip(names, preview.totals(), strict=True):
        counted = f"  ({_counts(total.counted)})" if total.counted else ""
        console.print(f"  {name:{width}}  {total.changed:4} changed  {total.dropped:4} dropped{counted}")
    dropped = sum(document.drop is not None for document in preview.documents)
    files = f"{preview.num_files:,} of {preview.total_files:,} files" if preview.total_files > 1 else "1 file"
    rows = f"{preview.num_rows:,} {'' if preview.whole else 'of the '}rows"
    console.print(
        f"preview: {_documents(len(preview.documents))}, {len(preview.documents) - dropped} kept, {dropped} dropped; "
        f"drawn with seed {SEED} from {rows} in {files}; nothing was written"
    )
    if preview.left_out():
        names = [f"{position} {step.type_name}" for position, step in preview.left_out()]
        console.print(f"  not in a preview, they look at all documents together: {', '.join(names)}")
    for message in preview.broken:
        console.warn(message)
    if preview.num_broken > BROKEN_SHOWN:
        console.warn(f"and {preview.num_broken - BROKEN_SHOWN:,} more unreadable rows")


def _documents(count: int) -> str:
    return "1 document" if count == 1 else f"{count:,} documents"


def _header(trace: DocumentTrace) -> Text:
    document, before, after = trace.document, len(trace.before), len(trace.document.text)
    size = f"{before:,} characters" if before == after else f"{before:,} -> {after:,} characters"
    where = f"{trace.file} row {trace.row + 1}"
    facts = [document.source, where, *([document.language] if document.language != "und" else []), size]
    outcome, style = (
        ("dropped", "red") if trace.drop else ("changed", "green") if trace.changed else ("as it was", "dim")
    )
    return Text(visible(" | ".join(facts)), "bold").append(" | ").append(outcome, style)


def _step_line(step: StepTrace) -> Text:
    line = Text(f"{step.position} {step.name}: ", "bold")
    did = [word for word, so in (("changed", step.changed), (_counts(step.counts), step.counts)) if so]
    line.append(visible(", ".join(did)))
    if step.drop is not None:
        value = f"{step.drop.value:.4g}" if isinstance(step.drop.value, float) else str(step.drop.value)
        why = f"dropped by {step.drop.rule}: {value} (threshold {step.drop.threshold})"
        line.append("; " if did else "").append(visible(why), "red")
    return line


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))


def text_lines(trace: DocumentTrace, *, plain: bool) -> Iterator[Text]:
    """Yield the lines that show what changed, or the beginning of what did not; of a labelled row, its parts."""
    after = trace.document.text
    if not trace.changed and (parts := trace.parts()):
        for caption, text in parts[: 2 * EXCERPT_LINES]:
            yield Text(f"{caption}: ", "bold").append(visible(" ".join(text[:400].split())), "dim")
        return
    if not trace.changed:
        lines = after[: EXCERPT_LINES * 400].split("\n", EXCERPT_LINES)[:EXCERPT_LINES]
        yield from (Text(visible(line), "dim") for line in lines if line.strip())
        return
    for shown, parts in enumerate(line_changes(trace.before, after)):
        if shown == MAX_LINES:
            yield Text("... more changes", "dim")
            return
        yield _styled(parts, plain=plain)


def _styled(parts: Parts, *, plain: bool) -> Text:
    line = Text()
    for kind, text in parts:
        seen = visible(text, changed=kind != "=")
        left, right = _MARKS[kind] if plain else ("", "")
        line.append(f"{left}{seen}{right}", _STYLES[kind])
    return line


def line_changes(before: str, after: str) -> Iterator[Parts]:
    """Yield the lines that differ, each as stretches that stayed, fell out or came in, with a line around them.

    Time is linear in the texts beside a constant for what is compared in detail: of very long changes the rest is
    shown as a count.
    """
    old, new = before.split("\n"), after.split("\n")
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    rest = max(len(old), len(new)) - last - first - _MAX_COMPARED_LINES
    a = old[first : min(len(old) - last, first + _MAX_COMPARED_LINES)]
    b = new[first : min(len(new) - last, first + _MAX_COMPARED_LINES)]
    if first:
        yield from _context(old[:first], at_start=True, at_end=False)
    blocks = difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    for tag, a1, a2, b1, b2 in blocks:
        if tag == "equal":
            yield from _context(a[a1:a2], at_start=False, at_end=False)
        else:
            yield from _replaced(a[a1:a2], b[b1:b2])
    if rest > 0:
        yield [("=", f"... {rest:,} more lines")]
    elif last:
        yield from _context(old[len(old) - last :], at_start=False, at_end=True)


def _context(lines: Sequence[str], *, at_start: bool, at_end: bool) -> Iterator[Parts]:
    """Yield the lines next to a change, and how many lie between."""
    head = [] if at_start else list(lines[:1])
    tail = [] if at_end or len(lines) <= len(head) else list(lines[-1:])
    folded = len(lines) - len(head) - len(tail)
    middle = [f"... {folded:,} lines"] if folded > 1 else list(lines[len(head) : len(head) + folded])
    yield from ([("=", line)] for line in (*head, *middle, *tail) if line.strip())


def _replaced(old: Sequence[str], new: Sequence[str]) -> Iterator[Parts]:
    """Pair lines that differ in blanks and case alone, then the others in order."""
    x, y = [" ".join(line.split()).casefold() for line in old], [" ".join(line.split()).casefold() for line in new]
    for _, x1, x2, y1, y2 in difflib.SequenceMatcher(None, x, y, autojunk=False).get_opcodes():
        pairs = min(x2 - x1, y2 - y1)
        for a, b in zip(old[x1 : x1 + pairs], new[y1 : y1 + pairs], strict=True):
            yield word_changes(a, b)
        yield from ([("-", line or "\n")] for line in old[x1 + pairs : x2])
        yield from ([("+", line or "\n")] for line in new[y1 + pairs : y2])


def word_changes(old: str, new: str) -> Parts:
    """Return how one line became another, word by word (character by character in Chinese), with a little around it."""
    first = _common(old, new)
    last = _common(old[first:][::-1], new[first:][::-1])
    # Back to the borders of words: else `cats` for `cat` would be an added `s`.
    while first and old[first - 1].isalnum() and old[first - 1].isascii():
        first -= 1
    while last and old[len(old) - last].isalnum() and old[len(old) - last].isascii():
        last -= 1
    a, b = old[first : len(old) - last], new[first : len(new) - last]
    middle: Parts = []
    if max(len(a), len(b)) > _MAX_COMPARED_CHARS:
        middle = [("-", a[:_CONTEXT] + "..."), ("+", b[:_CONTEXT] + "...")]
    else:
        x, y = _token().findall(a), _token().findall(b)
        for tag, x1, x2, y1, y2 in difflib.SequenceMatcher(None, x, y, autojunk=False).get_opcodes():
            if tag == "equal":
                middle.append(("=", _folded("".join(x[x1:x2]))))
            else:
                middle += [("-", "".join(x[x1:x2])), ("+", "".join(y[y1:y2]))]
    head = old[max(0, first - _CONTEXT) : first] if first > 2 * _CONTEXT else old[:first]
    tail = old[len(old) - last :][: _CONTEXT if last > 2 * _CONTEXT else last]
    parts = [("=", ("..." if len(head) < first else "") + head), *middle]
    parts.append(("=", tail + ("..." if len(tail) < last else "")))
    return [(kind, text) for kind, text in parts if text]


@functools.cache
def _token() -> re.Pattern[str]:
    """Return the pattern of what is compared: words of scripts with spaces, runs of blanks, else single characters."""
    return re.compile(rf"[^\W{unspaced_class()}]+|\s+|.")


def _folded(text: str) -> str:
    return text if len(text) <= 3 * _CONTEXT else f"{text[:_CONTEXT]}...{text[-_CONTEXT:]}"


def _common(a: Sequence[str], b: Sequence[str]) -> int:
    """Return how many items at the beginning of two sequences are equal, by bisection: slices compare fast."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def visible(text: str, *, changed: bool = False) -> str:
    """Return a text with what cannot be seen written out; in what changed also blanks, if there is nothing else."""
    if changed and not text.strip(" "):
        return "\u00b7" * len(text)
    loose = changed and not unicodedata.is_normalized("NFC", text)
    if not loose and text.isprintable():
        return text
    return "".join(_escape(char) if _is_hidden(char, loose=loose) else char for char in text)


def _is_hidden(char: str, *, loose: bool) -> bool:
    return not char.isprintable() or (loose and unicodedata.combining(char) != 0)


def _escape(char: str) -> str:
    known = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}
    return known.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}")
