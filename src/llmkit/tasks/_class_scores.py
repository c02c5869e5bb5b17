"""The scores of labels, from samples as `samples-classification.jsonl` has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from llmkit.evaluation.calibration import calibration_error
from llmkit.evaluation.measures import mean
from llmkit.metrics._confusion import ClassCounts
from llmkit.metrics._weighted import Decisions, area, explained, pearson, spearman

if TYPE_CHECKING:
    from llmkit.evaluation.measures import Measure

Samples = Sequence[dict[str, Any]]
MAX_FACTS = 100
"""Classes that `results.json` has precision, recall and F1 of, the most frequent."""


def single_measures(samples: Samples) -> dict[str, Measure]:
    """Return the measures of one label a text."""
    _, decided = decisions(samples)
    said = [sample["log_likelihood"] for sample in samples]
    loss = np.array([np.nan if one is None else -one for one in said], np.float64)
    right = [sample["accuracy"] for sample in samples]
    found: dict[str, Measure] = {
        "accuracy": mean(right), "macro_f1": decided.f1("macro"), "weighted_f1": decided.f1("weighted"),
        "mcc": decided.mcc(),
    }  # fmt: skip
    curve = single_area(samples)
    if curve is not None:
        found["auc"] = curve
    if not np.isnan(loss).all():
        found["log_loss"] = mean(loss, higher_is_better=False)
    return {**found, "ece": calibration_error([sample["confidence"] for sample in samples], right)}


def single_area(samples: Samples) -> Measure | None:
    """Return the area under the curve: of two labels that of either, of more the mean of one against the rest."""
    names = _kept_names(samples)
    if names is None or len(names) < 2:
        return None
    from scipy.special import log_softmax

    logits = np.array([[sample["logits"][name] for name in names] for sample in samples])
    positive = np.array([[sample["reference"] == name for name in names] for sample in samples])
    has = np.asarray(positive.any(axis=1), np.bool_)
    if len(names) == 2:  # by the difference alone: that of two labels is one curve
        return area((logits[:, 1] - logits[:, 0])[:, None], positive[:, 1:], has) if _is_mixed(positive, has) else None
    return area(log_softmax(logits, axis=1), positive, has) if _is_mixed(positive, has) else None


def _is_mixed(positive: NDArray[np.bool_], has: NDArray[np.bool_]) -> bool:
    inside = positive[has]
    return bool(len(inside) and (inside.any(axis=0) & ~inside.all(axis=0)).any())


def several_measures(samples: Samples) -> dict[str, Measure]:
    """Return the measures of any number of labels a text; the macro mean is over all that the model has."""
    seen, decided = decisions(samples)
    found: dict[str, Measure] = {
        "accuracy": mean([sample["accuracy"] for sample in samples]),
        "macro_f1": decided.f1("macro", over=num_classes(samples, seen)),
        "micro_f1": decided.f1("micro"), "weighted_f1": decided.f1("weighted"),
    }  # fmt: skip
    loss = mean([sample["log_loss"] for sample in samples], higher_is_better=False)
    table = several_table(samples)
    if table is None:
        return {**found, "log_loss": loss}
    logits, positive = table
    if _is_mixed(positive, np.ones(len(samples), np.bool_)):
        found["auc"] = area(logits, positive)
    whose = np.repeat(np.arange(len(samples)), logits.shape[1])
    error = calibration_error(1 / (1 + np.exp(-logits)).ravel(), positive.ravel(), whose, len(samples))
    return {**found, "log_loss": loss, "ece": error}


def several_table(samples: Samples) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Return the logits and what is true, `[samples, labels]`; None where samples do not keep them all."""
    names = _kept_names(samples)
    if names is None:
        return None
    logits = np.array([[sample["logits"][name] for name in names] for sample in samples])
    positive = np.array([[name in sample["reference"] for name in names] for sample in samples])
    return logits, positive


def num_classes(samples: Samples, seen: Sequence[str]) -> int:
    """Return how many labels there are: those of the model, and those of the data that it does not know."""
    names = _kept_names(samples)
    return max(samples[0]["num_labels"], len(seen)) if names is None else len({*names, *seen})


def number_measures(samples: Samples) -> dict[str, Measure]:
    """Return the measures of numbers."""
    truth, found = (np.array([sample[side] for sample in samples], np.float64) for side in ("reference", "prediction"))
    errors = found - truth
    return {
        "pearson": pearson(truth, found), "spearman": spearman(truth, found), "r2": explained(truth, found),
        "mse": mean(errors**2, higher_is_better=False), "mae": mean(np.abs(errors), higher_is_better=False),
    }  # fmt: skip


def number_facts(samples: Samples) -> tuple[dict[str, Any], list[str]]:
    """Return what the mean of the data would have for an error."""
    spread = float(np.var([sample["reference"] for sample in samples]))
    notes = ["all numbers of the data are the same: there is nothing to correlate with"] if not spread else []
    return {"mse_of_the_mean": spread}, notes


def decisions(samples: Samples) -> tuple[list[str], Decisions]:
    """Return the labels that are true or predicted, and which are of each sample."""
    from llmkit.tasks._labels import decisions_of

    return decisions_of(*([_listed(sample[side]) for sample in samples] for side in ("reference", "prediction")))


def counts_of(decided: Decisions) -> ClassCounts:
    """Return how often each class is true, predicted and both."""
    once = np.ones((1, decided.num_samples))
    hits, predicted, support = (part[0].astype(np.int64) for part in decided.counts(once))
    return ClassCounts(hits, predicted, support, predicted + support > 0)


def most_frequent(decided: Decisions, most: int) -> list[int]:
    """Return the classes that are true most often."""
    chosen: list[int] = np.argsort(-counts_of(decided).support, kind="stable")[:most].tolist()
    return chosen


def found_of_classes(names: Sequence[str], decided: Decisions) -> dict[str, dict[str, float]]:
    """Return precision, recall and F1 of the most frequent classes, with how often each is true and predicted."""
    counts = counts_of(decided)
    return {
        names[i]: {
            "precision": float(counts.precision[i]), "recall": float(counts.recall[i]), "f1": float(counts.f1[i]),
            "support": int(counts.support[i]), "predicted": int(counts.predicted[i]),
        }
        for i in most_frequent(decided, MAX_FACTS)
    }  # fmt: skip


def class_facts(samples: Samples) -> tuple[dict[str, Any], list[str]]:
    """Return precision, recall and F1 of each class, and the accuracy of always the same answer."""
    truths = Counter(tuple(sorted(_listed(sample["reference"]))) for sample in samples)
    most, times = truths.most_common(1)[0]
    majority = times / len(samples)
    notes = [f"always saying '{', '.join(most) or '(none)'}' would have the accuracy {majority:.4f}"]
    if len(truths) < 2:
        notes.append("all rows have the same label: F1 of the others, MCC and areas tell nothing")
    return {"majority_accuracy": majority, "classes": found_of_classes(*decisions(samples))}, notes


def _kept_names(samples: Samples) -> list[str] | None:
    """Return the model's labels, in order; None where samples have the numbers of the likeliest alone."""
    names = list(samples[0]["logits"])
    return names if len(names) == samples[0]["num_labels"] else None


def _listed(label: str | list[str]) -> list[str]:
    return label if isinstance(label, list) else [label]
