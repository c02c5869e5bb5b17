"""Which label of a model stands for which label of the data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from llmkit.metrics._weighted import Decisions

SHOWN = 12


@dataclass(frozen=True)
class Fitted:
    """How labels fit.

    Attributes:
        names: Label of the data -> label of the model, of those that the model knows.
        unknown: Labels of the data that it does not know, with the number of rows, or words, that have them.
        how: What was taken for what, where names differ; "" for nothing.
        hints: `did you mean` for the first unknown label, or "".
    """

    names: Mapping[str, str]
    unknown: Counter[str]
    how: str = ""
    hints: str = ""

    def of(self, label: str) -> str:
        """Return the model's name of a label; one that it does not know keeps its own."""
        return self.names.get(label, label)

    def notes(self, what: str) -> list[str]:
        """Say what was taken for what, and what the model does not know, which is wrong whatever it answers."""
        notes = [self.how] if self.how else []
        if self.unknown:
            named = ", ".join(f"'{name}' ({count:,})" for name, count in self.unknown.most_common(SHOWN))
            notes.append(
                f"{self.unknown.total():,} {what} have labels that the model does not know, which count as wrong:"
                f" {named}{self.hints}"
            )
        return notes


def fit_labels(found: Counter[str], labels: Sequence[str], given: Mapping[str, str]) -> Fitted:
    """Find the model's label for each label of the data: by name, else whatever its case, else by number.

    Numbers are taken for the places of the model's labels only where no label fits by name and all are among the
    places: a model of `1 star` to `5 stars` does not fit 1 to 5 by accident.

    Args:
        found: Labels of the data with how often each is there.
        labels: Those of the model, in the order of its outputs.
        given: What the user says: label of the data -> label of the model.

    Raises:
        ConfigError: What the user says names a label that the model has not got.
        DataError: No label fits.
    """
    exact, loose = set(labels), _loose(labels)
    for label, wanted in given.items():
        if wanted not in exact and _fold(wanted) not in loose:
            raise ConfigError(
                f"tasks.labels.{label}: the model has no label '{wanted}'{nearest(wanted, labels)}",
                f"its labels: {', '.join(sorted(exact)[:10])}",
            )
    names: dict[str, str] = {}
    for label in found:
        wanted = given.get(label, label)
        name = wanted if wanted in exact else loose.get(_fold(wanted))
        if name is not None:
            names[label] = name
    if not names and all(label.isdecimal() and int(label) < len(labels) for label in found):
        names = {label: labels[int(label)] for label in found}
    if not names:
        raise DataError(
            f"tasks.data: no label of the data is one of the model's: the data have {_listed(sorted(found))}, and the"
            f" model has {_listed(labels)}",
            f"say which is which: -s 'tasks.0.labels={{{min(found)}: {labels[0]}, ...}}'",
        )
    unknown = Counter({label: count for label, count in found.items() if label not in names})
    other = {label: name for label, name in sorted(names.items()) if label != name}
    pairs = ", ".join(f"{label} = {name}" for label, name in list(other.items())[:SHOWN])
    more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
    how = f"labels of the data are taken for the model's: {pairs}{more}" if other else ""
    hints = nearest(next(iter(unknown)), labels) if unknown else ""
    return Fitted(names, unknown, how, hints)


def decisions_of(truth: Sequence[Sequence[str]], prediction: Sequence[Sequence[str]]) -> tuple[list[str], Decisions]:
    """Return the labels that are true or predicted, sorted, and which are of each sample."""
    from llmkit.metrics._weighted import Decisions

    names = sorted({label for side in (truth, prediction) for own in side for label in own})
    number = {name: i for i, name in enumerate(names)}
    sides = [[[number[label] for label in own] for own in side] for side in (truth, prediction)]
    return names, Decisions.of_sets(sides[0], sides[1], len(names))


def _loose(labels: Sequence[str]) -> dict[str, str]:
    """Return folded name -> label; names that fold to one are left out."""
    counts = Counter(map(_fold, labels))
    return {_fold(name): name for name in labels if counts[_fold(name)] == 1}


def _fold(name: str) -> str:
    """Return a name without case and what joins its words; in numbers a sign means something."""
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip() if name[:1].isalpha() else name


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names):,})" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
