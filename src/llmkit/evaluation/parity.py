"""Parity: the same requests put to two runtimes, the second in a fresh process, and how their answers compare.

Requests are random ids: no text that a model knows by heart, and every row of its embedding is as likely as any other.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from llmkit.core.errors import CheckFailedError
from llmkit.evaluation.fresh import TEXTS, Answers, ask, ask_afresh
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Logits, Request, Running, Runtime

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig

    from llmkit.modeling.heads import Answer, Head

PROMPT_TOKENS = 32
"""Of each request; fewer where a model has less than twice as many positions."""
POSITIONS = 2048
"""Of a model that does not say."""


@dataclass(frozen=True)
class Parity:
    """A model and what it and its export are asked.

    Attributes:
        where: The model's directory, for errors.
        config: The model's.
        head: The model's.
        requests: The numbers of random rows and, of models that write, what follows them.
    """

    where: Path
    config: PreTrainedConfig
    head: Head
    requests: Sequence[Request]

    @classmethod
    def of(
        cls, where: Path, config: PreTrainedConfig, head: Head, *,
        positions: int | None, prompts: int, new_tokens: int, seed: int,
    ) -> Self:  # fmt: skip
        """Draw the requests.

        Args:
            where: The model's directory.
            config: The model's.
            head: The model's.
            positions: Longest row that it takes; None for 2048.
            prompts: How many rows.
            new_tokens: Tokens to write after each, at most; one if there is no room.
            seed: Of the rows.
        """
        limit = positions or POSITIONS
        length = max(1, min(PROMPT_TOKENS, limit // 2))
        rows = [tuple(row) for row in _random_rows(config, head, prompts, length, seed).tolist()]
        asked: list[Request] = [Logits(row) for row in rows]
        if head.answer == "tokens":
            budget = max(1, min(new_tokens, limit - length))
            asked += [Generate(row, budget=budget, exact=True) for row in rows]
        return cls(where, config, head, asked)

    def ask_original(self, running: Running, runtime: str) -> Answers:
        """Ask the model, in this process.

        Args:
            running: The model.
            runtime: Name of what runs it, for errors.

        Raises:
            NotFiniteError: An answer is no number.
        """
        try:
            return self._finite(ask(running, self.requests, runtime))
        except NotFiniteError as error:
            words = f"what the model in '{self.where}' answers to random tokens is NaN or infinite"
            raise NotFiniteError(words, error.hint) from error

    def ask_export(self, runtime: Runtime, directory: Path, scratch: Path) -> Answers:
        """Ask the export, in a fresh process; see `ask_afresh`.

        Raises:
            CheckFailedError: It does not load, or an answer is no number.
        """
        try:
            return self._finite(ask_afresh(runtime, directory, self.requests, scratch))
        except NotFiniteError as error:
            raise CheckFailedError(
                f"what the export answers is NaN or infinite, and what {self.where} answers is not",
                hint="nothing was exported; use a wider dtype: float16 holds no number above 65,504",
            ) from error

    def compare(
        self, ours: Answers, theirs: Answers, *, tolerance: Callable[[Answer, float], float], exact: bool
    ) -> dict[str, Any]:
        """Compare the answers of model and export.

        Args:
            ours: The model's.
            theirs: The export's.
            tolerance: Largest difference of a number that passes, by the kind of answer and the spread of the model's
                numbers: their standard deviation; of one number per text, the root of their mean square.
            exact: All choices must be equal.

        Returns:
            Whether they agree and by how much, in JSON's types.

        Raises:
            CheckFailedError: They are not of one shape, or what stands around them differs: how text is read, and where
                writing ends.
        """
        import numpy as np

        self._check_borders(ours, theirs)
        rows = [_numbers(self.requests, answers) for answers in (ours, theirs)]
        for one, other in zip(*rows, strict=True):
            if one.shape != other.shape:
                raise CheckFailedError(
                    f"the export answers with numbers {list(other.shape)}, and {self.where} with {list(one.shape)}",
                    hint="nothing was exported; is it of another vocabulary, or of another head?",
                )
        numbers, others = (np.stack([row.ravel() for row in side]) for side in rows)
        difference = float(np.abs(others - numbers).max())
        # One number a text may be the same for all: its size is what its error is measured by.
        spread = float(np.sqrt(np.square(numbers).mean()) if self.head.answer == "number" else numbers.std())
        limit = tolerance(self.head.answer, spread)
        equal, total = self._equal_choices(ours, theirs)
        return {
            "passed": bool(difference <= limit and (equal == total or not exact)),
            "max_logit_difference": difference,
            "tolerance": limit,
            "logit_spread": spread,
            "equal_tokens": equal,
            "tokens": total,
            "prompts": len(numbers),
            "requests": dict(Counter(request.kind for request in self.requests)),
            "answer": self.head.answer,
            "chosen": self.head.chosen,
            "auto_class": self.head.auto_class,
        }

    def _check_borders(self, ours: Answers, theirs: Answers) -> None:
        if ours.read is not None and theirs.read is not None:
            for text, one, other in zip(TEXTS, ours.read, theirs.read, strict=True):
                if list(one) != list(other):
                    raise CheckFailedError(
                        f"the export reads text otherwise: {text!r} as the ids {_few(other)}, and {self.where} as"
                        f" {_few(one)}",
                        hint="nothing was exported; compare tokenizer.json and tokenizer_config.json",
                    )
        if self.head.answer == "tokens" and None not in (ours.ends, theirs.ends) and ours.ends != theirs.ends:
            raise CheckFailedError(
                f"the export stops writing at the ids {sorted(theirs.ends or ())}, and {self.where} at"
                f" {sorted(ours.ends or ())}",
                hint="nothing was exported; compare eos_token_id in generation_config.json",
            )

    def _finite(self, answers: Answers) -> Answers:
        import numpy as np

        if not all(np.isfinite(row).all() for row in _numbers(self.requests, answers)):
            raise NotFiniteError("a number is NaN or infinite")
        return answers

    def _equal_choices(self, ours: Answers, theirs: Answers) -> tuple[int, int]:
        """Return how many choices are equal, and how many there are."""
        several = self.config.problem_type == "multi_label_classification"
        equal = total = 0
        for asked, *given in zip(self.requests, ours.given, theirs.given, strict=True):
            chosen, others = (_choices(asked, one, self.head.answer, several=several) for one in given)
            equal += sum(map(operator.eq, chosen, others))
            total += len(chosen)
        return equal, total


def _random_rows(config: PreTrainedConfig, head: Head, rows: int, length: int, seed: int) -> NDArray[np.int64]:
    """Return random ids `[rows, length]`."""
    import numpy as np

    size, end = config.vocab_size, config.eos_token_id
    ids = np.random.Generator(np.random.PCG64(seed)).integers(0, size, (rows, length))
    if config.is_encoder_decoder and head.answer != "tokens" and isinstance(end, int):
        # Such a class reads the answer where the text ends, and refuses texts of different numbers of ends.
        ids[ids == end] = (end + 1) % size
        ids[:, -1] = end
    return ids


def _numbers(requests: Sequence[Request], answers: Answers) -> list[NDArray[np.float32]]:
    import numpy as np

    pairs = zip(requests, answers.given, strict=True)
    return [np.asarray(given, np.float32) for asked, given in pairs if isinstance(asked, Logits)]


def _choices(asked: Request, given: Any, answer: Answer, *, several: bool) -> list[Any]:
    """Return what was chosen in answer to a request.

    The tokens written, the likeliest token or label of every token, the label (one, or whether each is there), or where
    the span begins and ends; numbers and vectors leave nothing to choose.
    """
    import numpy as np

    if isinstance(asked, Generate):
        return list(given.ids or ())
    if not isinstance(asked, Logits) or answer not in ("token_labels", "label", "span"):
        return []
    numbers = np.atleast_2d(given)
    if answer == "token_labels":
        # Numbers of a second output, of another shape, stand behind those of the tokens.
        time = len(asked.ids)
        numbers = numbers.ravel()[: numbers.size // time * time].reshape(time, -1)
    chosen: list[Any] = (numbers[0] > 0 if several else numbers.argmax(-1)).tolist()
    return chosen


def _few(ids: Sequence[int]) -> str:
    return f"{list(ids[:8])}{'...' if len(ids) > 8 else ''}"
