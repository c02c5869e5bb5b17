"""One task of a page: what was found of it, by model or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.core.page import Interval
from llmkit.evaluation.figures import Figure
from llmkit.evaluation.page_examples import Sample

Found = Mapping[str, Any]
UP, DOWN = "\u2191", "\u2193"
"""Higher is better, and lower is."""


@dataclass(frozen=True)
class TaskShown:
    """One task of a page.

    Attributes:
        name: Its name.
        settings: Its fields.
        results: Model or run to what `results.json` has of it; the first one is what the page is about.
        samples: Model or run to its samples.
        figures: Model or run to what is drawn of it.
        differences: Model or run to score to what `results.json` says of its difference from `reference`.
        reference: The model or run that the others are compared with; "" for none.
        values: Model or run to each sample's own value of the main score; None of a sample that has none.
    """

    name: str
    settings: Found
    results: Mapping[str, Found]
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    differences: Mapping[str, Mapping[str, Found]] = field(default_factory=dict)
    reference: str = ""
    values: Mapping[str, Sequence[float | None]] = field(default_factory=dict)

    @property
    def scores(self) -> list[str]:
        """The scores that any model has; the first one is the main one."""
        return list(dict.fromkeys(name for found in self.results.values() for name in found["scores"]))

    def is_better_higher(self, name: str) -> bool | None:
        """Return which of two values of a score is the better one; None where that is not known."""
        for found in self.results.values():
            if name in found.get("estimates", {}):
                known: bool | None = found["estimates"][name].get("higher_is_better", True)
                return known
        return None

    def interval(self, model: str, name: str, colour: int = 0) -> Interval | None:
        """Return a score with its interval; None where the model has not got it."""
        found = self.results[model]
        if name not in found["scores"]:
            return None
        sure = found.get("estimates", {}).get(name, {})
        return Interval(model, found["scores"][name], sure.get("low"), sure.get("high"), colour)

    def count(self, model: str, name: str) -> int:
        """Return of how many samples a score is."""
        found = self.results[model]
        return int(found.get("estimates", {}).get(name, {}).get("n", found["num_samples"]))

    def label(self, name: str) -> str:
        """Return a score's name, with which way is better."""
        up = self.is_better_higher(name)
        return name if up is None else f"{name}\u00a0{UP if up else DOWN}"


def verdict(found: Found) -> Literal["", "good", "bad"]:
    """Tell whether a difference is beyond noise, and which way."""
    corrected, difference, up = found.get("p_corrected"), found.get("difference"), found.get("higher_is_better", True)
    if corrected is None or not difference or corrected >= 0.05 or up is None:
        return ""
    return "good" if (difference > 0) == up else "bad"
