"""Point out the sources that lose nearly everything: which rule took it, and which recipe would suit such text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from llmkit.cleaning.tally import Tally

_LEAST_READ = 20
_LEAST_LOST = 0.9
_MOST_NAMED = 3
_CODE = "the recipe code is for source code, tables and technical documents"
_SHORT = "its texts are short; for those write a recipe without this rule"
_ADVICE = {
    "language.keep": "the recipes english and chinese keep one language, multilingual keeps all",
    "language.confidence": f"the recipe multilingual asks for less certainty; {_CODE}",
    "language.short": _SHORT,
    "length.min_chars": _SHORT,
    "gopher_quality.min_words": _SHORT,
    "chinese_quality.min_han": _SHORT,
    "chinese_quality.min_han_ratio": "the recipes english and multilingual are for other languages",
    "gopher_quality.min_stop_words": "the recipe multilingual is for other languages than English",
    "gopher_quality.max_words": "raise it, where the texts are whole books",
    "gopher_quality": _CODE,
    "fineweb_quality": f"{_CODE}; web is for HTML pages",
    "gopher_repetition": _CODE,
    "chinese_quality": _CODE,
    "c4_quality": "the recipe english keeps whole documents",
}
"""Rule, or the step of all its other rules, to what suits text that falls by it."""


def advice(rule: str) -> str:
    """Return which recipe suits text that falls by a rule; empty where none would."""
    return _ADVICE.get(rule) or _ADVICE.get(rule.partition(".")[0], "")


def loss_notes(tally: Tally) -> Iterator[str]:
    """Yield a note for each source that lost over nine in ten of its documents, the largest first."""
    by_source: dict[str, Counter[str]] = {}
    for (source, rule), count in tally.source_drops.items():
        by_source.setdefault(source, Counter())[rule] += count
    named = 0
    for source, read in tally.sources_read.most_common():
        fell = by_source.get(source, Counter())
        if read < _LEAST_READ or fell.total() <= _LEAST_LOST * read:
            continue
        named += 1
        if named <= _MOST_NAMED:
            rule, count = fell.most_common(1)[0]
            text = f"note: source {source} lost {fell.total():,} of {read:,} documents, {count:,} of them by {rule}"
            yield f"{text}: {suits}" if (suits := advice(rule)) else text
    if named > _MOST_NAMED:
        more = named - _MOST_NAMED
        yield f"note: {more:,} more sources lost over {_LEAST_LOST:.0%} of their documents; see the report"
