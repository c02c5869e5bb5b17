"""Parity: the same requests put to two runtimes, the second in a fresh process, and how their answers compare."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import CheckFailedError
from llmkit.evaluation.borders import stops, unlike
from llmkit.evaluation.differences import Differences, choices_of, shapes_differ
from llmkit.evaluation.fresh import Answers, ask, ask_afresh
from llmkit.evaluation.limits import Limits
from llmkit.evaluation.probes import Probes
from llmkit.evaluation.rounded import Rounded, finite, numbers_of, wrong_graph
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Logits, Request, Running, Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from llmkit.modeling.heads import Answer, Head

CHANCE = 8.0
"""Bits per byte of one who knows nothing of text: any damage leaves a model that knows as little where it is."""


@dataclass(frozen=True)
class Parity:
    """A model and what it and its export are asked.

    Attributes:
        where: The model's directory, for errors.
        config: The model's.
        head: The model's.
        asked: What is asked.
    """

    where: Path
    config: PreTrainedConfig
    head: Head
    asked: Probes

    def ask_original(self, running: Running, runtime: str) -> Answers:
        """Ask the model, in this process.

        Args:
            running: The model.
            runtime: Name of what runs it, for errors.

        Raises:
            NotFiniteError: An answer is no number.
        """
        try:
            return finite(self.asked, ask(running, self.asked, runtime))
        except NotFiniteError as error:
            words = f"what the model in '{self.where}' answers to random tokens is NaN or infinite"
            raise NotFiniteError(words, error.hint) from error

    def ask_export(self, runtime: Runtime, directory: Path, scratch: Path) -> Answers:
        """Ask the export, in a fresh process; see `ask_afresh`.

        Raises:
            CheckFailedError: It does not load, or an answer is no number.
        """
        try:
            return finite(self.asked, ask_afresh(runtime, directory, self.asked, scratch))
        except NotFiniteError as error:
            raise CheckFailedError(
                f"what the export answers is NaN or infinite, and what {self.where} answers is not",
                hint="use a wider dtype: float16 holds no number above 65,504",
            ) from error

    def ask_reader(self, runtime: Runtime, directory: Path, scratch: Path) -> Answers:
        """Ask another runtime, in a fresh process, for texts and conversations alone."""
        probes = Probes((), (), self.asked.texts, self.asked.chats)
        return ask_afresh(runtime, directory, probes, scratch)

    def borders(
        self, ours: Answers, theirs: Answers, whose: str = "the export", *, stops_early: bool = False
    ) -> tuple[list[str], list[str]]:
        """Return how reading, rendering and stopping differ, in sentences: what fails the export, and what is noted.

        Args:
            ours: The model's answers.
            theirs: Those of what reads the export.
            whose: What that is.
            stops_early: More ends than the model's are only noted.
        """
        named = {"whose": whose, "where": str(self.where)}
        failures = unlike(self.asked, ours, theirs, **named)
        wrong, noted = stops(ours, theirs, **named) if self._writes else ("", "")
        if wrong and not (noted and stops_early):
            failures.append(wrong)
        return failures, [noted] if noted and stops_early else []

    def compare(
        self, ours: Answers, theirs: Answers, *, limits: Callable[[Answer, float], Limits], stops_early: bool = False,
        rounded: Rounded | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Compare the answers of model and export.

        Args:
            ours: The model's.
            theirs: The export's.
            limits: What is asked, by the kind of answer and the spread of the model's numbers: their standard
                deviation; of one number per text, the root of their mean square.
            stops_early: More ends than the model's are only noted.
            rounded: The model's with the weights of the export, if those were left in it: what these and the export's
                differ by is the graph's, and the rest is what rounding costs.

        Returns:
            Whether they agree and by how much, in JSON's types; `failures` and `notes` are sentences.
        """
        failures, notes = self.borders(ours, theirs, stops_early=stops_early)
        if _both_rendered(ours, theirs) == 0 and not failures:
            notes.append(f"{self.where} renders none of {len(ours.rendered or ())} chats, and the export neither")
        compared = list(numbers_of(self.asked, ours, theirs))
        alike = shapes_differ((one, other) for _, one, other in compared)
        facts = {
            "requests": dict(Counter(request.kind for request in self.asked.requests)),
            "answer": self.head.answer, "chosen": self.head.chosen, "auto_class": self.head.auto_class,
        }  # fmt: skip
        if alike is not None:
            failures.insert(0, f"the export answers with numbers {alike[1]}, and {self.where} with {alike[0]}")
            return {"passed": False, "failures": failures, "notes": notes, **facts}
        found = Differences(self.head.answer, self.config.problem_type == "multi_label_classification")
        for row, one, other in compared:
            found.add(row, one, other, scored=self._writes and not self.config.is_encoder_decoder)
        limit = limits(self.head.answer, found.spread)
        graph = None if rounded is None or limit.graph is None else rounded.compare(theirs, limit.graph)
        limit = limit if graph else replace(limit, graph=None)
        bits = self._bits(found)
        notes += self._proves_little(limit, bits)
        equal, total = self._equal_choices(ours, theirs)
        beyond = self._beyond(found, limit, equal, total)
        if beyond:
            failures.insert(0, f"the export does not answer like {self.where}: {'; '.join(beyond)}")
        if graph and graph["off"] > graph["limit"]:
            failures.insert(0, wrong_graph(self.where, graph))
        return {
            "passed": not failures,
            "failures": failures,
            "notes": notes,
            "max_logit_difference": found.all.largest,
            "mean_logit_difference": found.all.facts()["mean_difference"],
            "tolerance": limit.difference,
            "limits": limit.facts(),
            "logit_spread": found.spread,
            "equal_tokens": equal,
            "tokens": total,
            "prompts": len(compared),
            "measured": {name: sums.facts() for name, sums in found.groups.items() if sums.numbers},
            "bits_per_byte": bits,
            "cosine": found.cosine,
            "graph": graph,
            "equal": {
                "texts": None if theirs.read is None else len(theirs.read),
                "chats": _both_rendered(ours, theirs),
                "ends": sorted(theirs.ends) if theirs.ends is not None and self._writes else None,
            },
            **facts,
        }

    @property
    def _writes(self) -> bool:
        return self.head.answer == "tokens"

    def _beyond(self, found: Differences, limit: Limits, equal: int, total: int) -> list[str]:
        """Say which limits are exceeded."""
        said = []
        noun = "numbers" if self.head.answer in ("number", "vector") else "logits"
        chosen = f", {equal} of {total} {self.head.chosen} equal" if total else ""
        unlike = limit.exact and equal != total
        if limit.difference is not None and (found.all.largest > limit.difference or unlike):
            where = self._place(found, limit.difference)
            said.append(
                f"{noun} differ by {found.all.largest:.3g} (at most {limit.difference:.3g} allowed){chosen}{where}"
            )
        elif unlike:
            said.append(f"only {equal} of {total} {self.head.chosen} are equal, and all have to be")
        share = found.groups["text"].facts()["top1_but_ties"]
        share = found.all.facts()["top1_but_ties"] if share is None else share
        if limit.top1 is not None and share is not None and share < limit.top1:
            said.append(
                f"{share:.1%} of the likeliest choices are the same but for ties"
                f" (at least {limit.top1:.1%} allowed){chosen}"
            )
        growth = found.growth()
        if limit.bits is not None and growth is not None and growth > limit.bits:
            said.append(f"text takes {growth:.1%} more bits per byte (at most {limit.bits:.1%} allowed){chosen}")
        if limit.cosine is not None and found.cosine is not None and found.cosine < limit.cosine:
            said.append(
                f"the cosine of a vector and the model's is {found.cosine:.4f} (at least {limit.cosine} allowed)"
            )
        return said

    def _proves_little(self, limit: Limits, bits: dict[str, float] | None) -> list[str]:
        """Say that bits per byte, where nothing else is asked, tell nothing of a model that knows nothing of text."""
        asks_more = limit.top1 is not None or limit.graph is not None
        if limit.bits is None or asks_more or bits is None or bits["model"] < CHANCE:
            return []
        many = f"{bits['model']:.3g} bits per byte of text"
        return [f"{self.where} takes {many}, as chance does: that the export takes as many proves little"]

    def _place(self, found: Differences, limit: float) -> str:
        """Say from which position of a row on numbers differ, where it is not the first."""
        first = found.first_above(limit)
        if first is None or first[1] == 0 or not self._writes or first[0] >= len(self.asked.rows):
            return ""
        length = len(self.asked.rows[first[0]].ids)
        kept = min(length, self.asked.kept or length)
        return f", first at position {first[1] + length - kept} of a row of {length} tokens"

    def _bits(self, found: Differences) -> dict[str, float] | None:
        growth = found.growth()
        if growth is None:
            return None
        model, export = (bits / found.num_bytes for bits in found.bits)
        return {"model": model, "export": export, "growth": growth, "bytes": found.num_bytes}

    def _equal_choices(self, ours: Answers, theirs: Answers) -> tuple[int, int]:
        """Return how many choices are equal, and how many there are."""
        several = self.config.problem_type == "multi_label_classification"
        equal = total = 0
        for asked, *given in zip(self.asked.requests, ours.given, theirs.given, strict=True):
            if any(each is None for each in given):
                continue
            chosen, others = (_choices(asked, one, self.head.answer, several=several) for one in given)
            equal += sum(map(operator.eq, chosen, others))
            total += len(chosen)
        return equal, total


def _both_rendered(ours: Answers, theirs: Answers) -> int | None:
    """Return how many chats both have rendered: one that both refuse says nothing; None where one has no engine."""
    if ours.rendered is None or theirs.rendered is None:
        return None
    return sum(None not in texts for texts in zip(ours.rendered, theirs.rendered, strict=True))


def _choices(asked: Request, given: Any, answer: Answer, *, several: bool) -> Sequence[Any]:
    """Return what was chosen in answer to a request.

    The tokens written, the likeliest token or label of every token, the label (one, or whether each is there), or where
    the span begins and ends; numbers and vectors leave nothing to choose.
    """
    if isinstance(asked, Generate):
        return list(given.ids or ())
    if not isinstance(asked, Logits) or answer == "tokens":
        return []
    numbers = choices_of(len(asked.ids), given, answer)
    if numbers is None:
        return []
    chosen: list[Any] = (numbers[0] > 0 if several else numbers.argmax(-1)).tolist()
    return chosen
