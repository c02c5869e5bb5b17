"""Multiple choice by likelihood: which of some texts a model finds likeliest behind a question, as lm-eval has it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.errors import DataError
from llmkit.evaluation.asked import positions_of, tokenizer_of
from llmkit.evaluation.prompting import Prompt, TemplateText
from llmkit.evaluation.reading import OTHER_DATA, Unreadable, shown
from llmkit.runtimes import Request, Running, Score
from llmkit.tasks import Measurement, TaskResult
from llmkit.tasks._prompted import Contexts, PromptedTask

if TYPE_CHECKING:
    from llmkit.core.inputs import Inputs
    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.tasks._choice_rows import Posed

ROWS = 32
"""Questions encoded at a time."""
MERGED = "have a choice that the tokenizer makes one token with the prompt"


class MultipleChoice(PromptedTask):
    """Score each choice as a text behind the question; the likeliest is the model's answer.

    What is not given is told by the columns of well-known sets: ARC, HellaSwag, MMLU, PIQA, WinoGrande, SciQ, BIG-bench
    and their kin. A template is Jinja over a row's columns, and a column's name alone is that column.
    """

    example: ClassVar[Request] = Score((0,), (0,))
    artifacts: ClassVar[tuple[str, ...]] = ("examples", "corpus")

    choices: str | list[TemplateText] | None = None
    """Column or template (of a list in JSON) that holds all choices, or a list with a column or template for each."""
    answer: TemplateText | None = None
    """Column or template of the right choice: its number from 0, its letter or label, or its text."""
    cloze: TemplateText | None = None
    """Template of a sentence with one blank `_`: scored is what follows it, behind each choice, as in WinoGrande."""
    letters: bool = False
    """List the choices in the prompt by letters, and score the letters, as MMLU does."""
    shuffle: Literal["auto", "on", "off"] = "auto"
    """Shuffle the choices, seeded by row; `auto` does where the prompt lists them and the right ones stand unevenly."""
    mutual_info: bool = False
    """Also score the choices without the question, for acc_mutual_info."""
    overlength: Literal["skip", "cut"] = "skip"
    """What to do with a row that does not fit into the model: leave it out, or cut its beginning, as lm-eval does."""
    cluster: TemplateText | None = None
    """Column or template of what several rows are about, as a passage: intervals then count passages, not rows."""

    def add_input(self, inputs: Inputs) -> None:
        """Add the data; the first row is read, so that a wrong column is found before a model is loaded."""
        from llmkit.tasks._choice_rows import first_layout

        super().add_input(inputs)
        first_layout(self)

    def on(self, model: Running) -> _MultipleChoice:
        """Return the measurement of one model."""
        return _MultipleChoice(self, model)

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return the accuracies, brier and ece, as far as samples have them."""
        from llmkit.evaluation.calibration import calibration_error
        from llmkit.evaluation.measures import mean

        names = [name for name in ("acc", "acc_norm", "acc_bytes", "acc_mutual_info") if name in samples[0]]
        found: dict[str, Measure] = {name: mean([sample[name] for sample in samples]) for name in names}
        found["brier"] = mean([sample["brier"] for sample in samples], higher_is_better=False, top=2.0)
        found["ece"] = calibration_error(*_certainty(samples))
        return found

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return how often it is right by how sure it is and, where it sees the order, by the answer's place."""
        from llmkit.evaluation.calibration import reliability

        seen = self.letters or "order" in samples[0]
        return [reliability("Reliability", {"choices": _certainty(samples)}), *([_by_place(samples)] if seen else [])]


@dataclass(frozen=True)
class _Row:
    """A question as it is asked.

    Attributes:
        posed: The row.
        prompt: As sent; of cloze rows with the first choice.
        scored: What is scored for each choice.
        requests: Those of the choices, then those of the choices without the question, if any.
        truncated: The beginning of a context is cut.
    """

    posed: Posed
    prompt: str
    scored: list[str]
    requests: list[Score]
    truncated: bool


class _MultipleChoice(Measurement):
    """acc, acc_norm, acc_bytes, acc_mutual_info, brier and ece."""

    def __init__(self, task: MultipleChoice, model: Running) -> None:
        from llmkit.evaluation.exchanges import Skipped
        from llmkit.evaluation.likelihood import PairEncoder
        from llmkit.modeling.tokenizer import special_ids
        from llmkit.tasks._choice_rows import ChoiceRows

        super().__init__(model)
        tokenizer = tokenizer_of(model)
        self.task, self.max_length = task, positions_of(model)
        self.contexts = Contexts(task, tokenizer, answered=True)
        self.encoder = PairEncoder(self.contexts.tokenizer, special_ids(tokenizer).bos)
        self.cluster = None if task.cluster is None else Prompt(task.cluster, "tasks.cluster")
        self.skipped, self.unreadable = Skipped(), Unreadable()
        self.refusal: DataError | None = None
        self.read = ChoiceRows(task, self.skipped, self.unreadable)

    def rows(self) -> Iterator[_Row]:
        """Yield the questions that can be asked."""
        from llmkit.evaluation.exchanges import FAKES

        count, read = 0, iter(self.read)
        while part := list(islice(read, ROWS)):
            for row in self._asked(part):
                count += 1
                yield row
        if not count and self.refusal is not None and self.refusal.message != FAKES and len(self.skipped.reasons) == 1:
            raise self.refusal
        if not count:
            why = "; ".join(self.skipped.notes())
            raise DataError(f"tasks.data: {shown(self.task.data)} has no question to ask: {why}", OTHER_DATA)

    def requests(self, row: _Row) -> list[Score]:
        """Ask for each choice behind its context."""
        return row.requests

    def shown(self, row: _Row) -> str:
        """Return the prompt, and the texts that are scored."""
        return f"{row.prompt}\n[scored: {' | '.join(map(repr, row.scored))}]"

    def score(self, row: _Row, answers: Sequence[float]) -> dict[str, Any]:
        """Return the sample: log-likelihoods in nats, and what they say."""
        question, count = row.posed.question, len(row.scored)
        said, alone = answers[:count], answers[count:]
        right = [float(number in question.gold) for number in range(count)]
        chances = _softmax(said)
        best = _largest(said)
        return {
            "id": row.posed.item.id,
            "prompt": row.prompt,
            "choices": list(question.choices),
            "reference": question.gold[0] if len(question.gold) == 1 else list(question.gold),
            "prediction": best,
            "acc": right[best],
            **self._normalised(row, said, alone, right),
            "brier": sum((chance - one) ** 2 for chance, one in zip(chances, right, strict=True)),
            "confidence": chances[best],
            "log_likelihoods": list(said),
            "truncated": row.truncated,
            **({"order": list(question.order)} if self.read.shuffled else {}),
            **({"cluster": self.cluster.render(row.posed.item.fields)} if self.cluster is not None else {}),
        }

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores, the level of chance, and what was left out."""
        golds = [sample["reference"] for sample in samples]
        sizes = [len(gold) if isinstance(gold, list) else 1 for gold in golds]
        chance = sum(size / len(one["choices"]) for size, one in zip(sizes, samples, strict=True)) / len(samples)
        cut = sum(sample["truncated"] for sample in samples)
        facts = {
            "prompt": "chat" if self.contexts.chat else "plain", "num_shots": self.task.num_shots, "chance": chance,
            "skipped": self.skipped.total, "truncated": cut, "shuffled": self.read.shuffled,
        }  # fmt: skip
        ties = sum(one["log_likelihoods"].count(max(one["log_likelihoods"])) > 1 for one in samples)
        notes = [f"{cut:,} are cut at the beginning: they do not fit into the model"] if cut else []
        notes += [f"{ties:,} ties: the first of equally likely choices is taken"] if ties else []
        notes = [*self.skipped.notes(), *self.unreadable.notes(), *self.read.notes, *notes]
        return TaskResult.of(self.task.measures(samples), samples, facts, notes)

    def _normalised(
        self, row: _Row, said: Sequence[float], alone: Sequence[float], right: list[float]
    ) -> dict[str, float]:
        """Return accuracies by likelihoods that are divided by lengths, or by those of the choices alone."""
        if self.read.layout.cloze:
            return {}  # the same text is scored behind each choice
        found = {}
        for name, sizes in (
            ("acc_norm", map(len, row.scored)),
            ("acc_bytes", (len(one.encode()) for one in row.scored)),
        ):
            found[name] = right[_largest([value / size for value, size in zip(said, sizes, strict=True)])]
        if alone:
            gained = [value - own for value, own in zip(said, alone, strict=True)]
            found["acc_mutual_info"] = right[_largest(gained)]
        return found

    def _asked(self, part: list[Posed]) -> Iterator[_Row]:
        """Yield the rows of some questions that fit into the model."""
        from llmkit.evaluation.exchanges import too_long
        from llmkit.evaluation.likelihood import fitted

        delimiter = "" if self.contexts.chat else self.task.delimiter
        kept, pairs = [], list[tuple[str, str]]()
        for one, own, contexts in self._in_context(part):
            kept.append((one, own, contexts[0]))
            pairs += [(context, delimiter + text) for context, (_, text) in zip(contexts, own, strict=True)]
            pairs += [("", delimiter + text) for _, text in own] if self.task.mutual_info else []
        requests = iter(self.encoder.encode(pairs))
        for one, own, context in kept:
            made = list(islice(requests, len(own) * (1 + self.task.mutual_info)))
            if not all(request.target for request in made):
                self.skipped.add(MERGED, one.name)
                continue
            found = [fitted(request, self.max_length, cut=self.task.overlength == "cut") for request in made]
            fitting = [request for request, _ in found if request is not None]
            if len(fitting) < len(found):
                self.skipped.add(too_long(self.max_length), one.name)
                continue
            yield _Row(one, context, [text for _, text in own], fitting, any(cut for _, cut in found))

    def _in_context(self, part: list[Posed]) -> Iterator[tuple[Posed, list[tuple[str, str]], list[str]]]:
        """Yield questions with the pairs of their choices, and what is read before each: all of the prompt."""
        from llmkit.evaluation.exchanges import FAKES, REFUSED

        pairs = [self.read.layout.pairs(one.question) for one in part]
        texts = [list(dict.fromkeys(context for context, _ in own)) for own in pairs]  # of cloze rows several
        asked = [(one.item.fields, one.shots, text) for one, own in zip(part, texts, strict=True) for text in own]
        rendered = iter(self.contexts.of(asked))
        for one, own, mine in zip(part, pairs, texts, strict=True):
            found = dict(zip(mine, islice(rendered, len(mine)), strict=True))
            refused = next((text for text in found.values() if isinstance(text, DataError)), None)
            if refused is not None:
                self.refusal = self.refusal or refused
                self.skipped.add(FAKES if refused.message == FAKES else REFUSED, one.name)
                continue
            yield one, own, [str(found[context]) for context, _ in own]


def _certainty(samples: list[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return [sample["confidence"] for sample in samples], [sample["acc"] for sample in samples]


def _by_place(samples: list[dict[str, Any]]) -> Figure:
    """Return accuracy by where the answer stands: bars of one height are those of a model that reads."""
    from llmkit.evaluation.estimates import estimate
    from llmkit.evaluation.figures import Bars
    from llmkit.evaluation.measures import mean

    places: dict[int, list[float]] = {}
    for sample in samples:
        if isinstance(sample["reference"], int):
            places.setdefault(sample["reference"], []).append(sample["acc"])
    values = {}
    for place in sorted(places):
        found = estimate(mean(places[place]))
        values[f"{place + 1}"] = (sum(places[place]) / len(places[place]), found.low, found.high)
    return Bars("Accuracy by the place of the answer", "A model that prefers a place is right there alone.",
                values, "acc")  # fmt: skip


def _largest(values: Sequence[float]) -> int:
    """Return the number of the largest value, of equal ones the first."""
    return max(range(len(values)), key=values.__getitem__)


def _softmax(values: Sequence[float]) -> list[float]:
    most = max(values)
    powers = [math.exp(value - most) for value in values]
    total = math.fsum(powers)
    return [power / total for power in powers]
