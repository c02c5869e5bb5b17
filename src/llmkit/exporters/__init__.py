"""Family "exporter": what a model is written as, one module each, with the command that proves it answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.registry import Part

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


class Exporter(Part):
    """A format that some runtime loads."""

    def write(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
        """Write the model."""
        raise NotImplementedError

    def reload_command(self, directory: Path, probe: Path, answers: Path) -> list[str]:
        """Return the command that loads the export in a fresh process and answers the probe.

        Args:
            directory: The export.
            probe: `.npz` with `input_ids` `[prompts, time]`, `num_new_tokens` `[]`, `answer`, the kind of answer, and
                `auto_class`, the transformers class of the model.
            answers: `.npz` to be written, with `logits` and `tokens`: the numbers and the choices that `_probe.answer`
                returns.
        """
        raise NotImplementedError

    def tolerance(self, spread: float) -> float:
        """Return the largest difference of a logit that passes.

        Args:
            spread: Standard deviation of the logits; of a single number per text, their root mean square.
        """
        raise NotImplementedError
