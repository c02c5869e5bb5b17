"""Write answers to prompts window by window: what is done is kept, and an interrupted run goes on behind it."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.data.chat import answered
from llmkit.data.corpus import CorpusWriter, Document
from llmkit.data.rows import Row
from llmkit.data.sources import Broken
from llmkit.evaluation.exchanges import FAKES, REFUSED, Skipped
from llmkit.prediction.prompts import Prompt, PromptReader
from llmkit.runtimes import Generate, Written
from llmkit.work.once import windows

if TYPE_CHECKING:
    from llmkit.evaluation.asking import Asking, Put
    from llmkit.evaluation.engine import Engine

WINDOW = 256
"""Answers that are written together; a kill loses as many at most. All of a window are asked again, so that each has
the neighbours that it had: what a row is computed beside may change its last digits."""
SHOWN = 8
"""Answers on the page, and unreadable rows that are named."""
NO_QUESTION = "ask nothing"
TOO_LONG = "leave no room for an answer in the positions of the model"
EMPTY, CUT = "have an empty answer", "have an answer that was cut at max_new_tokens"


@dataclass
class Tally:
    """What became of some rows, or of all once added up.

    Attributes:
        records: What was read, to be skipped by a later run.
        rows: Rows, unreadable ones included.
        failed: Those that could not be read.
        answers: What was written, those left out included.
        kept: Answers that are kept.
        unended: Those of them that did not end by themselves.
        tokens: Of all answers, where they are known.
        skipped: Rows that were not asked and answers that are not kept, by the reason.
        broken: The first unreadable rows, in words.
        shown: The first prompts and answers.
    """

    records: int = 0
    rows: int = 0
    failed: int = 0
    answers: int = 0
    kept: int = 0
    unended: int = 0
    tokens: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add later ones."""
        for name in ("records", "rows", "failed", "answers", "kept", "unended", "tokens"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped += other.skipped
        self.broken = [*self.broken, *other.broken][:SHOWN]
        self.shown = [*self.shown, *other.shown][:SHOWN]


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Attributes:
        max_new_tokens: Longest answer.
        num_samples: Answers to each row.
        temperature: 0 takes the likeliest token each time.
        top_p, top_k, min_p: See `Generate`.
        stop: Texts that end an answer.
        seed: Of everything random.
        ended_only: Answers that were cut are left out.
    """

    max_new_tokens: int
    num_samples: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    stop: tuple[str, ...]
    seed: int
    ended_only: bool

    def requests(self, put: Put, name: str, positions: int | None) -> list[Generate]:
        """Return what is asked for a row; nothing where there is no room for an answer."""
        budget = self.max_new_tokens
        if positions is not None and not any(isinstance(one, dict) for one in put.prompt):
            budget = min(budget, positions - len(put.prompt))
        return [
            Generate(
                put.prompt, budget, self.stop, self.temperature, seed_of(self.seed, name, number) if self.temperature
                else 0, top_p=self.top_p, top_k=self.top_k, min_p=self.min_p,
            )
            for number in range(self.num_samples)
            if budget > 0
        ]  # fmt: skip


def seed_of(seed: int, name: str, number: int) -> int:
    """Return the seed of one answer: the same whatever else is asked, and in whatever order."""
    digest = hashlib.blake2b(f"{seed}\0{name}\0{number}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


@dataclass(frozen=True)
class Generating:
    """What is done with each window.

    Attributes:
        engine: The model.
        asking: How it is asked.
        positions: Longest row that it takes; None if unknown, or if a prompt takes none of them.
        sampling: How answers are drawn.
        system: What the system says where the row has nothing of that.
        kind: What kind of rows is written.
        strict: Stop at the first row that cannot be read.
    """

    engine: Engine
    asking: Asking
    positions: int | None
    sampling: Sampling
    system: str
    kind: Row
    strict: bool

    def window(
        self, rows: Iterator[tuple[str, Prompt | Broken]], advance: Callable[[int], None]
    ) -> tuple[Tally, list[Document]]:
        """Return what becomes of the next rows."""
        from llmkit.evaluation.engine import Asked

        tally = Tally()
        asked: list[tuple[Prompt, Put, list[Generate]]] = []
        while tally.records * self.sampling.num_samples < WINDOW and (found := next(rows, None)) is not None:
            path, prompt = found
            tally.records += 1
            if isinstance(prompt, Broken):
                self._unreadable(path, prompt, tally)
                continue
            tally.rows += 1
            put = self._put(prompt, tally)
            if put is None:
                continue
            requests = self.sampling.requests(put, prompt.id, self.positions)
            if not requests:
                tally.skipped[TOO_LONG] += 1
                continue
            asked.append((prompt, put, requests))
        answers = self.engine.ask((Asked(requests) for *_, requests in asked), done=advance)
        documents: list[Document] = []
        for (prompt, put, requests), written in zip(asked, answers, strict=True):
            documents += self._documents(prompt, put, requests, written, tally)
        return tally, documents

    def _put(self, prompt: Prompt, tally: Tally) -> Put | None:
        from llmkit.evaluation.asking import FakesError
        from llmkit.evaluation.questions import Question

        if not prompt.turns:
            tally.skipped[NO_QUESTION] += 1
            return None
        if self.system and prompt.kind != "source" and prompt.turns[0]["role"] != "system":
            prompt.turns = [{"role": "system", "content": self.system}, *prompt.turns]
        try:
            if prompt.kind == "source" and not self.asking.chats:
                return self.asking.put(Question(prompt.id, prompt.turns, [], {}, "source"))
            if self.asking.chats:
                return self.asking.put(Question(prompt.id, prompt.turns, [], {}, "conversation"))
            return self.asking.put_text("\n\n".join(turn["content"] for turn in prompt.turns))
        except FakesError:
            tally.skipped[FAKES] += 1
        except DataError:
            tally.skipped[REFUSED] += 1
        return None

    def _documents(
        self, prompt: Prompt, put: Put, requests: Sequence[Generate], answers: Sequence[Written], tally: Tally
    ) -> Iterator[Document]:
        for number, (request, new) in enumerate(zip(requests, answers, strict=True)):
            tally.answers += 1
            tally.tokens += len(new.ids or ())
            if len(tally.shown) < SHOWN:
                shown = put.text if put.text is not None else prompt.turns[-1]["content"]
                tally.shown.append((shown, new.text))
            if not new.text.strip():
                tally.skipped[EMPTY] += 1
            elif self.sampling.ended_only and not new.ended:
                tally.skipped[CUT] += 1
            else:
                tally.kept += 1
                tally.unended += not new.ended
                yield self._document(prompt, number, request, new)

    def _document(self, prompt: Prompt, number: int, request: Generate, new: Written) -> Document:
        row = answered(self.kind, prompt.turns, prompt.row, new.text)
        facts = {
            **prompt.meta,
            "ended": new.ended,
            **({"tokens": len(new.ids)} if new.ids is not None else {}),
            **({"sample": number} if self.sampling.num_samples > 1 else {}),
            **({"seed": request.seed} if request.temperature else {}),
            **({"reference": prompt.reference} if prompt.reference is not None else {}),
        }
        own = f"{prompt.id}-{number}" if self.sampling.num_samples > 1 else prompt.id
        text = self.kind.key_text(row)
        return Document(own, text, prompt.source, prompt.language, row, self.kind, facts)

    def _unreadable(self, path: str, row: Broken, tally: Tally) -> None:
        where = f"{path}:{row.line}" if row.line else f"{path}: row {row.row + 1}"
        if self.strict:
            raise DataError(f"{where}: {row.reason}", "leave out --strict to set broken rows aside")
        tally.rows += row.num_rows
        tally.failed += row.num_rows
        tally.broken = [*tally.broken, f"{where}: {row.reason}"][:SHOWN]


def generate(
    generating: Generating, readers: Sequence[PromptReader], out: Path, scratch: Path, context: Context
) -> Tally:
    """Write answers to all rows, to `data-*.parquet` in the folder `out`; done windows are in the folder `scratch`."""
    place = scratch / ("strict" if generating.strict else "lenient")
    total, rows = Tally(), itertools.chain.from_iterable(reader.read() for reader in readers)
    writer = CorpusWriter(out, generating.kind)
    with context.console.progress("generating", unit="rows") as progress:
        done = windows(
            lambda rows, _: generating.window(rows, progress.advance), rows, place, lambda found: found[0].records
        )
        for (tally, documents), before in done:
            if before:
                progress.begin_at(progress.count + tally.rows)
            for document in documents:
                writer.write(document)
            total.add(tally)
    writer.close()
    return total


def skipped_notes(tally: Tally) -> list[str]:
    """Say how many rows and answers are left out, by the reason."""
    skipped = Skipped()
    skipped.reasons = tally.skipped
    return skipped.notes()
