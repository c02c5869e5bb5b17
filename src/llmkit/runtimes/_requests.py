"""What a model can be asked, and what is answered: the only words that tasks, parity and runtimes share.

Requests are frozen and equal by value: what was asked before, in this run or in an interrupted one, is not asked again.
Any may carry non-text inputs, by the names that the model takes (`pixel_values`), without a batch dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from llmkit.modeling.companions import Models
    from llmkit.modeling.head_loss import Judged

Ids = tuple[int, ...]
Turns = tuple[Mapping[str, Any], ...]
"""A conversation, as chat templates take it."""


@dataclass(frozen=True)
class Request:
    """Base of all kinds.

    Attributes:
        kind: What it is called in errors and receipts.
        inputs: What the model is given beside text.
    """

    kind: ClassVar[str] = ""
    inputs: Mapping[str, Any] = field(default_factory=dict, kw_only=True, hash=False)


@dataclass(frozen=True)
class Logits(Request):
    """All numbers that a model gives for a row, whatever its head; float32, without the batch dimension.

    Of several outputs (a span's start and end) the first axis is the output: `[2, time]`. An encoder-decoder that
    writes reads the row on both sides.
    """

    kind: ClassVar[str] = "logits"
    ids: Ids


@dataclass(frozen=True)
class Score(Request):
    """The log-probability of `target` behind `context`, in nats: a float.

    Neither is empty, and both together fit into positions + 1.
    """

    kind: ClassVar[str] = "score"
    context: Ids
    target: Ids


@dataclass(frozen=True)
class ScoreParts(Score):
    """The same, part by part of the target, float64 `[parts]`: what each stretch of a window adds to a score.

    Attributes:
        parts: Tokens of each, one or more; together they are the target.
    """

    kind: ClassVar[str] = "score parts"
    parts: Ids


@dataclass(frozen=True)
class Fill(Request):
    """The log-probability of `target` at `places` of a row that is read from both sides, in nats: a float.

    Attributes:
        ids: The row, special tokens and masks included.
        places: Where in the row the targets belong.
        target: One token for each place; each is predicted without the others.
    """

    kind: ClassVar[str] = "fill"
    ids: Ids
    places: Ids
    target: Ids


class Judge(Protocol):
    """What a model is trained to do, as far as a runtime has to know it: an objective over documents."""

    @property
    def type_name(self) -> str:
        """What it is called."""

    @property
    def head(self) -> str:
        """Name of the head of its models."""

    def judge(self, models: Models, batch: Mapping[str, torch.Tensor]) -> Mapping[str, Judged]:
        """Return what the parts of the loss are made of."""

    def loss(self, models: Models, batch: Mapping[str, torch.Tensor]) -> Mapping[str, tuple[torch.Tensor, float]]:
        """Return the sum of each part of the loss, and its weight."""

    def spec(self, *, mode: str = "python", identity: bool = False) -> dict[str, Any]:
        """Return what tells it from all others."""


@dataclass(frozen=True)
class Losses(Request):
    """What an objective of training says of a block: `LossesFound`. The block's tensors are the `inputs`.

    Attributes:
        judge: The objective; None asks whether the runtime could answer any.
        targets: How many each part of the loss has, by name.
    """

    kind: ClassVar[str] = "losses"
    judge: Judge | None
    targets: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True)
class LossesFound:
    """Sums over the targets of a block, for each part of a loss, in the order of their names.

    Attributes:
        parts: The names.
        nats: Of the losses.
        hits: How many targets are what the model holds for the likeliest; None where there is no such thing.
        weights: Of the parts, outside of training.
    """

    parts: tuple[str, ...]
    nats: tuple[float, ...]
    hits: tuple[int | None, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Generate(Request):
    """A continuation: `Written`.

    Attributes:
        prompt: Ids or, for runtimes that have no tokenizer here, the turns of a conversation.
        budget: Most new tokens.
        stop: Texts that end it; they are not part of the answer. The model's own ends always hold.
        temperature: 0 takes the likeliest token each time.
        seed: Of the draws; each request has its own, whatever its neighbours.
        exact: Write exactly `budget` tokens, whatever they are: for comparing runtimes.
        top_p: Only the likeliest tokens are drawn that have this share of the probability together; 1 for all.
        top_k: Only so many of the likeliest are drawn; 0 for all.
        min_p: Only tokens are drawn that are at least this share as likely as the likeliest; 0 for all.
    """

    kind: ClassVar[str] = "generate"
    prompt: Ids | Turns
    budget: int
    stop: tuple[str, ...] = ()
    temperature: float = 0.0
    seed: int = 0
    exact: bool = False
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0


@dataclass(frozen=True)
class Written:
    """What was generated.

    Attributes:
        ids: New tokens, without the one that ended it; None where the runtime only gives text.
        text: The same as text, special tokens skipped.
        ended: By an end token or stop text, not by the budget.
    """

    ids: Ids | None
    text: str
    ended: bool


@dataclass(frozen=True)
class Label(Request):
    """The outputs of a head over whole texts, float32 `[labels]`: logits, or the numbers of a regression."""

    kind: ClassVar[str] = "label"
    text: str
    pair: str | None = None


@dataclass(frozen=True)
class Tags(Request):
    """Labels of the tokens of a text: `TagsFound`.

    Attributes:
        text: The text.
        words: Its words, where it is read word by word, as tagging is trained; empty: as the tokenizer cuts it.
    """

    kind: ClassVar[str] = "tags"
    text: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class TagsFound:
    """What was found.

    Attributes:
        offsets: First character and the one behind the last, of each token, int64 `[tokens, 2]`.
        logits: float32 `[tokens, labels]`.
        words: Which word each token is a part of, int64 `[tokens]`: of those that were given, whose characters the
            offsets then are, or of the text, as the tokenizer cuts it.
    """

    offsets: NDArray[np.int64]
    logits: NDArray[np.float32]
    words: NDArray[np.int64]


@dataclass(frozen=True)
class Span(Request):
    """Where in a text the answer to a question is: `SpanFound`."""

    kind: ClassVar[str] = "span"
    question: str
    text: str


@dataclass(frozen=True)
class SpanFound:
    """What was found.

    Attributes:
        start: First character of the best span; equal to `end` where there is no answer.
        end: The one behind the last.
        score: Sum of its two logits.
        none: The same of "no answer".
        threshold: What the model says of how far above `score` that has to be; None if there is always an answer.
    """

    start: int
    end: int
    score: float
    none: float
    threshold: float | None = 0.0


@dataclass(frozen=True)
class Embed(Request):
    """A vector for a text, float32 `[dimensions]`.

    Attributes:
        text: The text.
        prompt: What is put before it; None: what the model's files say of every text.
    """

    kind: ClassVar[str] = "embed"
    text: str
    prompt: str | None = None
