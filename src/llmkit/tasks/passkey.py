"""A number hidden in a long text: does a model find it, over the length of the text and the depth of the number?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.data.sources import Source
from llmkit.evaluation.figures import Figure, Matrix
from llmkit.evaluation.measures import Measure, mean
from llmkit.evaluation.needles import LANGUAGES, hidden
from llmkit.evaluation.reading import Unreadable, add_source, read_texts, shown
from llmkit.runtimes import Generate, Ids, Request, Running, Score, Written
from llmkit.tasks import Measurement, Task, TaskResult

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs

CANDIDATES = 10
"""Numbers whose likelihoods are compared, the hidden one among them."""
_NUMBER = re.compile(r"\d[\d,]*")


class Passkey(Task):
    """Hide a number in filler text and ask for it: `acc` is the share of numbers that are found.

    Every prompt is exactly as many tokens long as its length says, in the model's own tokens, what the chat template
    writes included. What does not fill up to it with whole sentences is filled with full stops.
    """

    lengths: list[int] = Field([256, 512, 1024, 2048], min_length=1)
    """Tokens of a prompt. What does not fit into the model's positions, with the answer, is left out, and said."""
    depths: list[float] = Field([0.0, 0.25, 0.5, 0.75, 1.0], min_length=1)
    """Where the number is: the share of the filler that stands before it."""
    repeats: int = Field(3, ge=1)
    """Numbers, and beginnings of the filler, that are tried of each length and depth."""
    digits: int = Field(5, ge=2, le=12)
    """Digits of a number."""
    by: Literal["generation", "likelihood"] = "generation"
    """The first number that the model writes; or that of ten numbers to which it gives the highest likelihood, the
    hidden one and nine others: chance is 0.1."""
    language: Literal["en", "zh"] = "en"
    """Of the words around the number, and of the shipped filler."""
    data: Annotated[Source | None, Family("source", shorthand=("files", "path"), also=(None,))] = None
    """Text to hide the numbers in; null for the shipped sentences, which are repeated."""
    chat: Literal["auto", "on", "off"] = "auto"
    """Ask through the chat template; auto: where the model has one."""
    max_new_tokens: int = Field(24, ge=1)
    """Longest answer."""
    seed: int = Field(0, ge=0)
    """Of the numbers."""

    @property
    def example(self) -> Request:  # type: ignore[override]
        """What it asks goes by `by`."""
        return Generate((0,), 1) if self.by == "generation" else Score((0,), (0,))

    def add_input(self, inputs: Inputs) -> None:
        """Add the text, if it is the user's."""
        if self.data is not None:
            add_source(self.data, inputs, ("corpus",))

    def on(self, model: Running) -> _Passkey:
        """Return the measurement of one model.

        Raises:
            ConfigError: A length holds nothing but the number's sentence, or none fits into the model.
        """
        return _Passkey(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return acc, and that of each length."""
        lengths = sorted({sample["length"] for sample in samples})
        found = {f"acc[length={each}]": _of_length(samples, each) for each in lengths}
        return {"acc": mean([sample["acc"] for sample in samples]), **(found if len(lengths) > 1 else {})}

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Draw acc over depth and length."""
        cells = _cells(samples)
        lengths = sorted({length for length, _ in cells})
        depths = sorted({depth for _, depth in cells})
        values = [[cells.get((length, depth)) for length in lengths] for depth in depths]
        return [
            Matrix(
                "Numbers found", "share of those hidden there", [f"{depth:g}" for depth in depths],
                [f"{length:,}" for length in lengths], values, "depth", "tokens",
            )
        ]  # fmt: skip


@dataclass(frozen=True)
class _Row:
    name: str
    length: int
    depth: float
    keys: list[str]
    prompt: Ids


class _Passkey(Measurement):
    """acc over depth and length."""

    def __init__(self, task: Passkey, model: Running) -> None:
        from llmkit.evaluation.asked import positions_of, tokenizer_of
        from llmkit.evaluation.asking import Asking, Layout, asks_in_chat

        super().__init__(model)
        self.task, self.tokenizer, self.unreadable = task, tokenizer_of(model), Unreadable()
        self.chat, self.words = asks_in_chat(model, task.chat), LANGUAGES[task.language]
        self.asking = Asking(model, "on" if self.chat else "off", Layout())
        self.end = self.words.question if self.chat else self.words.goes_on
        self._fillers: dict[tuple[int, int], list[str]] = {}
        if not all(0 <= depth <= 1 for depth in task.depths):
            raise ConfigError("tasks.depths: each is a share, from 0 to 1", "-s 'tasks.0.depths=[0, 0.5, 1]'")
        shortest = len(self._encoded(hidden(self.words, (), 0, "9" * task.digits, self.end)))
        if min(task.lengths) < shortest:
            raise ConfigError(
                f"tasks.lengths: {min(task.lengths):,} is too short: a text without filler has {shortest:,} tokens",
                f"-s tasks.0.lengths=[{2 * shortest}]",
            )
        # The last token of a number that is scored takes no position.
        behind = task.max_new_tokens if task.by == "generation" else len(self._target("9" * task.digits)) - 1
        self.lengths = sorted(length for length in set(task.lengths) if length + behind <= positions_of(model))
        if not self.lengths:
            raise ConfigError(
                f"tasks.lengths: none fits into the {positions_of(model):,} positions of the model, with the answer",
                f"-s tasks.0.lengths=[{max(shortest, positions_of(model) - behind)}]",
            )

    def rows(self) -> Iterator[_Row]:
        """Yield a prompt for each length, depth and number."""
        task = self.task
        for length in self.lengths:
            for depth in sorted(set(task.depths)):
                for number in range(task.repeats):
                    name = f"{length}/{depth:g}/{number}"
                    keys = self._keys(length, depth, number)
                    yield _Row(name, length, depth, keys, self._prompt(length, depth, keys[0], number))

    def shown(self, row: _Row) -> str:
        """Return the prompt, with the special tokens that are sent."""
        from llmkit.evaluation.asking import shown_prompt

        return shown_prompt(self.model, row.prompt)

    def requests(self, row: _Row) -> list[Request]:
        """Ask for the number, or for the likelihoods of several."""
        if self.task.by == "generation":
            return [Generate(row.prompt, self.task.max_new_tokens)]
        return [Score(row.prompt, self._target(key)) for key in row.keys]

    def score(self, row: _Row, answers: Sequence[Any]) -> dict[str, Any]:
        """Compare numbers."""
        sample = {"id": row.name, "length": row.length, "depth": row.depth, "reference": row.keys[0]}
        sample["prompt"] = self.shown(row)
        if self.task.by == "likelihood":
            best = max(range(len(answers)), key=lambda i: (answers[i], i))  # of equal ones not the hidden number
            return sample | {"prediction": row.keys[best], "log_likelihood": answers[0], "acc": int(best == 0)}
        written: Written = answers[0]
        said = self.asking.said(row.prompt, written).answer if self.chat else written.text
        found = _NUMBER.search(said)
        right = found is not None and found[0].replace(",", "") == row.keys[0]
        return sample | {"prediction": said, "truncated": not written.ended, "acc": int(right)}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return acc, and of each cell as a fact."""
        cells: dict[str, dict[str, float]] = {}
        for (length, depth), value in _cells(samples).items():
            cells.setdefault(str(length), {})[f"{depth:g}"] = value
        notes = self.unreadable.notes()
        if left := sorted(set(self.task.lengths) - set(self.lengths)):
            words = ", ".join(f"{length:,}" for length in left)
            notes.append(f"left out: {words} tokens with the answer do not fit into the positions of the model")
        facts = {"prompt": "chat" if self.chat else "plain", "cells": cells}
        return TaskResult.of(self.task.measures(samples), samples, facts, notes)

    def _prompt(self, length: int, depth: float, key: str, number: int) -> Ids:
        """Return a prompt of exactly so many tokens."""
        sentences = self._filler(length, number)
        count = len(sentences)

        def with_first(count: int) -> Ids:
            return self._encoded(hidden(self.words, sentences[:count], depth, key, self.end))

        while len(ids := with_first(count)) > length:
            count -= max(1, (len(ids) - length) * count // len(ids))
        while count < len(sentences) and len(longer := with_first(count + 1)) <= length:
            ids, count = longer, count + 1
        stops = (self._stop,) * (length - len(ids))
        place = self._end_of(ids)
        return (*ids[:place], *stops, *ids[place:])

    def _filler(self, length: int, number: int) -> list[str]:
        """Return at least so many tokens of sentences, from another one on for each number."""
        own, known = self._sentences, self._fillers
        count, start = 1, number * max(1, len(own) // self.task.repeats)
        while (length, number) not in known:
            sentences = [own[(start + i) % len(own)] for i in range(count)]
            if len(self.tokenizer(self.words.between.join(sentences), add_special_tokens=False)["input_ids"]) >= length:
                known[length, number] = sentences
            count *= 2
        return known[length, number]

    @cached_property
    def _sentences(self) -> Sequence[str]:
        from llmkit.text.sentences import sentence_starts

        if self.task.data is None:
            return self.words.filler
        found: list[str] = []
        most = max(self.lengths)
        for item in read_texts(self.task.data, self.unreadable):
            text = item.fields["text"]
            starts = [*sentence_starts(text), len(text)]
            found += [one for i in range(len(starts) - 1) if (one := text[starts[i] : starts[i + 1]].strip())]
            if len(found) >= most:  # a sentence has a token at least
                break
        if not found:
            raise DataError(
                f"tasks.data: {shown(self.task.data)} has no text to hide a number in",
                "-s tasks.0.data=null: the text of the task itself",
            )
        return list(islice(found, most))

    def _encoded(self, text: str) -> Ids:
        from llmkit.evaluation.asking import FakesError

        try:
            return self.asking.put_text(text).prompt  # type: ignore[return-value]
        except FakesError:
            said = "tasks.data: the text holds a token that could fake a turn"
            raise DataError(said, "-s tasks.0.chat=off") from None

    @cached_property
    def _stop(self) -> int:
        return int(self.tokenizer(".", add_special_tokens=False)["input_ids"][-1])

    def _end_of(self, ids: Ids) -> int:
        """Return where the end of a text begins among its tokens."""
        for end in (self.end, self.end.strip()):  # a tokenizer may not give blanks back
            for place in range(len(ids) - 1, 0, -1):
                if end in self.tokenizer.decode(list(ids[place:]), clean_up_tokenization_spaces=False):
                    return place
        return len(ids)

    def _target(self, key: str) -> Ids:
        """Return the tokens of a number behind the end of a prompt."""
        if self.chat:
            return tuple(self.tokenizer(key, add_special_tokens=False)["input_ids"])
        both, end = (
            self.tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (self.end + self.words.behind + key, self.end)
        )
        return tuple(both[len(end) :])

    def _keys(self, length: int, depth: float, number: int) -> list[str]:
        """Return the hidden number and, for likelihoods, others of as many digits: the same whatever else is asked."""
        from llmkit.data.randomness import generator

        rng, least = generator(self.task.seed, length, round(depth * 10**6), number), 10 ** (self.task.digits - 1)
        found: dict[str, None] = {}
        while len(found) < (CANDIDATES if self.task.by == "likelihood" else 1):
            found[str(rng.integers(least, 10 * least))] = None
        return list(found)


def _of_length(samples: Sequence[dict[str, Any]], length: int) -> Measure:
    """Return acc of the samples of one length; the others have no part in it."""
    return mean([sample["acc"] if sample["length"] == length else float("nan") for sample in samples])


def _cells(samples: Sequence[dict[str, Any]]) -> dict[tuple[int, float], float]:
    """Return the share of numbers found, by length and depth."""
    found: dict[tuple[int, float], list[int]] = {}
    for sample in samples:
        found.setdefault((sample["length"], sample["depth"]), []).append(sample["acc"])
    return {cell: sum(right) / len(right) for cell, right in found.items()}
