"""What an evaluation says of its scores in lines: value, interval, number of samples, and beside it the baseline's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.core.stage import Facts
from llmkit.evaluation.comparing import is_secondary
from llmkit.evaluation.estimates import shown, shown_difference, shown_interval, shown_p

SECONDARY_SHOWN = 8
"""Scores of parts, such as `bits_per_byte[source=wiki]`; the report has all of them."""


def score_rows(name: str, found: Mapping[str, Any]) -> Facts:
    """Return a row per score of a task as `results.json` has it, and its notes."""
    results = found["results"]
    scores = list(dict.fromkeys(score for result in results.values() for score in result["scores"]))
    parts = [score for score in scores if is_secondary(score)]
    left_out = parts[SECONDARY_SHOWN:] if len(parts) < len(scores) else []  # of some tasks they are all there is
    rows = [(f"{name} {score}", score_line(score, found)) for score in scores if score not in left_out]
    rows += [(f"{name}", f"and {len(left_out)} more, in the report")] if left_out else []
    for role, result in results.items():
        if line := overlap_line(result.get("overlap", {})):
            rows.append((f"{name} of the {role}", line))
        rows += [(f"{name} of the {role}", note) for note in result.get("notes", ())]
    return rows


def score_line(score: str, found: Mapping[str, Any]) -> str:
    """Return value, interval and number of samples, then the baseline's value and the difference."""
    results = found["results"]
    value, before = (results.get(role, {}).get("scores", {}).get(score) for role in ("model", "baseline"))
    text = "none" if value is None else shown(value)
    estimate = results.get("model", {}).get("estimates", {}).get(score, {})
    if interval := shown_interval(estimate.get("low"), estimate.get("high")):
        text += f" {interval}"
    if value is not None and (n := estimate.get("n")) is not None:
        text += f"  n {n:,}"
    if "baseline" in results:
        text += f"   baseline {'none' if before is None else shown(before)}"
    if value is not None and before is not None:
        text += f"   difference {difference_line(value - before, found.get('differences', {}).get(score, {}))}"
    return text


def difference_line(value: float, facts: Mapping[str, Any]) -> str:
    """Return a difference with its interval, p-value and mark."""
    text = shown_difference(value)
    if interval := shown_interval(facts.get("low"), facts.get("high"), sign="+"):
        text += f" {interval}"
    if (p := facts.get("p_corrected")) is not None:
        text += f"  p {shown_p(p)}"
    return text + (f"  {facts['mark']}" if facts.get("mark") else "")


def overlap_line(overlap: Mapping[str, Any]) -> str:
    """Say how many items stand in the training text, and the main score on the others; "" where nothing is known."""
    if "items" not in overlap:
        return ""
    count, items = overlap["overlapping"], overlap["items"]
    if overlap["too_short"] == items:  # such as those of a task that asks for nothing but time
        return ""
    if not count:
        return f"none of {items:,} items shares an n-gram with the training text"
    shares = "shares an n-gram" if count == 1 else "share n-grams"
    text = f"{count:,} of {items:,} items ({100 * count / items:.1f}%) {shares} with the training text"
    scores: Mapping[str, Any] = overlap.get("clean", {})
    if not scores:
        return text + ("; none is left" if count == items else "")
    score, clean = next(iter(scores.items()))
    interval = shown_interval(clean["low"], clean["high"])
    return f"{text}; without them {score} {shown(clean['value'])} {interval}".rstrip() + f"  n {clean['n']:,}"


def exchange(sample: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Return question, reference and answer of a sample that has them, whatever its task."""
    if not {"reference", "prediction"} <= sample.keys() or not {"turns", "output"} & sample.keys():
        return None
    asked = sample["turns"][-1]["content"] if sample.get("turns") else sample.get("prompt", "")
    right = sample["reference"]
    return asked, right if isinstance(right, str) else " | ".join(right), sample["prediction"]
