"""Labels of texts, and of pairs of texts, by models with a head for them: one label, several, or a number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmkit.core.errors import ConfigError, DataError
from llmkit.evaluation.reading import shown
from llmkit.runtimes import Label, Request, Running
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._headed import Headed, HeadTask, short
from llmkit.tasks._labels import Fitted, fit_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.data.rows import Row
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.evaluation.reading import Item

MAX_KEPT = 32
"""Labels of a model up to which a sample keeps all of its numbers, for the area under the curve; of more it keeps the
`TOP` likeliest, so that samples stay small."""
TOP = 5


class Classification(HeadTask):
    """Ask a model for the label of each text, and compare with the label of the data.

    The model is one with a head for labels: `finetune -s objective=classification`, or any class for sequence
    classification. A label that the model does not know is wrong whatever it says, and counted.
    """

    example: ClassVar[Request] = Label("a")
    kinds: ClassVar[tuple[str, ...]] = ("text_label", "text_pair")

    labels: dict[str, str] = {}
    """The model's name of a label of the data, where neither names nor numbers say it: `{pos: POSITIVE}`."""

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model."""
        return _Classification(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return the measures of labels, of several labels a text, or of numbers."""
        from llmkit.tasks._class_scores import number_measures, several_measures, single_measures

        if _are_numbers(samples):
            return number_measures(samples)
        return several_measures(samples) if isinstance(samples[0]["reference"], list) else single_measures(samples)

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return F1 by class, the confusion matrix and a reliability plot; of numbers what is said of what is true."""
        from llmkit.tasks._class_figures import label_figures, number_figures

        return number_figures(samples) if _are_numbers(samples) else label_figures(samples)


class _Classification(Headed):
    def __init__(self, task: Classification, model: Running) -> None:
        super().__init__(task, model)
        self.task, self.names = task, list(model.facts.labels)
        self.is_number, self.several = model.facts.answer == "number", model.facts.several
        self.fitted = Fitted({}, Counter())
        self.keeps = len(self.names) <= MAX_KEPT

    def rows(self) -> Iterator[Item]:
        """Yield the rows, when it is known how their labels fit the model's."""
        kind, items = self.task.read(self.unreadable)
        if self.is_number:
            self._check_numbers(kind, items)
        else:
            self._check_labels(kind)
            self.fitted = fit_labels(Counter(each for item in items for each in _listed(item)), self.names,
                                     self.task.labels)  # fmt: skip
        yield from self.asked(iter(items))

    def requests(self, row: Item) -> list[Label]:
        """Ask for the label of a text, or of a pair."""
        return [Label(row.fields["text"], row.fields.get("pair"))]

    def score(self, row: Item, answers: Sequence[NDArray[np.float32]]) -> dict[str, Any]:
        """Return what is true, what the model says, and how sure it is of each label."""
        (logits,) = answers
        pair = {"pair": row.fields["pair"]} if "pair" in row.fields else {}
        sample = {"id": row.id, "prompt": row.fields["text"], **pair, **self.cut(self.requests(row))}
        if self.is_number:
            return {**sample, "reference": float(row.fields["label"]), "prediction": short(logits)[0]}
        found = self._several(row, logits) if self.several else self._single(row, logits)
        return {**sample, **found}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores, and beside them what always the same answer has and how well each class is found."""
        from llmkit.tasks._class_scores import class_facts, number_facts

        facts, notes = number_facts(samples) if self.is_number else class_facts(samples)
        if not self.is_number and not self.keeps:
            notes = [
                *notes,
                _no_area(len(self.names)),
            ]
        skipped = {"skipped": self.skipped.total, "unknown_labels": self.fitted.unknown.total()}
        notes = [*self.notes(), *self.fitted.notes("rows"), *notes]
        return TaskResult.of(self.task.measures(samples), samples, {**skipped, **facts}, notes)

    def _single(self, row: Item, logits: NDArray[np.float32]) -> dict[str, Any]:
        from scipy.special import log_softmax

        logs = log_softmax(logits.astype(np.float64))
        truth, place = self.fitted.of(row.fields["label"]), int(logits.argmax())
        known = self.names.index(truth) if truth in self.names else None
        return {
            "reference": truth, "prediction": self.names[place], "accuracy": float(known == place),
            "confidence": float(np.exp(logs[place])),
            "log_likelihood": None if known is None else float(logs[known]), **self._numbers(logits),
        }  # fmt: skip

    def _several(self, row: Item, logits: NDArray[np.float32]) -> dict[str, Any]:
        truth = [self.fitted.of(label) for label in _listed(row)]
        said = [self.names[i] for i in np.flatnonzero(logits > 0).tolist()]
        true = np.array([name in truth for name in self.names])
        losses = np.logaddexp(0, np.where(true, -logits, logits).astype(np.float64))
        return {
            "reference": truth, "prediction": said, "accuracy": float(set(truth) == set(said)),
            "log_loss": float(losses.mean()), **self._numbers(logits),
        }  # fmt: skip

    def _numbers(self, logits: NDArray[np.float32]) -> dict[str, Any]:
        """Return all logits of a model of few labels, else the largest, and how many labels there are."""
        chosen = range(len(logits)) if self.keeps else np.argsort(-logits, kind="stable")[:TOP].tolist()
        kept = dict(zip((self.names[i] for i in chosen), short(logits[[*chosen]]), strict=True))
        return {"num_labels": len(self.names), "logits": kept}

    def _check_labels(self, kind: Row) -> None:
        label = kind.label  # type: ignore[attr-defined]
        if label == "number":
            raise ConfigError(
                f"tasks.data: {shown(self.data)} has numbers as labels, and the model chooses among {len(self.names):,}"
                " labels",
                "use a model of a regression, or data whose labels are names",
            )
        if label == "classes" and not self.several:
            raise ConfigError(
                f"tasks.data: the labels of {shown(self.data)} are lists, and the model chooses one for each text",
                "use a model that was trained on lists, or data with one label a row",
            )

    def _check_numbers(self, kind: Row, items: Sequence[Item]) -> None:
        """Make numbers of labels that are written as classes, such as 1 to 5 stars.

        Raises:
            ConfigError: The model gives several numbers, or the labels are lists.
            DataError: A label is no number.
        """
        if len(self.names) > 1:
            raise ConfigError(
                f"tasks.data: the model gives {len(self.names)} numbers for each text, and rows have one label",
                "use a model of one number: `llmkit finetune -s objective=classification` on rows with one makes it",
            )
        if kind.label == "classes":  # type: ignore[attr-defined]
            raise ConfigError(
                f"tasks.data: the labels of {shown(self.data)} are lists, and the model gives numbers",
                "use a model that was trained on labels: `llmkit finetune -s objective=classification`",
            )
        for item in items:
            try:
                item.fields["label"] = float(item.fields["label"])
            except ValueError:
                label = item.fields["label"]
                raise DataError(
                    f"tasks.data: {shown(self.data)} has the label '{label}', and the model gives numbers",
                    "use a model that was trained on labels: `llmkit finetune -s objective=classification`",
                ) from None


def _no_area(num_labels: int) -> str:
    return f"no auc: the model has {num_labels:,} labels, and samples keep {TOP} of over {MAX_KEPT}"


def _listed(item: Item) -> list[str]:
    label = item.fields["label"]
    return label if isinstance(label, list) else [label]


def _are_numbers(samples: Sequence[dict[str, Any]]) -> bool:
    return isinstance(samples[0]["prediction"], float)
