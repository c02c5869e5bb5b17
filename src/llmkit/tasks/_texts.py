"""What the tasks that score whole texts have in common: which texts, and their scores by source and language."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.errors import DataError
from llmkit.data.artifacts import Tokens
from llmkit.evaluation.asked import tokenizer_here
from llmkit.evaluation.figures import Bars
from llmkit.evaluation.reading import OTHER_DATA, Item, Unreadable, read_texts, shown
from llmkit.evaluation.text_score import (
    bits_per_byte,
    count_whitespace_words,
    group_measures,
    text_measures,
    unread_facts,
)
from llmkit.tasks import DataTask, Measurement, TaskResult
from llmkit.text.words import count_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from llmkit.evaluation.figures import Figure
    from llmkit.evaluation.measures import Measure
    from llmkit.runtimes import Running

TEXTS = 16
"""Documents encoded at a time."""
GROUPS = ("source", "language")


def groups_of(item: Item) -> dict[str, str]:
    """Return source and language of a text: columns of these names tell more than the file, or than nothing."""
    own = {by: item.meta[by] for by in GROUPS if isinstance(item.meta.get(by), str) and item.meta[by]}
    known = {"source": item.source, **({} if item.language == "und" else {"language": item.language})}
    return {by: name for by, name in ({"language": "und"} | known | own).items() if name}


class TextTask(DataTask):
    """A measurement on every token of some texts.

    Attributes:
        said: What its samples call the log-likelihood.
        prefix: What the names of its scores begin with.
    """

    artifacts: ClassVar[tuple[str, ...]] = ("tokens", "corpus")
    said: ClassVar[str] = "log_likelihood"
    prefix: ClassVar[str] = ""

    split: Literal["train", "validation", "test"] = "test"
    """Which split of a token artifact; a corpus is taken whole."""

    def measures(self, samples: list[dict[str, Any]]) -> dict[str, Measure]:
        """Return bits per byte and the perplexities of all texts; then bits per byte by source and by language."""
        return self.scores(samples)[0]

    def scores(self, samples: list[dict[str, Any]]) -> tuple[dict[str, Measure], list[str], dict[str, float]]:
        """Return the measures, sentences on those that are left out, and the shares that the tokenizer did not read."""
        measures, notes, shares = text_measures(samples, self.said, self.prefix)
        for by in GROUPS if measures else ():
            found, more = group_measures(samples, by, self.said, self.prefix)
            measures, notes = measures | found, notes + more
        return measures, notes, shares

    def figures(self, samples: list[dict[str, Any]]) -> list[Figure]:
        """Return bits per byte by source and by language, where there are several."""
        from llmkit.evaluation.estimates import estimates

        figures: list[Figure] = []
        for by in GROUPS if text_measures(samples, self.said, self.prefix)[0] else ():
            measures = group_measures(samples, by, self.said, self.prefix)[0]
            values = {
                name.partition("=")[2].removesuffix("]"): (measures[name].value, sure.low, sure.high)
                for name, sure in estimates(measures).items()
            }
            if values:
                axis = f"{self.prefix.replace('_', '-')}bits per byte"
                figures.append(Bars(f"By {by}", "Lower is better.", values, axis))
        return figures

    def is_damaged(self) -> str:
        """Say of tokens whose tokenizer did not read their text that decoding does not give it back."""
        tokens = Tokens(self.data.root())
        if not tokens.is_there():
            return ""
        unread, num_bytes = tokens.unread(self.split), tokens.facts["splits"][self.split]["bytes"]
        if not unread.is_too_much(num_bytes):
            return ""
        what = f"no scores: in the split '{self.split}' of {shown(self.data)} {unread.words(num_bytes)}"
        return f"{what}: use the corpus that it was made of"

    def texts(self, unreadable: Unreadable) -> Iterator[Item]:
        """Yield the documents."""
        if Tokens(self.data.root()).is_there():
            return islice(self._decoded(Path(self.data.root())), self.limit)
        return islice(read_texts(self.data, unreadable), self.limit)

    def _decoded(self, directory: Path) -> Iterator[Item]:
        from llmkit.data.token_reader import TokenSplit
        from llmkit.modeling.tokenizer import load_tokenizer

        split = TokenSplit(directory, self.split)
        tokenizer = load_tokenizer(directory)
        for i in range(split.num_documents):
            text = tokenizer.decode(split.document(i), clean_up_tokenization_spaces=False)
            yield Item(f"{self.split}:{i}", {"text": text})


class TextMeasurement(Measurement):
    """Scores of all tokens of some texts."""

    def __init__(self, task: TextTask, model: Running) -> None:
        from llmkit.modeling.coverage import coverage_of

        super().__init__(model)
        self.task, self.tokenizer = task, tokenizer_here(model)
        self.coverage, self.unreadable = coverage_of(self.tokenizer), Unreadable()

    def encoded(self) -> Iterator[tuple[Item, NDArray[np.integer[Any]]]]:
        """Yield the documents with their ids.

        Raises:
            DataError: All are empty.
        """
        from llmkit.modeling.tokenizer import encode_documents

        is_empty = True
        documents = self.task.texts(self.unreadable)
        while part := list(islice(documents, TEXTS)):
            for item, ids in zip(
                part, encode_documents(self.tokenizer, [one.fields["text"] for one in part]), strict=True
            ):
                is_empty = is_empty and not item.fields["text"]
                yield item, ids
        if is_empty:
            raise DataError(f"tasks.data: {shown(self.task.data)} has no text to score", OTHER_DATA)

    def sample(self, item: Item, num_tokens: int, total: float) -> dict[str, Any]:
        """Return what a sample says of a text and of its log-likelihood."""
        text = item.fields["text"]
        found = {
            "id": item.id, "prompt": text, **groups_of(item),
            self.task.said: total, "bytes": len(text.encode()), **unread_facts(self.coverage.measure([text])),
            "tokens": num_tokens, "words": count_words(text), "whitespace_words": count_whitespace_words(text),
        }  # fmt: skip
        return found | {f"{self.task.prefix}bits_per_byte": bits_per_byte(found, total)}

    def summary(self, samples: list[dict[str, Any]]) -> TaskResult:
        """Return the scores; none of text that tokens cannot give back."""
        measures, notes, shares = self.task.scores(samples)
        if words := self.task.is_damaged():
            measures, notes = {}, [words]
        facts = {name: sum(sample[name] for sample in samples) for name in ("bytes", "tokens")} | shares
        return TaskResult.of(measures, samples, facts, [*self.unreadable.notes(), *notes])
