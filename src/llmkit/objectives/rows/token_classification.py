"""Tagging: a label for each word, from the word's first token (Devlin et al. 2018, "BERT", section 5.3)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field

from llmkit.core.errors import DataError, nearest
from llmkit.data.windows import windows
from llmkit.objectives import Collated, Losses, Tensors
from llmkit.objectives.rows import IGNORED, Column, Example, LeftOut, RowObjective, padded_tensors, shortened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.page import Page
    from llmkit.data.packing import Batch
    from llmkit.data.rows import Row
    from llmkit.metrics._confusion import Confusion
    from llmkit.metrics._entities import EntityCounts
    from llmkit.modeling.companions import Models
    from llmkit.modeling.heads import Head
    from llmkit.modeling.vocabulary import Vocabulary

MISTAKES_SHOWN = 6


class TokenClassification(RowObjective):
    """Predict a tag for every word: named entities in BIO or BIOES, parts of speech, or any other tags.

    Rows hold words and a tag each; where a script has no spaces, each character is a word. A word's tag is learned at
    its first token, as it is read from there. A row that is too long is cut at its end, and the words beyond have none.
    """

    rows: ClassVar[tuple[str, ...]] = ("tags",)
    head: ClassVar[str] = "token_classification"
    target: ClassVar[str] = "tags"
    measured: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ("f1", "macro_f1", "accuracy")
    splits: ClassVar[bool] = True
    notes: ClassVar[Mapping[str, str]] = {"lost": "words are left out: each is longer than context_length by itself"}

    labels: list[str] = Field([], max_length=100_000)
    """The tags there are, in the order of the model's outputs; empty: those of the data, sorted, `O` first."""
    all_tokens: bool = False
    """Learn a word's tag at all of its tokens; validation counts the first alone either way."""

    def model_head(self) -> Head:
        """Return the head with the tags' names."""
        from llmkit.modeling.heads.token_classification import TokenClassification as TokenHead

        return TokenHead(labels=self.labels)

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return ids, the types of tokens where the model has them, tags, and which tokens are a word's first."""
        types = {"token_type_ids": Column("int8")} if vocabulary.has_types else {}
        ids = Column(pad=vocabulary.padding)
        return {"input_ids": ids, **types, "labels": Column(pad=IGNORED), "first": Column("int8")}

    def notice(self, row: Mapping[str, Any]) -> Iterable[str]:
        """Yield the row's tags."""
        tags: list[str] = row["tags"]
        return tags

    def settle(self, kind: Row, noticed: Counter[str]) -> Self:  # noqa: ARG002 - tags are of one kind
        """Return the objective with the names of its tags.

        Raises:
            DataError: The data has a tag that is not declared, or only one.
        """
        names = self.labels or sorted(noticed, key=lambda tag: (tag != "O", tag))
        if unknown := [tag for tag in noticed if tag not in set(names)]:
            raise DataError(
                f"data: the tag '{unknown[0]}' ({noticed[unknown[0]]:,} words) is none of the declared:"
                f" {', '.join(names[:12])}{nearest(unknown[0], names)}",
                hint="add it to objective.labels, or clean the data",
            )
        if len(noticed) < 2:
            raise DataError(f"data: all words have the tag '{next(iter(noticed), '')}': there is nothing to tell apart")
        return self.model_copy(update={"labels": names})

    def facts(self) -> dict[str, str]:
        """Return the tags."""
        return {"tags": shortened(self.labels)}

    def encode(
        self,
        rows: Sequence[Mapping[str, Any]],
        kind: Row,  # noqa: ARG002 - there is one kind
        tokenizer: PreTrainedTokenizerFast,
        limit: int,
    ) -> Sequence[Example | LeftOut]:
        """Return `input_ids`, `labels` and which tokens are `first` of a word, of each row."""
        from llmkit.modeling.served import encode_texts

        number = {name: i for i, name in enumerate(self.labels)}
        typed = "token_type_ids" in tokenizer.model_input_names
        found: list[Example | LeftOut] = []
        encodings = encode_texts(tokenizer, [row["words"] for row in rows], limit, words=True)
        for row, encoding in zip(rows, encodings, strict=True):
            tags = np.array([number[tag] for tag in row["tags"]], np.int64)
            words = np.array([-1 if word is None else word for word in encoding.word_ids], np.int64)
            first = (words >= 0) & (words != np.concatenate([[-1], words[:-1]]))
            if not first.any():
                found.append(LeftOut("empty", "no token stands for any of its words"))
                continue
            labels = np.where(first | ((words >= 0) & self.all_tokens), tags[words], IGNORED)
            columns: dict[str, Any] = {"input_ids": encoding.ids, "labels": labels, "first": first}
            if typed:
                columns["token_type_ids"] = encoding.type_ids
            found.append(Example(columns, int((labels >= 0).sum()), cut=bool(encoding.overflowing)))
        return found

    def shorter(
        self,
        row: Mapping[str, Any],
        kind: Row,  # noqa: ARG002 - there is one kind
        fits: Callable[[Mapping[str, Any]], bool],
        *,
        split: bool,
    ) -> tuple[Sequence[Mapping[str, Any]], int] | None:
        """Return stretches of the words with their tags, all of them; or nothing: what is cut is cut in `encode`."""
        if not split:
            return None

        def part(start: int, stop: int) -> dict[str, Any]:
            return {**row, "words": row["words"][start:stop], "tags": row["tags"][start:stop]}

        found, lost = windows(len(row["words"]), lambda start, stop: fits(part(start, stop)))
        return [part(*window) for window in found], lost

    def marks(self, example: Example, name: str) -> list[str]:  # noqa: ARG002 - there is one sequence
        """Return the tag that is learned at each token."""
        return [
            "" if label == IGNORED else self.labels[label] for label in np.asarray(example.columns["labels"]).tolist()
        ]

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return ids, mask, types, tags and which tokens are a word's first, `[rows, time]`."""
        types = ("token_type_ids",) if "token_type_ids" in batch.columns else ()
        tensors = padded_tensors(batch, *types, "labels", "first")
        return tensors, {"tags": int((batch.labels >= 0).sum())}

    def outputs(self, models: Models, batch: Tensors) -> Tensors:
        """Return the logits, `[rows, time, tags]`, the tags, and where words begin."""
        inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "first")}
        logits = models.main(**inputs).logits.float()
        return {"logits": logits, "labels": batch["labels"], "first": batch["first"]}

    def loss_of(self, outputs: Tensors) -> Losses:
        """Return the summed cross-entropy of the tags, in nats."""
        from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

        logits, labels = outputs["logits"].flatten(0, 1), outputs["labels"].flatten()
        return {"tags": (F.cross_entropy(logits, labels, reduction="sum", ignore_index=IGNORED), 1.0)}

    def answers(self, outputs: Tensors) -> Sequence[tuple[list[int], list[int]]]:
        """Return the tags and the likeliest tags of each row's words, as far as it was not cut."""
        likeliest = outputs["logits"].argmax(-1)
        rows = zip(outputs["labels"], likeliest, outputs["first"].bool(), strict=True)
        return [(labels[first].tolist(), found[first].tolist()) for labels, found, first in rows]

    def measures(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return F1, precision and recall of entities where the tags name some, else of tags; and their accuracy."""
        words = self._words(answers)
        tags = {"accuracy": words.accuracy, "majority_accuracy": words.majority}
        found = self._entities(answers)
        if found is None:
            return {"macro_f1": words.mean_f1("macro"), **tags}
        whole = found.overall
        return {
            "f1": float(whole.f1[0]), "precision": float(whole.precision[0]), "recall": float(whole.recall[0]), **tags,
        }  # fmt: skip

    def describe(self, answers: Sequence[Any], page: Page) -> Sequence[tuple[int, str]]:
        """Write how well each kind of entity and each tag is found; pick the rows with the most wrong tags."""
        from llmkit.objectives.rows._report import show_classes, show_confusion, worst

        words, found = self._words(answers), self._entities(answers)
        if found is not None and found.types:
            show_classes(page, "Entities", found.types, found)
        show_classes(page, "Tags", self.labels, words)
        show_confusion(page, self.labels, words, words.matrix)
        page.heading("Rows with the most wrong tags")
        errors = np.array([sum(a != b for a, b in zip(*answer, strict=True)) for answer in answers], np.float64)
        return [(row, self._mistakes(*answers[row])) for row in worst(errors, errors > 0)]

    def _words(self, answers: Sequence[Any]) -> Confusion:
        """Compare the tags of all words."""
        from llmkit.metrics._confusion import confusion_of_classes

        truth, likeliest = ([tag for answer in answers for tag in answer[side]] for side in (0, 1))
        return confusion_of_classes(truth, likeliest, len(self.labels))

    def _entities(self, answers: Sequence[Any]) -> EntityCounts | None:
        """Compare the entities; None where the tags name none, as those of parts of speech."""
        from llmkit.metrics._entities import compare_entities, entities

        try:
            entities(self.labels)
        except DataError:
            return None
        truth, likeliest = ([[self.labels[tag] for tag in answer[side]] for answer in answers] for side in (0, 1))
        return compare_entities(truth, likeliest)

    def _mistakes(self, truth: Sequence[int], likeliest: Sequence[int]) -> str:
        pairs = [f"{self.labels[a]} as {self.labels[b]}" for a, b in zip(truth, likeliest, strict=True) if a != b]
        more = f" and {len(pairs) - MISTAKES_SHOWN} more" if len(pairs) > MISTAKES_SHOWN else ""
        return f"{len(pairs)} of {len(truth)} tags are wrong: {', '.join(pairs[:MISTAKES_SHOWN])}{more}"
