"""Family "exporter": what a model is written as, one module each, with the runtime that proves it answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.registry import Part

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Answer
    from llmkit.runtimes import Runtime


class Exporter(Part):
    """A format that some runtime loads."""

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:  # noqa: ARG002
        """Return why a model cannot be written, to follow "does not write DIR: "; None if it can."""
        return None

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
        """Write the model; every file in the directory is the export's.

        Args:
            model: In float32. Nothing asks it afterwards: it may be changed in place, which saves a copy.
            tokenizer: Its tokenizer.
            directory: Where to.
        """
        raise NotImplementedError

    def runtime(self) -> Runtime:
        """Return what loads the directory in a fresh process and answers as the model did, or there is no export."""
        raise NotImplementedError

    def tolerance(self, answer: Answer, spread: float) -> float:
        """Return the largest difference of a number that passes.

        Args:
            answer: The model's kind of answer.
            spread: Standard deviation of its numbers; of an answer `number`, their root mean square.
        """
        raise NotImplementedError

    @property
    def exact(self) -> bool:
        """Whether everything that is chosen must be equal; rounded weights may turn a near tie, and all after it."""
        return True
