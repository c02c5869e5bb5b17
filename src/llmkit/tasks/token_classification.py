"""Tags of words, such as those of named entities, by models with a head for them; entities as seqeval counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from llmkit.core.errors import DataError
from llmkit.evaluation.measures import ratio
from llmkit.runtimes import Request, Running, Tags
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._headed import TOP_CLASSES, Headed, HeadTask
from llmkit.tasks._labels import Fitted, fit_labels

if TYPE_CHECKING:
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.evaluation.reading import Item
    from llmkit.metrics._weighted import Decisions
    from llmkit.runtimes import TagsFound

Samples = Sequence[dict[str, Any]]
NO_TAG = ""
"""What is said of a word of which the model reads nothing."""


class TokenClassification(HeadTask):
    """Ask a model for the tag of each word; count whole entities where the tags name some, else the tags.

    The model is one with a head for tokens: `finetune -s objective=token_classification`. A word's tag is that of its
    first token, and an entity is found where its type, first and last word agree.
    """

    example: ClassVar[Request] = Tags("a", ("a",))
    kinds: ClassVar[tuple[str, ...]] = ("tags",)

    labels: dict[str, str] = {}
    """The model's name of a tag of the data, where neither names nor numbers say it: `{B-person: B-PER}`."""

    def on(self, model: Running) -> Measurement:
        """Return the measurement of one model."""
        return _TokenClassification(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return F1, precision and recall of entities, or the macro F1 of tags; and the accuracy of tags."""
        right = [sum(map(str.__eq__, sample["reference"], sample["prediction"])) for sample in samples]
        accuracy = ratio(right, [len(sample["reference"]) for sample in samples])
        if not _are_entities(samples):
            return {"macro_f1": _tag_decisions(samples)[1].f1("macro"), "accuracy": accuracy}
        _, decided = _entity_decisions(samples)
        return {
            "f1": decided.f1("micro"), "precision": decided.precision(), "recall": decided.recall(),
            "macro_f1": decided.f1("macro"), "weighted_f1": decided.f1("weighted"), "accuracy": accuracy,
        }  # fmt: skip

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return F1 by type of entity, or by tag, and what tags are taken for what."""
        from llmkit.tasks._class_figures import class_bars, confusion_figure
        from llmkit.tasks._class_scores import most_frequent

        are_entities = _are_entities(samples)
        names, decided = _decisions(samples)
        chosen = most_frequent(decided, TOP_CLASSES)
        pairs = Counter(pair for sample in samples for pair in _word_pairs(sample))
        frequent: Counter[str] = Counter()
        for (true, _), times in pairs.items():
            frequent[true] += times
        shown = [tag for tag, _ in frequent.most_common(TOP_CLASSES)]
        bars = [class_bars("F1 by type" if are_entities else "F1 by tag", names, decided, chosen)] if names else []
        return [*bars, confusion_figure("Confusion matrix of tags", pairs, shown)]


class _TokenClassification(Headed):
    def __init__(self, task: TokenClassification, model: Running) -> None:
        super().__init__(task, model)
        self.task, self.names = task, list(model.facts.labels)
        self.fitted, self.scheme, self.unread = Fitted({}, Counter()), "", 0

    def rows(self) -> Iterator[Item]:
        """Yield the rows, when it is known how their tags fit the model's."""
        _, items = self.task.read(self.unreadable)
        found = Counter(tag for item in items for tag in item.fields["tags"])
        self.fitted = fit_labels(found, self.names, self.task.labels)
        self.scheme = scheme_of([[self.fitted.of(tag) for tag in item.fields["tags"]] for item in items])
        yield from self.asked(iter(items))

    def requests(self, row: Item) -> list[Tags]:
        """Ask for the tags of a row's words."""
        words = row.fields["words"]
        return [Tags(" ".join(words), tuple(words))]

    def score(self, row: Item, answers: Sequence[TagsFound]) -> dict[str, Any]:
        """Return the tags that are true and those that are said, and how many of the latter are right."""
        (found,) = answers
        truth = [self.fitted.of(tag) for tag in row.fields["tags"]]
        said = [NO_TAG] * len(truth)
        words, first = np.unique(found.words, return_index=True)
        for word, place in zip(words.tolist(), found.logits[first].argmax(axis=1).tolist(), strict=True):
            said[word] = self.names[place]
        self.unread += said.count(NO_TAG)
        share = sum(map(str.__eq__, truth, said)) / len(truth)
        request = self.requests(row)
        return {
            "id": row.id, "prompt": request[0].text, **self.cut(request), "reference": truth, "prediction": said,
            "accuracy": share,
        }  # fmt: skip

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores, with precision, recall and F1 of each type."""
        from llmkit.tasks._class_scores import found_of_classes

        tags = Counter(tag for sample in samples for tag in sample["reference"])
        most, times = tags.most_common(1)[0]
        notes = [*self.notes(), *self.fitted.notes("words")]
        if self.unread:
            notes.append(f"{self.unread:,} words have no token that the model reads: they have no tag, which is wrong")
        notes.append(f"always saying '{most}' would have the accuracy {times / tags.total():.4f}")
        own = scheme_of([self.names]) if self.scheme else ""
        if self.scheme and own and _is_long(self.scheme) != _is_long(own):
            notes.append(f"tags of the data are {self.scheme}, those of the model {own}: entities compare, tags do not")
        facts = {
            "skipped": self.skipped.total, "words": tags.total(), "scheme": self.scheme or "none: tags of words",
            "unknown_labels": self.fitted.unknown.total(), "majority_accuracy": times / tags.total(),
            "classes": found_of_classes(*_decisions(samples)),
        }  # fmt: skip
        return TaskResult.of(self.task.measures(samples), samples, facts, notes)


def scheme_of(texts: Sequence[Sequence[str]]) -> str:
    """Return the scheme of some tags, or "" where they name no entities.

    `IOBES` has tags for the last and the only word; in `IOB1` an entity begins with `B-` only behind another of its
    type; in `IO` never; in `IOB2` always.
    """
    from llmkit.metrics._entities import entities

    try:
        for text in texts:
            entities(text)
    except DataError:
        return ""
    letters = {tag[0] for text in texts for tag in text}
    if letters & set("ES"):
        return "IOBES"
    if "B" not in letters:
        return "IO" if "I" in letters else ""
    begins = [(before, tag) for text in texts for before, tag in pairwise(["O", *text]) if tag[0] == "B"]
    follows = all(before[0] != "O" and before[1:] == tag[1:] for before, tag in begins)
    return "IOB1" if follows else "IOB2"


def _is_long(scheme: str) -> bool:
    return scheme == "IOBES"


def _are_entities(samples: Samples) -> bool:
    tags = sorted({tag for sample in samples for side in ("reference", "prediction") for tag in sample[side] if tag})
    return bool(scheme_of([[tag] for tag in tags]))


def _decisions(samples: Samples) -> tuple[list[str], Decisions]:
    return _entity_decisions(samples) if _are_entities(samples) else _tag_decisions(samples)


def _entity_decisions(samples: Samples) -> tuple[list[str], Decisions]:
    """Return the types, and how many entities of each are true, predicted and both in each sample."""
    from llmkit.metrics._entities import entities
    from llmkit.metrics._weighted import Decisions

    sides = [
        [set(entities([tag or "O" for tag in sample[side]])) for sample in samples]
        for side in ("reference", "prediction")
    ]
    both = [true & said for true, said in zip(*sides, strict=True)]
    names = sorted({entity.type for side in sides for found in side for entity in found})
    number = {name: i for i, name in enumerate(names)}
    events = [[[number[entity.type] for entity in found] for found in side] for side in (both, sides[1], sides[0])]
    return names, Decisions.of_lists(len(names), *events)


def _tag_decisions(samples: Samples) -> tuple[list[str], Decisions]:
    """Return the tags, and how many words of each are true, predicted and both in each sample."""
    from llmkit.metrics._weighted import Decisions

    names = sorted({tag for sample in samples for side in ("reference", "prediction") for tag in sample[side] if tag})
    number = {name: i for i, name in enumerate(names)}
    pairs = [list(_word_pairs(sample)) for sample in samples]
    both = [[number[true] for true, said in own if true == said] for own in pairs]
    said = [[number[said] for _, said in own if said] for own in pairs]
    true = [[number[true] for true, _ in own] for own in pairs]
    return names, Decisions.of_lists(len(names), both, said, true)


def _word_pairs(sample: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is true and what is said of each word."""
    return zip(sample["reference"], sample["prediction"], strict=True)
