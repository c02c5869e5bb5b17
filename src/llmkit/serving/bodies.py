"""What requests are made of, by OpenAI's names; a field that is not here is refused by its name, never passed over.

A null is as good as nothing, for any field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmkit.serving.engine import RefusedError, Sampling

MOST_CHOICES = 16
MOST_LOGPROBS = 20
Stop = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=16)] | Annotated[str, Field(min_length=1)]


class Body(BaseModel):
    """Base of all bodies."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class StreamOptions(Body):
    """What a stream has beside its text."""

    include_usage: bool = False
    """Send the numbers of tokens in a last chunk."""


class JsonSchema(Body):
    """A schema that the text follows."""

    name: str = ""
    description: str | None = None
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None
    """Taken as true: what cannot be enforced is refused."""


class ResponseFormat(Body):
    """How the text is written."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Written(Body):
    """Fields of whatever is written."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    """Most new tokens."""
    temperature: float = Field(1.0, ge=0, le=10)
    """0 takes the likeliest token each time."""
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    """Draw among so many tokens; 0 for all."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Draw among tokens with at least this share of the likeliest one's probability."""
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stop: Stop | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    user: str | None = None
    """Taken from clients that always send it; nothing depends on it."""

    def stops(self) -> tuple[str, ...]:
        """Return the stop texts."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    def grammar(self) -> Any:
        """Return what the text has to follow.

        Raises:
            RefusedError: A schema is promised and not there.
        """
        told = self.response_format
        if told is None or told.type == "text":
            return None
        if told.type == "json_object":
            return True
        if told.json_schema is None:
            raise RefusedError("response_format.json_schema", "the schema is missing")
        return told.json_schema.schema_

    def sampling(self, max_tokens: int | None, logprobs: int | None, choice: int) -> Sampling:
        """Return how one of the choices is written.

        Raises:
            RefusedError: Fields contradict each other.
        """
        if self.stream_options is not None and not self.stream:
            raise RefusedError("stream_options", "it needs stream: true")
        seed = None if self.seed is None else (self.seed + choice) % 2**63
        return Sampling(
            max_tokens, self.temperature, self.top_p, self.top_k, self.min_p, seed, self.stops(), logprobs,
            self.grammar(), self.frequency_penalty, self.presence_penalty,
        )  # fmt: skip


class ChatBody(Written):
    """A conversation to go on with."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    """Role and content, or calls of tools and their results."""
    max_completion_tokens: int | None = Field(None, ge=1)
    """The newer name of `max_tokens`."""
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)
    tools: list[dict[str, Any]] | None = None
    """Given to the chat template; what the model makes of them is text."""
    tool_choice: Literal["auto", "none"] | None = None
    """`none` hides the tools from the template."""

    def numbers(self) -> tuple[int | None, int | None]:
        """Return the most tokens, and the number of log-probabilities.

        Raises:
            RefusedError: Fields contradict each other.
        """
        both = self.max_tokens, self.max_completion_tokens
        if None not in both and both[0] != both[1]:
            raise RefusedError("max_tokens", "it says another number than max_completion_tokens")
        if self.top_logprobs is not None and not self.logprobs:
            raise RefusedError("top_logprobs", "it needs logprobs: true")
        most = self.max_completion_tokens if self.max_tokens is None else self.max_tokens
        return most, (self.top_logprobs or 0) if self.logprobs else None


class CompletionBody(Written):
    """Texts to go on with; for an encoder-decoder, texts to make another of."""

    prompt: str | list[str] | list[int] | list[list[int]]
    """A text, or the ids of its tokens, or several of either."""
    logprobs: int | None = Field(None, ge=0, le=MOST_LOGPROBS)

    def prompts(self) -> list[str | list[int]]:
        """Return them one by one.

        Raises:
            RefusedError: There are none.
        """
        if isinstance(self.prompt, str):
            return [self.prompt]
        if not self.prompt:
            raise RefusedError("prompt", "it is empty")
        return [self.prompt] if isinstance(self.prompt[0], int) else list(self.prompt)


class EmbeddingBody(Body):
    """Texts to make vectors of."""

    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1)
    """First numbers of each vector, made one long again; of models that were trained for it."""
    input_type: Literal["query", "document"] | None = None
    """What is put before a text, where the model makes a difference."""
    user: str | None = None
    """See the other bodies."""


class Pair(Body):
    """Two texts that are judged together."""

    text: str
    pair: str | None = None


class ClassifyBody(Body):
    """Texts to label or to rate."""

    model: str
    input: str | list[str | Pair]


class VoteBody(Body):
    """A judgement of an answer: a row of preferences, or of feedback."""

    prompt: list[dict[str, Any]] = Field(min_length=1)
    chosen: list[dict[str, Any]] | None = None
    rejected: list[dict[str, Any]] | None = None
    completion: list[dict[str, Any]] | None = None
    label: bool | None = None
    model: str | None = None
