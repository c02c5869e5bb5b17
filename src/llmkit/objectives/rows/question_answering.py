"""Extractive question answering: where in a text the answer begins and ends (Rajpurkar et al. 2016, 2018, "SQuAD")."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field

from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.modeling.spans import Asking, best_span, tokens_of, windows
from llmkit.objectives import Collated, Losses, Tensors
from llmkit.objectives.rows import LEARNED_MARK, Column, Example, LeftOut, Outcome, RowObjective, padded_tensors
from llmkit.objectives.rows._asked import NO_ANSWER, Asked, Found, ask

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.core.page import Page
    from llmkit.data.packing import Batch
    from llmkit.data.rows import Row
    from llmkit.modeling.companions import Models
    from llmkit.modeling.spans import Window
    from llmkit.modeling.vocabulary import Vocabulary

ANSWER = "answer"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class QuestionAnswering(RowObjective):
    """Predict the first and the last token of the answer to a question in its text, by cross-entropy.

    A text that is too long is read in windows that overlap, each behind the whole question. In a window without the
    answer, and for a question without one, the first position is learned, which stands for "no answer". Works on
    encoders whose first position sees the text.
    """

    rows: ClassVar[tuple[str, ...]] = ("span_answer",)
    head: ClassVar[str] = "question_answering"
    target: ClassVar[str] = "windows"
    measured: ClassVar[bool] = True
    headline: ClassVar[tuple[str, ...]] = ("exact_match", "f1", "no_answer_threshold")
    notes: ClassVar[Mapping[str, str]] = {
        "moved": "answers do not stand at their answer_start: they are learned at the nearest place where they stand",
    }
    expands: ClassVar[str] = "texts longer than context_length are read in several windows"

    stride: int = Field(128, ge=0)
    """Tokens of a text that two windows share, at most half of what a window has of it."""
    max_answer_tokens: int = Field(30, ge=1)
    """Longest answer that is given; a longer one is learned, but never found."""
    no_answers: bool | Literal["auto"] = "auto"
    """Whether there are questions that their text does not answer, as in SQuAD 2: the model then may say so, from a
    threshold on that is fitted on the held-out rows. auto: if the data have any. false: there is always an answer."""

    def columns(self, vocabulary: Vocabulary) -> dict[str, Column]:
        """Return ids and types, what is learned, and what it takes to read an answer out of the text.

        `labels` are two positions, `first` the one of the text's first token, `row` tells windows of one row from
        others. `offsets` are characters of `text`, two for each of its tokens; `text` and `references`, a JSON list,
        are UTF-8.
        """
        types = {"token_type_ids": Column("int8")} if vocabulary.has_types else {}
        fixed = {"labels": Column("int32", None), "first": Column("int32", None), "row": Column("int64", None)}
        told = {"offsets": Column("int32"), "text": Column("uint8"), "references": Column("uint8")}
        return {"input_ids": Column(pad=vocabulary.padding), **types, **fixed, **told}

    def notice(self, row: Mapping[str, Any]) -> Iterable[str]:
        """Yield whether the question has an answer."""
        return [ANSWER if row["answers"] else NO_ANSWER]

    def settle(self, kind: Row, noticed: Counter[str]) -> Self:  # noqa: ARG002 - there is one kind
        """Return the objective with whether some questions have no answer.

        Raises:
            DataError: None has one, or some have none and there should always be one.
        """
        if not noticed[ANSWER]:
            raise DataError("data: no question has an answer: there is nothing to find")
        if self.no_answers is False and noticed[NO_ANSWER]:
            raise DataError(
                f"data: {noticed[NO_ANSWER]:,} questions have no answer, and objective.no_answers is false",
                hint="leave it out, or clean the data",
            )
        return self.model_copy(update={"no_answers": self.no_answers is True or bool(noticed[NO_ANSWER])})

    def facts(self) -> dict[str, str]:
        """Return whether there is always an answer."""
        return {"answers": "spans of the text, or none" if self.no_answers else "spans of the text"}

    def encode(
        self,
        rows: Sequence[Mapping[str, Any]],
        kind: Row,  # noqa: ARG002 - there is one kind
        tokenizer: PreTrainedTokenizerFast,
        limit: int,
    ) -> Sequence[Outcome]:
        """Return the windows of each row."""
        from llmkit.modeling.served import UNLIMITED, encode_texts

        typed = "token_type_ids" in tokenizer.model_input_names
        texts = [(row["question"], row["context"]) for row in rows]
        found: list[Outcome] = []
        for row, encoding in zip(rows, encode_texts(tokenizer, texts, UNLIMITED), strict=True):
            parts = windows(encoding, limit, self.stride)
            if not parts:
                empty = 1 not in encoding.sequence_ids
                why = "a text that no token stands for" if empty else "a question that leaves its text no room"
                found.append(LeftOut("empty" if empty else "long", why))
            else:
                found.append(_examples(row, parts, typed))
        return found

    def marks(self, example: Example, name: str) -> list[str]:
        """Return which tokens are the answer; the first one where there is none."""
        start, end = np.asarray(example.columns["labels"]).tolist()
        return [LEARNED_MARK if start <= i <= end else "" for i in range(np.size(example.columns[name]))]

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:  # noqa: ARG002 - nothing is random
        """Return ids, mask and types `[rows, time]`, labels `[rows, 2]`, and what `answers` needs beside them."""
        import torch

        types = ("token_type_ids",) if "token_type_ids" in batch.columns else ()
        ragged = ("offsets", "text", "references")
        names = ("labels", "first", "row", *ragged, *(f"{name}_length" for name in ragged))
        told = {name: torch.from_numpy(batch.columns[name]) for name in names}
        return {**padded_tensors(batch, *types), **told}, {"answers": len(batch)}

    def outputs(self, models: Models, batch: Tensors) -> Tensors:
        """Return the logits of each position as the first and as the last of the answer, `[rows, 2, time]`, and all."""
        import torch

        found = models.main(**{name: tensor for name, tensor in batch.items() if name in _INPUTS})
        logits = torch.stack([found.start_logits, found.end_logits], 1).float()
        logits = logits.masked_fill(batch["attention_mask"][:, None] == 0, -torch.inf)  # no answer is in the padding
        return {**{name: tensor for name, tensor in batch.items() if name not in _INPUTS}, "logits": logits}

    def loss_of(self, outputs: Tensors) -> Losses:
        """Return the summed mean of the two cross-entropies, in nats."""
        from torch.nn import functional as F  # noqa: N812 - the name everybody knows it by

        logits, labels = outputs["logits"].flatten(0, 1), outputs["labels"].flatten()
        return {"answers": (F.cross_entropy(logits, labels, reduction="sum") / 2, 1.0)}

    def answers(self, outputs: Tensors) -> Sequence[Found]:
        """Return what is found in each window, and what its row's answers are."""
        told = {name: tensor.cpu().numpy() for name, tensor in outputs.items()}
        return [self._found({name: array[i] for name, array in told.items()}) for i in range(len(told["row"]))]

    def _found(self, told: Mapping[str, Any]) -> Found:
        offsets = told["offsets"][: told["offsets_length"]].reshape(-1, 2)
        text = _read(told, "text")
        starts, ends = told["logits"][:, told["first"] : told["first"] + len(offsets)]
        none = float(told["logits"][:, 0].sum())
        chosen = best_span(starts, ends, none, offsets, text, self.max_answer_tokens)
        references = tuple(json.loads(_read(told, "references")))
        return Found(int(told["row"]), chosen, text[chosen.start : chosen.end], references)

    def measures(self, answers: Sequence[Any]) -> dict[str, float]:
        """Return the shares of answers that are right, and the mean overlap of their words with the right ones.

        Where questions may have no answer, the threshold is the one with the best F1 on these very rows, and questions
        with and without an answer are told apart.
        """
        asked = self._asked(answers)
        found = {"exact_match": float(asked.exact.mean()), "f1": float(asked.overlap.mean())}
        if not self.no_answers:
            return found
        groups = {"has_answer_exact_match": (asked.exact, True), "has_answer_f1": (asked.overlap, True),
                  "no_answer_exact_match": (asked.exact, False)}  # fmt: skip
        for name, (scores, kind) in groups.items():
            if (asked.answerable == kind).any():
                found[name] = float(scores[asked.answerable == kind].mean())
        return {**found, "no_answer_threshold": float(asked.threshold or 0.0)}

    def describe(self, answers: Sequence[Any], page: Page) -> Sequence[tuple[int, str]]:
        """Write how well answers of each kind are found; pick wrong ones, the surest first."""
        asked = self._asked(answers)
        page.heading("Answers")
        kinds = [("with an answer", asked.answerable), ("without one", ~asked.answerable)]
        rows = [
            (
                name,
                int(chosen.sum()),
                *(round(float(scores[chosen].mean()), 4) for scores in (asked.exact, asked.overlap)),
            )
            for name, chosen in kinds
            if chosen.any()
        ]
        page.table(["questions", "number", "exact match", "F1"], rows)
        page.text(
            "Case, punctuation and the articles a, an, the do not count; Chinese is compared by characters; of several"
            " answers the nearest counts."
        )
        if asked.threshold is not None:
            page.text(
                f"'No answer' is said where its score is more than {asked.threshold:.4g} above the best span's: the"
                " threshold with the best F1 on these rows. predict and all runtimes use it."
            )
        page.heading("Wrong answers of which the model is surest")
        return asked.wrong(answers)

    def finish(self, config: PreTrainedConfig, answers: Sequence[Any], context_length: int) -> None:
        """Write into the config in what windows the model reads, and from where on it says that there is no answer."""
        fitted = self._asked(answers).threshold if answers else 0.0
        threshold = fitted if self.no_answers else None
        Asking(context_length, self.stride, self.max_answer_tokens, threshold).write(config)

    def _asked(self, answers: Sequence[Any]) -> Asked:
        return ask(answers, no_answers=bool(self.no_answers))


def _examples(row: Mapping[str, Any], parts: Sequence[Window], typed: bool) -> Outcome:
    """Return an example for each window of a row, with the first answer where it stands whole in it."""
    from llmkit.data.rows.span_answer import find_answer

    spans, moved = [], 0
    for answer, start in zip(row["answers"], row["answer_start"], strict=True):
        place = find_answer(row["context"], answer, start)
        moved += place != start
        spans.append((place, place + len(answer)))
    targets = _targets(parts, spans[0]) if spans else [(0, 0)] * len(parts)
    if spans and not any(stop for _, stop in targets):
        return LeftOut("answer", "an answer that no window has whole: a longer stride, or context_length, may do")
    key = row.get("id") or f"{row['question']}\n{row['context']}"
    shared = {
        "row": int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little", signed=True),
        "references": _bytes(dumps(list(dict.fromkeys(row["answers"])))),
    }
    examples = []
    for window, target in zip(parts, targets, strict=True):
        begin, end = int(window.offsets[0, 0]), int(window.offsets[:, 1].max())
        columns: dict[str, Any] = {
            "input_ids": window.ids, "labels": target, "first": window.first, **shared,
            "offsets": (window.offsets - begin).ravel(), "text": _bytes(row["context"][begin:end]),
        }  # fmt: skip
        if typed:
            columns["token_type_ids"] = window.types
        examples.append(Example(columns))
    examples[0].notes = {"moved": moved} if moved else {}
    return examples


def _targets(parts: Sequence[Window], span: tuple[int, int]) -> list[tuple[int, int]]:
    """Return, by window, the positions of an answer's first and last token; zeros where it is not all there."""
    more = (after.offsets[before.start + len(before.offsets) - after.start :] for before, after in pairwise(parts))
    found = tokens_of(np.concatenate([parts[0].offsets, *more]), *span)
    if found is None:
        return [(0, 0)] * len(parts)
    places = [(found[0] - window.start, found[1] - window.start, window) for window in parts]
    return [
        (window.first + start, window.first + stop) if start >= 0 and stop < len(window.offsets) else (0, 0)
        for start, stop, window in places
    ]


def _bytes(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


def _read(told: Mapping[str, Any], name: str) -> str:
    return bytes(told[name][: told[f"{name}_length"]].astype(np.uint8)).decode()
