"""Family "runtime": what runs a model, one module each. It loads a directory or a URL and answers typed requests.

The same loaded object serves evaluation, the parity of an export, samples in training, and whatever else asks a model.
Batching to a token budget, halving when memory ends and keeping answers on disk are the engine's work
(`evaluation/engine.py`); sharing computation within the batch that it is given is the runtime's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llmkit.core.inputs import Inputs
from llmkit.core.registry import Part
from llmkit.data.artifacts import Model
from llmkit.runtimes._requests import (
    Embed,
    Fill,
    Generate,
    Ids,
    Label,
    Logits,
    Losses,
    LossesFound,
    Request,
    Score,
    ScoreParts,
    Span,
    SpanFound,
    Tags,
    TagsFound,
    Turns,
    Written,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.runtimes._places import Places, Speller

__all__ = [
    "Embed", "Facts", "Fill", "Generate", "Ids", "Label", "Logits", "Losses", "LossesFound", "Request", "Running",
    "Runtime", "Score", "ScoreParts", "Span", "SpanFound", "Tags", "TagsFound", "Turns", "Written", "is_address",
]  # fmt: skip

BATCH_TOKENS = 8192
"""What a GPU needs to be busy."""


@dataclass(frozen=True)
class Facts:
    """What a loaded model is, as far as requests depend on it.

    Attributes:
        answer: The kind of its head's answer: tokens, token_labels, label, number, span, vector; None if unknown.
        positions: Longest row it takes, in tokens; None if unknown.
        start: The id that a text is scored from: BOS, else EOS; None without a tokenizer.
        two_sided: A prompt is read whole by an encoder, with the special tokens that its tokenizer puts around a text.
        asked_by: How it was trained to be asked for a text to be made of another, `translate: {source}`; None if its
            config does not say.
        labels: Names of what it chooses from, in the order of its outputs.
        several: Each label is there or not, rather than one of all.
        prompts: What is put before a text that is searched with, `query`, one that is searched, `document`, and any
            other one, `` (the empty name); nothing for a model that gives no vectors.
        ends: Ids at which it stops writing; None if unknown.
        versions: Of what runs it, for receipts: `{"torch": "2.13.0"}`.
    """

    answer: str | None = None
    positions: int | None = None
    start: int | None = None
    two_sided: bool = False
    asked_by: str | None = None
    labels: tuple[str, ...] = ()
    several: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    ends: frozenset[int] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


ADDRESS = re.compile(r"https?://(?!huggingface\.co/)", re.IGNORECASE)
"""A model on the hub is no server: it is downloaded."""


def is_address(where: str) -> bool:
    """Tell whether a model is behind a URL."""
    return ADDRESS.match(where) is not None


class Runtime(Part):
    """How a model is run; its fields are what a recipe can set.

    Attributes:
        remote: `where` is a URL, not a directory.
        note: What a result says of every model that it runs; "" for nothing.
    """

    remote: ClassVar[bool] = False
    note: ClassVar[str] = ""

    def add_input(self, inputs: Inputs, where: str, role: str) -> None:
        """Add a model, and what else is read to run it, to the inputs of a run.

        Raises:
            DataError: There is none.
        """
        inputs.add_directory(where, Model.KINDS, role=role)

    def directory(self, where: str) -> Path | None:
        """Return where a model's tokenizer and its chat templates are; None if they are not here."""
        from llmkit.modeling.gguf import model_directory

        return model_directory(where)

    def check_installed(self) -> None:
        """Find out whether what it needs is there, without importing it: an export asks before it writes anything.

        Raises:
            SetupError: Something is missing; the hint is what installs it.
        """

    def load(self, where: str, *, date: str | None = None) -> Running:
        """Load a model, ready to answer.

        Args:
            where: A directory or a URL.
            date: What its chat template takes for today, if training has recorded nothing.

        Raises:
            DataError: There is no such model, or it is damaged or not for this runtime.
            SetupError: What the runtime needs is not installed.
        """
        raise NotImplementedError


class Running:
    """A loaded model that answers requests.

    Attributes:
        facts: What it is.
        tokenizer: Its tokenizer; None where only the other side of a URL has one.
        shares_prefixes: Scores in one batch whose contexts begin alike cost that beginning once.
        gives_parts: It answers `ScoreParts`; one that does not is asked for whole scores.
        where: The directory that it came from; "" of one that came from nowhere on this machine.
    """

    facts: Facts
    tokenizer: PreTrainedTokenizerFast | None = None
    shares_prefixes: bool = False
    gives_parts: bool = False
    where: str = ""

    def takes(self, request: Request) -> str | None:
        """Return why a request cannot be answered; None if it can. A second line, if any, says what to do instead."""
        raise NotImplementedError

    def tokens(self, request: Request) -> int:
        """Return the positions that a request takes up in a batch, what is to be written included."""
        raise NotImplementedError

    def cuts(self, request: Request) -> bool:  # noqa: ARG002 - what would be too long is not asked, of most kinds
        """Tell whether a text is longer than what is read of it, and its end without a part in the answer."""
        return False

    def batch_tokens(self, kind: type[Request]) -> int:  # noqa: ARG002 - the same for all kinds, for most
        """Return how many padded tokens of a kind are best computed together."""
        return BATCH_TOKENS

    def lanes(self, kind: type[Request]) -> int:  # noqa: ARG002 - most use the whole machine for one
        """Return how many batches of a kind are best answered at a time; `answer` is called by so many threads then."""
        return 1

    def alone(self, kind: type[Request]) -> str:  # noqa: ARG002 - most runtimes have nothing to say
        """Return why requests of a kind are run one by one, where neighbours would change the answer; else ""."""
        return ""

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers to requests of one kind, computed together, in their order; see the kinds for each.

        Raises:
            NotFiniteError: An answer is no number.
            MemoryError, torch.OutOfMemoryError: They are too many at once; the engine asks for fewer.
        """
        raise NotImplementedError

    def stream(self, requests: Sequence[Request]) -> Iterator[list[tuple[int, Any]]]:
        """Yield the answers to requests of one kind as they come, each with the number of its request.

        Raises:
            As `answer` does; what has been yielded is not asked again.
        """
        yield list(enumerate(self.answer(requests)))

    def places(self, most: int, tokens: int) -> Places | None:  # noqa: ARG002 - most answer as a whole
        """Return places in which texts are written token by token; None if it only writes whole answers.

        Args:
            most: Texts at once.
            tokens: Positions of all of them together.

        Raises:
            MemoryError: There is not as much.
        """
        return None

    def token_bytes(self) -> int:
        """Return the bytes that keys and values of a token take up in places."""
        raise NotImplementedError

    def speller(self) -> Speller:
        """Return what makes text of the tokens that are written in places."""
        raise NotImplementedError

    def read(self, text: str) -> Sequence[int] | None:
        """Return the ids of a text by the tokenizer that the runtime itself has; None if it has none.

        As tokenizers of transformers are called: special tokens are known by their texts, and those that belong around
        a text are put there.
        """
        return None if self.tokenizer is None else list(self.tokenizer(text, verbose=False)["input_ids"])

    def render(self, turns: Turns, *, prompt: bool) -> str | None:
        """Return a conversation as the engine that the runtime itself has renders its chat template.

        Args:
            turns: Messages with `role` and `content`.
            prompt: The beginning of an answer is added (`add_generation_prompt`).

        Returns:
            The text; None if the runtime has no engine, or the model no template.

        Raises:
            Exception: The template refuses the conversation.
        """
        if self.tokenizer is None or not self.tokenizer.chat_template:
            return None
        return str(self.tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=prompt))

    def conditions(self) -> Mapping[str, Any]:
        """Return what its speed rests on, for receipts: device, threads, number format, versions."""
        return self.facts.versions

    def peak_bytes(self) -> int | None:
        """Return the most memory that it has held since the last call, where it computes; None if that is elsewhere."""
        return None

    def close(self) -> None:
        """Give back what was taken: memory, a process, a connection."""
