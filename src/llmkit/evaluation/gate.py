"""Hold scores to those of a baseline: what is worse by more than is allowed, and not by chance, fails.

How much a score may lose is a share of the baseline's value, so that one number suits accuracy, BLEU and perplexity.
Chance is ruled out to one side: the p-value of a score being no worse, corrected by Holm for all scores that are held
to something, is below 0.05.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llmkit.evaluation.comparing import ALPHA, holm, is_secondary
from llmkit.evaluation.estimates import shown, shown_difference, shown_interval, shown_p


@dataclass
class _Held:
    label: str
    value: float
    before: float
    facts: Mapping[str, Any]

    def loss(self) -> float:
        """How much worse it is, whichever way is the better one."""
        return self.before - self.value if self.facts["higher_is_better"] else self.value - self.before


@dataclass
class Gate:
    """The scores that are held to a baseline's.

    Attributes:
        allowed: How much may be lost, as a share of the baseline's value.
        against: What the baseline is called.
    """

    allowed: float
    against: str
    held: list[_Held] = field(default_factory=list)
    not_held: list[str] = field(default_factory=list)

    def add(self, label: str, score: str, value: float, before: float, facts: Mapping[str, Any]) -> None:
        """Take a score in.

        Args:
            label: What it is called in words.
            score: Its name; scores of parts are left out.
            value: The run's.
            before: The baseline's.
            facts: The difference, as `Difference.facts` says it.
        """
        if is_secondary(score) or (facts["higher_is_better"] is None and facts["p"] is not None):
            return
        if facts["p"] is None:
            self.not_held.append(f"{label} is not held to {self.against}: {facts.get('why') or 'it has no test'}")
        else:
            self.held.append(_Held(label, value, before, facts))

    def untested(self) -> list[str]:
        """Say which scores nothing can be said of."""
        return self.not_held

    def verdict(self) -> str:
        """Say what fails, and why; "" where nothing does."""
        if not self.held:
            return f"no score could be held to {self.against}: none has a test"
        worse = holm([one.facts["p_worse"] for one in self.held])
        failed = [
            _line(one, p)
            for one, p in zip(self.held, worse, strict=True)
            if one.loss() > self.allowed * abs(one.before) and p < ALPHA
        ]
        if not failed:
            return ""
        which = f"{len(failed)} of {len(self.held)} scores {'is' if len(failed) == 1 else 'are'}"
        return (
            f"{which} worse than {self.against} by more than {100 * self.allowed:.3g}%, beyond noise:\n  "
            + "\n  ".join(failed)
        )

    def passed(self) -> str:
        """Say that all is well."""
        held = f"none of {len(self.held)} scores is worse than {self.against}"
        return f"{held} by more than {100 * self.allowed:.3g}%, beyond noise"


def _line(one: _Held, p: float) -> str:
    difference = one.value - one.before
    lost = f" ({one.loss() / abs(one.before):,.1%} worse)" if one.before else ""
    interval = shown_interval(one.facts["low"], one.facts["high"], sign="+")
    text = f"{one.label}: {shown(one.value)}, was {shown(one.before)}{lost}: {shown_difference(difference)} {interval}"
    return f"{text}, p {shown_p(p)} ({one.facts['test']}, to one side, n {one.facts['n']:,})"
