"""What an engine is asked and what it gives: the contract between models and whatever is in front of them.

    engine = open_engine("model")
    for piece in engine.submit([{"role": "user", "content": "Hi"}], Sampling(max_tokens=64)):
        print(piece.text, end="")

A stream is read by a loop (`for`) or by a coroutine (`async for`); `cancel` ends it, and makes room for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from llmkit.core.errors import UserError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llmkit.runtimes import Ids, Request
    from llmkit.runtimes._bases import Bases
    from llmkit.serving.stream import Stream

Finish = Literal["stop", "length", "cancelled"]
Can = Literal["completions", "chat", "embeddings", "classify"]


class RefusedError(UserError):
    """A request asks for what the engine cannot do; `field` is where."""

    exit_code = 2

    def __init__(self, field: str, message: str, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.field = field


class BusyError(UserError):
    """The queue is full."""

    exit_code = 4


class EngineDiedError(UserError):
    """The engine has failed while it worked on a request; it starts again by itself."""

    exit_code = 4


@dataclass(frozen=True)
class Sampling:
    """How a text is written.

    Attributes:
        max_tokens: Most new tokens; None for as many as there are positions.
        temperature: 0 takes the likeliest token each time.
        top_p: Draw among the likeliest tokens that have so much of the probability together.
        top_k: Draw among so many; 0 for all.
        min_p: Draw among those with at least this share of the likeliest one's probability.
        seed: Of the draws; None for another each time. One seed gives one text, whatever the neighbours.
        stop: Texts that end it; they are not part of it.
        logprobs: Log-probabilities of so many likeliest tokens beside the one that was taken; None for no numbers.
        grammar: JSON schema that the text has to follow; True for any JSON object.
        frequency_penalty: Taken from a logit for each time that its token has been written.
        presence_penalty: Taken from a logit once its token has been written.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    grammar: Mapping[str, Any] | Literal[True] | None = field(default=None, hash=False)
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0


@dataclass(frozen=True)
class TokenChance:
    """A token and its natural log-probability under the model, before temperature and whatever else narrows the draw.

    Attributes:
        id: The token.
        bytes: What it stands for; none of a special one.
        logprob: Its own.
        top: The likeliest tokens at its place, by falling probability.
    """

    id: int
    bytes: bytes
    logprob: float
    top: tuple[TokenChance, ...] = ()


@dataclass(frozen=True)
class Usage:
    """Tokens of the prompt, and those that were written; the one that ended the text is counted."""

    prompt: int
    completion: int


@dataclass(frozen=True)
class Piece:
    """What a text has grown by; where its reader is slow, several steps are in one.

    Attributes:
        text: Without special tokens, stop texts and halves of characters.
        ids: The new tokens, without the one that ended the text. With stop texts they may be ahead of `text`.
        logprobs: Of these tokens, if they were asked for.
        finish: Why it has ended, in the last piece.
        usage: In the last piece.
    """

    text: str = ""
    ids: tuple[int, ...] = ()
    logprobs: tuple[TokenChance, ...] = ()
    finish: Finish | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class EngineFacts:
    """What an engine is.

    Attributes:
        where: The model's path.
        runtime: What runs it.
        can: What it may be asked for.
        positions: Longest text, prompt included, in tokens; None for no limit of its own.
        answer: Kind of its head's answer, see `runtimes.Facts`.
        labels: What it chooses from, if it classifies.
        versions: Of what runs it.
    """

    where: str
    runtime: str
    can: frozenset[Can]
    positions: int | None
    answer: str | None = None
    labels: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)


class Engine:
    """A model that several threads and coroutines may ask at once.

    Attributes:
        facts: What it is.
    """

    facts: EngineFacts

    @property
    def alive(self) -> bool:
        """Whether it works; False while it starts again after it has failed."""
        raise NotImplementedError

    @property
    def shared(self) -> str:
        """What it shares with other engines, as the end of a line for people; "" for nothing."""
        return ""

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] = ()) -> Ids:
        """Return the ids of a prompt: of turns by the model's chat template, as training and evaluation have it.

        Args:
            prompt: Ids, text, or turns (`role`, `content` and what else `data.chat` knows).
            tools: What the template is given as tools.

        Raises:
            RefusedError: The template refuses the turns, or the model has none.
        """
        raise NotImplementedError

    def submit(
        self, prompt: Prompt, sampling: Sampling | None = None, *, tools: Sequence[Mapping[str, Any]] = (),
        patience_s: float | None = None,
    ) -> Stream:  # fmt: skip
        """Begin a text; returns at once.

        Args:
            prompt: See `encode`.
            sampling: How it is written.
            tools: What the chat template is given as tools.
            patience_s: It ends with TimeoutError after so many seconds, wherever it is.

        Raises:
            RefusedError: It cannot be done, such as a prompt that is too long; nothing was begun.
            BusyError: The queue is full.
            EngineDiedError: The engine is starting again, or closed.
        """
        raise NotImplementedError

    def ask(self, request: Request) -> Future[Any]:
        """Ask for what is answered as a whole (`Embed`, `Label`): see `runtimes` for what comes.

        Raises:
            As `submit` does.
        """
        raise NotImplementedError

    def load(self) -> Mapping[str, float]:
        """Return what goes on, for metrics: `waiting`, `running`, `tokens` (written since the start), `steps`."""
        raise NotImplementedError

    def close(self) -> None:
        """End all streams and give the memory back."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


Prompt = Sequence[int] | str | Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class EngineSettings:
    """Bounds of an engine.

    Attributes:
        places: Texts that are written side by side, at most.
        queue: Requests that may wait, at most.
        cache_bytes: Memory for keys and values; None for a sixteenth of what the machine has.
        cache_share: Models that divide it, where nothing is said of it.
        cache: Number format of keys and values, of models in GGUF: float16, as llama.cpp's own programs have them;
            float32, as `eval` has them, is slower and rounds nothing.
        step_tokens: Tokens that are computed between two steps, at most: one of each text, and of prompts that are
            read meanwhile; None for 256, on a GPU 2,048.
        max_prompt: Tokens of a prompt, at most; None for what the model has positions for.
        max_output: New tokens of a text, at most, also where nothing is asked for.
    """

    places: int = 64
    queue: int = 256
    cache_bytes: int | None = None
    cache_share: int = 1
    cache: Literal["float16", "float32"] = "float16"
    step_tokens: int | None = None
    max_prompt: int | None = None
    max_output: int | None = None


def open_engine(
    where: str, *, runtime: str | None = None, settings: EngineSettings | None = None,
    say: Callable[[str], None] = lambda _: None, bases: Bases | None = None,
) -> Engine:  # fmt: skip
    """Load a model and start its engine.

    Args:
        where: A model directory, an export, or a GGUF file.
        runtime: Member of `runtimes`; by default what the files are for.
        settings: Bounds.
        say: Takes a line for people.
        bases: What models that are opened together share.

    Raises:
        ConfigError: There is no such runtime.
        DataError: There is no such model, or none for this runtime.
        SetupError: What the runtime needs is not installed.
    """
    from llmkit.serving.running import RunningEngine

    return RunningEngine(where, runtime, settings or EngineSettings(), say, bases)
