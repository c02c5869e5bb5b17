"""How near two texts are by their vectors, beside a score that people gave, or beside whether they mean the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.evaluation.reading import OTHER_DATA, shown
from llmkit.runtimes import Embed, Request, Running
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._headed import Headed, HeadTask, key_of_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.evaluation.reading import Item

SAME = ("1", "true", "yes")
"""Labels of pairs that mean the same, beside any other."""
GROUPS = 20


class Similarity(HeadTask):
    """Embed both texts of each pair and compare the cosine with the label of the data.

    The model is one that gives vectors: `finetune -s objective=embedding`, or any of sentence-transformers that is a
    body with pooling. Labels that are scores, as those of semantic textual similarity, are correlated with the cosine;
    of two labels one says that a pair means the same.
    """

    example: ClassVar[Request] = Embed("a")
    kinds: ClassVar[tuple[str, ...]] = ("text_pair",)

    positive: str | None = None
    """The label of pairs that mean the same, where labels are two. null: `1`, `true` or `yes`."""

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model."""
        return _Similarity(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return Spearman's and Pearson's correlation; of two labels average precision, best accuracy and area."""
        from llmkit.metrics._weighted import area, average_precision, best_accuracy, pearson, spearman

        truth = [sample["reference"] for sample in samples]
        cosines = np.array([sample["prediction"] for sample in samples])
        if not isinstance(truth[0], bool):
            return {"spearman": spearman(truth, cosines), "pearson": pearson(truth, cosines)}
        found: dict[str, Measure] = {"best_accuracy": best_accuracy(cosines, truth)}
        if any(truth):
            found = {"average_precision": average_precision(cosines, truth), **found}
        if len(set(truth)) > 1:
            found["auc"] = area(cosines[:, None], np.array(truth)[:, None])
        return found

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return the mean score, or the share of pairs that mean the same, over the cosine."""
        from llmkit.evaluation.figures import Lines, Points

        truth = np.array([sample["reference"] for sample in samples], np.float64)
        cosines = np.array([sample["prediction"] for sample in samples])
        parts = [part for part in np.array_split(np.argsort(cosines, kind="stable"), GROUPS) if len(part)]
        points = Points([float(cosines[part].mean()) for part in parts], [float(truth[part].mean()) for part in parts])
        two = isinstance(samples[0]["reference"], bool)
        axis = "share that means the same" if two else "mean score"
        note = f"Pairs by their cosine, a {GROUPS}th of them each; a line that rises throughout ranks them right."
        return [Lines(f"{axis.capitalize()} over cosine", note, lines={"pairs": points}, x="cosine", y=axis)]


class _Similarity(Headed):
    def __init__(self, task: Similarity, model: Running) -> None:
        super().__init__(task, model)
        self.task = task

    def rows(self) -> Iterator[Item]:
        """Yield the pairs, their labels as numbers, or as whether they mean the same."""
        _, items = self.task.read(self.unreadable)
        labels = [item.fields["label"] for item in items]
        for item, label in zip(items, self._settle(labels), strict=True):
            item.fields["label"] = label
        yield from self.asked(iter(items))

    def requests(self, row: Item) -> list[Embed]:
        """Ask for both vectors."""
        return [Embed(row.fields["text"]), Embed(row.fields["pair"])]

    def score(self, row: Item, answers: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
        """Return the cosine; 0 where a vector has no length."""
        left, right = (answer.astype(np.float64) for answer in answers)  # those of like texts differ in late digits
        lengths = max(float(np.linalg.norm(left) * np.linalg.norm(right)), 1e-12)
        return {
            "id": row.id, "cluster": key_of_text(row.fields["text"]), "prompt": row.fields["text"],
            "pair": row.fields["pair"], **self.cut(self.requests(row)), "reference": row.fields["label"],
            "prediction": float(left @ right) / lengths,
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores, and where the best threshold is."""
        from llmkit.metrics._ranking import Order, place_of_cut

        truth = [sample["reference"] for sample in samples]
        facts: dict[str, Any] = {"skipped": self.skipped.total, "prompt": self.model.facts.prompts.get("", "")}
        notes = self.notes()
        if isinstance(truth[0], bool):
            cosines = np.array([sample["prediction"] for sample in samples])
            threshold = -place_of_cut(Order(-cosines), np.where(truth, 1.0, -1.0))
            positive = sum(truth) / len(truth)
            facts |= {"threshold": threshold, "positive": sum(truth), "majority_accuracy": max(positive, 1 - positive)}
            notes.append("best_accuracy is with the threshold that is best on these very pairs")
        elif len(set(truth)) < 2:
            notes.append("all pairs have the same score: there is nothing to correlate with")
        return TaskResult.of(self.task.measures(samples), samples, facts, notes)

    def _settle(self, labels: Sequence[Any]) -> list[float] | list[bool]:
        """Return what labels say: whether two texts mean the same, if there are two of them, or a score.

        Raises:
            ConfigError: Which of two labels means the same is not clear.
            DataError: Labels are neither two nor numbers.
        """
        names = sorted({label if isinstance(label, str) else repr(label) for label in labels})
        if any(isinstance(label, list) for label in labels):
            raise DataError(
                f"tasks.data: the labels of {shown(self.data)} are lists, and a pair has one score or label",
                OTHER_DATA,
            )
        same = self.task.positive
        if same is not None and same not in names:
            raise ConfigError(
                f"tasks.positive: {shown(self.data)} has no label '{same}'{nearest(same, names)}",
                f"-s tasks.0.positive={names[0]}",
            )
        if same is None and len(names) <= 2 and all(isinstance(label, str) for label in labels):
            known = [name for name in names if name.casefold() in SAME]
            others = {*names} <= {"0", "1"} or not all(map(_is_number, names))
            same = known[0] if len(known) == 1 and others else None
        if same is not None:
            return [str(label) == same for label in labels]
        if all(_is_number(name) for name in names):
            return [float(label) for label in labels]
        if len(names) == 2:
            raise ConfigError(
                f"tasks.positive: the labels of {shown(self.data)} are '{names[0]}' and '{names[1]}', and it is not"
                " clear which of them means the same",
                f"say which: -s tasks.0.positive={names[0]}",
            )
        listed = ", ".join(f"'{name}'" for name in names[:12])
        raise DataError(
            f"tasks.data: labels of similarity are scores, or two: {shown(self.data)} has {len(names):,}, {listed}",
            "`type: classification` is for a model that was trained on such labels",
        )


def _is_number(name: str) -> bool:
    try:
        return math.isfinite(float(name))
    except ValueError:
        return False
