"""A task of two runs side by side: differences of its scores with their tests, and the samples that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError
from llmkit.evaluation.comparing import Difference, Pairs, Sample, differences
from llmkit.evaluation.measures import Measure, Sums, clusters_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLOSE = 1e-6
"""Relative difference up to which a score computed anew is the stored one."""


@dataclass
class Moved:
    """Samples on which two runs differ, as pairs of (reference, run).

    Attributes:
        score: By which score of theirs.
        flips: They were right and are wrong, or the reverse; if not, they are worse and better by a value.
        lost: Those that the reference alone gets right, or that have become worse, the worst first.
        won: The reverse.
    """

    score: str
    flips: bool
    lost: list[tuple[Sample, Sample]] = field(default_factory=list)
    won: list[tuple[Sample, Sample]] = field(default_factory=list)

    def facts(self, most: int = 1000) -> dict[str, Any]:
        """Return how many they are, and the ids of the first of them."""
        found: dict[str, Any] = {"score": self.score, "flips": self.flips}
        for name, pairs in (("lost", self.lost), ("won", self.won)):
            found |= {f"num_{name}": len(pairs), name: [before.get("id") for before, _ in pairs[:most]]}
        return found


@dataclass
class Compared:
    """What became of one task.

    Attributes:
        differences: By score, not yet corrected for how many there are.
        moved: Samples on which the runs differ; None where samples have no values of their own.
        notes: Sentences for people.
    """

    differences: dict[str, Difference] = field(default_factory=dict)
    moved: Moved | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Side:
    """A task of one run.

    Attributes:
        scores: As they are stored.
        samples: As the file of samples has them.
        higher: Which of two values of a score is better, as it is stored; for those that have no test.
    """

    scores: Mapping[str, float]
    samples: Sequence[Sample]
    higher: Mapping[str, bool | None] = field(default_factory=dict)


def compare_sides(task: Any, now: Side, before: Side, why: str = "") -> Compared:
    """Compare two runs of one task.

    Args:
        task: The task, whose `measures` say what scores rest on; None where it is not to be had.
        now: The run.
        before: The reference.
        why: Why there is no task, in words.
    """
    found = Compared()
    names = [name for name in now.scores if name in before.scores]
    pairs = Pairs.of(now.samples, before.samples)
    found.notes += [note] if (note := pairs.note()) else []
    tested: dict[str, Difference] = {}
    if task is not None and pairs.now:
        both = [kept_measures(task, side, names) for side in (pairs.now, pairs.before)]
        found.notes += [] if pairs.only_now else _changed(both[0], now.scores)
        found.notes += [] if pairs.only_before else _changed(both[1], before.scores)
        tested = differences(both[0], both[1], clusters_of(pairs.before))
        found.moved = moved(pairs, *both)
    elif task is not None:
        why = "the runs have no sample in common"
    found.notes += [f"no tests: {why}"] if why else []
    for name in names:
        value, better = now.scores[name] - before.scores[name], before.higher.get(name, None)
        untested = Difference(name, value, 0, better, why=why or "the task does not say what it rests on")
        found.differences[name] = tested.get(name, untested)
    return found


def kept_measures(task: Any, samples: Sequence[Sample], names: Sequence[str]) -> dict[str, Measure]:
    """Return what the named scores of samples that lie in a file rest on.

    Raises:
        DataError: The samples are not such as the task writes.
    """
    try:
        measures: dict[str, Measure] = task.measures([dict(sample) for sample in samples])
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"samples-{task.title}.jsonl holds samples that the task does not write: {type(error).__name__}: {error}",
            "llmkit lineage RUN --verify says which file was changed",
        ) from error
    return {name: measure for name, measure in measures.items() if name in names}


def _changed(measures: Mapping[str, Measure], scores: Mapping[str, float]) -> list[str]:
    """Say which stored scores the task computes otherwise now, from the same samples."""
    notes = []
    for name, measure in measures.items():
        value = measure.value
        if abs(value - scores[name]) > CLOSE * max(abs(value), abs(scores[name])):
            notes.append(f"{name} is stored as {scores[name]:g}, and the task makes {value:g} of the samples now")
    return notes


def moved(pairs: Pairs, now: Mapping[str, Measure], before: Mapping[str, Measure]) -> Moved | None:
    """Return the samples on which two runs differ: by the first score that is a share of hits, else by the first."""
    both = {name: (now[name], before[name]) for name in now if name in before}
    summed = {
        name: (one, other) for name, (one, other) in both.items() if isinstance(one, Sums) and isinstance(other, Sums)
    }
    if not summed:
        return None
    shares = [name for name, each in summed.items() if all(one.hit() is not None for one in each)]
    name = next(iter(shares or summed))
    one, other = summed[name]
    sign = -1 if one.higher_is_better is False else 1
    import numpy as np

    gain = sign * (_each(one) - _each(other))
    order = np.argsort(gain, kind="stable").tolist()
    found = Moved(name, flips=bool(shares))
    found.lost = [(pairs.before[i], pairs.now[i]) for i in order if gain[i] < 0]
    found.won = [(pairs.before[i], pairs.now[i]) for i in reversed(order) if gain[i] > 0]
    return found


def own_values(measures: Mapping[str, Measure]) -> list[float | None]:
    """Return what the main score would be of each sample alone; None of those without one, nothing where none has."""
    import numpy as np

    main = next(iter(measures.values()), None)
    if not isinstance(main, Sums):
        return []
    with np.errstate(all="ignore"):
        values = np.asarray(main.of(main.statistics), np.float64).tolist()
    return [value if np.isfinite(value) else None for value in values]


def _each(measure: Sums) -> NDArray[np.float64]:
    """Return what a score would be of each sample alone, `[samples]`; 0 of those that have no part in it."""
    import numpy as np

    with np.errstate(all="ignore"):
        values = np.asarray(measure.of(measure.statistics), np.float64)
    return np.where(np.isfinite(values), values, 0.0)
