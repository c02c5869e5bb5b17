"""Family "exporter": what a model is written as, one module each, with the runtime that proves it answers the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llmkit.core.inputs import Inputs
from llmkit.core.registry import Part
from llmkit.evaluation.limits import Form, Limits

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.probes import Probes
    from llmkit.modeling.heads import Answer, Head
    from llmkit.runtimes import Runtime

__all__ = ["Exporter", "Form", "Limits", "Served", "Usage"]


@dataclass(frozen=True)
class Usage:
    """What a model card says of loading an export.

    Attributes:
        library: The card's `library_name`, as the hub knows it.
        language: Of the code, for its block.
        code: Lines that load and use what is in "DIR".
    """

    library: str
    language: str
    code: str


@dataclass(frozen=True)
class Served:
    """What a server that comes with an export has answered.

    Attributes:
        facts: How many answers of a route were equal, by its name: `9 of 9`.
        failures: Sentences on what was otherwise.
    """

    facts: Mapping[str, str]
    failures: Sequence[str] = ()


class Exporter(Part):
    """A format that some runtime loads.

    Attributes:
        root: Folder of the export that `write` is given and the runtime loads; "" for the export itself.
        stops_early: What loads it ends writing at tokens of its own choice as well: ends that the model has not are
            noted, and do not fail the export. One that is missing always does.
    """

    root: ClassVar[str] = ""
    stops_early: ClassVar[bool] = False

    def check_installed(self) -> None:
        """Find out whether what writes it is there, without importing it.

        Raises:
            SetupError: Something is missing; the hint is what installs it.
        """

    def add_inputs(self, inputs: Inputs) -> None:
        """Add what is read beside the model, such as text to calibrate on: its digest is part of the identity."""

    def supports(self, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> str | None:  # noqa: ARG002
        """Return why a model cannot be written, to follow "does not write DIR: "; None if it can."""
        return None

    def write(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path
    ) -> Sequence[str] | None:
        """Write the model; every file in the directory is the export's.

        Args:
            model: In float32. Nothing asks it afterwards: it may be changed in place, which saves a copy.
            tokenizer: Its tokenizer.
            directory: Where to, `root` of the export. Of a model that gives vectors the files that say how lie in it
                (`pooling_of(directory)` reads them): a format that has no use for them removes them.

        Returns:
            Sentences on what was written otherwise than asked, "3 tensors are Q8_0: their rows do not divide by 256":
            they are printed, and stand in the receipt and on the card. None for nothing.

        Raises:
            DataError: The format has no place for what is in the model, which only its weights tell.
        """
        raise NotImplementedError

    def runtime(self) -> Runtime:
        """Return what loads the directory in a fresh process and answers as the model did, or there is no export."""
        raise NotImplementedError

    def readers(self) -> Sequence[Runtime]:
        """Return other runtimes that read text and render chats by code of their own, which has to give the same.

        They are asked for nothing else: `Running.read`, `Running.render` and `Facts.ends`. One that is not installed is
        left out, and the receipt says so.
        """
        return ()

    def rehearse(self, directory: Path, asked: Probes, answers: Answers) -> Served | None:  # noqa: ARG002
        """Start the server that comes with an export and compare what it answers; None of an export without one.

        Args:
            directory: The export, as a whole.
            asked: What its runtime was asked.
            answers: What that has answered, in a fresh process.

        Raises:
            CheckFailedError: It does not start.
        """
        return None

    def leaves_out(self, text: str, tokenizer: PreTrainedTokenizerFast) -> bool:  # noqa: ARG002
        """Tell whether the runtime is known to read a text otherwise, which a note of `write` says: it is not asked."""
        return False

    def usage(self, head: Head) -> Usage | None:  # noqa: ARG002
        """Return how the card says a model with a head is loaded; None for transformers."""
        return None

    def as_run(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:  # noqa: ARG002
        """Return within what a model that was written computes, in float32, as its runtime will; None if it does not.

        `write` has left the numbers in it that its files stand for then, and within the context what its layers read is
        rounded as the runtime rounds it. The model is asked once more, and the export has to answer as it does
        (`Limits.graph`): that tells a wrong graph from coarse weights.
        """
        return None

    def tolerance(self, answer: Answer, spread: float) -> float:
        """Return the largest difference of a number that passes: that of weights that are not rounded, by default.

        Args:
            answer: The model's kind of answer.
            spread: Standard deviation of its numbers; of an answer `number`, their root mean square.
        """
        return Limits.of("float32", answer, spread).difference or 0.0

    @property
    def exact(self) -> bool:
        """Whether everything that is chosen must be equal; rounded weights may turn a near tie, and all after it."""
        return True

    def limits(self, answer: Answer, spread: float, config: PreTrainedConfig) -> Limits:  # noqa: ARG002
        """Return what the export must hold; `Limits.of` has what is asked of a form of weights by default.

        Args:
            answer: The model's kind of answer.
            spread: Standard deviation of its numbers; of an answer `number`, their root mean square.
            config: The model's.
        """
        return Limits(difference=self.tolerance(answer, spread), exact=self.exact)
