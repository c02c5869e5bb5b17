"""An engine of any loaded model: texts in its places, everything else in batches."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cached_property
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, UserError
from llmkit.serving.drawing import Draws
from llmkit.serving.engine import Can, Engine, EngineFacts, EngineSettings, Prompt, RefusedError, Sampling
from llmkit.serving.loading import load, runtime_for
from llmkit.serving.writing import Text, Writer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.runtimes import Ids, Request, Running
    from llmkit.runtimes._bases import Bases
    from llmkit.runtimes._places import Places
    from llmkit.serving.answering import Answerer
    from llmkit.serving.stream import Stream

LEAST_TOKENS = 4096
"""Positions that there is room for at least."""
MEMORY_SHARE, MOST_BYTES = 16, 4 << 30
"""Keys and values take a sixteenth of the memory, and no more than so many bytes, where nothing else is said."""


class RunningEngine(Engine):
    """See the base class.

    Args:
        where: The model.
        runtime: Member of `runtimes`.
        settings: Bounds.
        say: Takes a line for people.
        bases: What it may share its weights with.
    """

    def __init__(
        self,
        where: str,
        runtime: str | None,
        settings: EngineSettings,
        say: Callable[[str], None],
        bases: Bases | None = None,
    ) -> None:
        self.where, self.settings, self.bases = where, settings, bases
        self.runtime = runtime or runtime_for(where)
        self.running: Running = self._load()
        self.writer: Writer | None = None
        self.answerer: Answerer | None = None
        self._fresh = True
        if self.running.facts.answer == "tokens":
            self.writer = Writer(self._started, settings.queue, say, settings.step_tokens)
        else:
            from llmkit.serving.answering import Answerer

            self.answerer = Answerer(self.running, settings.queue)
        self.facts = self._facts()

    def __repr__(self) -> str:
        return f"RunningEngine({self.where!r}, {self.runtime!r})"

    @property
    def alive(self) -> bool:
        """Whether it works."""
        if self.writer is not None:
            return self.writer.alive
        return self.answerer is not None and self.answerer.alive

    def encode(self, prompt: Prompt, tools: Sequence[Mapping[str, Any]] = ()) -> Ids:
        """Return the ids of a prompt; see the base class."""
        if isinstance(prompt, str):
            if self.two_sided and self.running.facts.asked_by:
                prompt = self.running.facts.asked_by.replace("{source}", prompt)
            return tuple(self._tokenizer(prompt, verbose=False)["input_ids"])
        if not prompt or isinstance(prompt[0], int):
            return self._known(tuple(prompt))  # type: ignore[arg-type]
        from llmkit.data.rendering import encode_prompt

        if not self._tokenizer.chat_template:
            raise RefusedError("messages", "the model has no chat template", "ask it under /v1/completions")
        turns = [dict(turn) for turn in prompt]  # type: ignore[arg-type]
        if tools and turns:
            turns[0]["tools"] = [dict(tool) for tool in tools]
        try:
            return tuple(encode_prompt(self._tokenizer, turns))
        except UserError as error:
            raise RefusedError("messages", error.message, error.hint) from error

    def submit(
        self, prompt: Prompt, sampling: Sampling | None = None, *, tools: Sequence[Mapping[str, Any]] = (),
        patience_s: float | None = None,
    ) -> Stream:  # fmt: skip
        """Begin a text; see the base class."""
        (stream,) = self.submit_all([(self.encode(prompt, tools), sampling or Sampling())], patience_s=patience_s)
        return stream

    def submit_all(self, asked: Sequence[tuple[Ids, Sampling]], *, patience_s: float | None = None) -> list[Stream]:
        """Begin several texts, all or none; see `submit`.

        Args:
            asked: The ids of each prompt, and how it is continued.
            patience_s: See `submit`.
        """
        if self.writer is None:
            raise RefusedError("model", f"the model '{self.where}' does not write texts")
        deadline = None if patience_s is None else time.monotonic() + patience_s
        return self.writer.submit([self._text(ids, sampling, deadline) for ids, sampling in asked])

    def ask(self, request: Request) -> Future[Any]:
        """Ask for what is answered as a whole; see the base class."""
        (found,) = self.ask_all([request])
        return found

    def ask_all(self, requests: Sequence[Request]) -> list[Future[Any]]:
        """Ask for several of one kind, all or none; see `ask`."""
        if self.answerer is None:
            raise RefusedError("model", f"the model '{self.where}' writes texts, and gives nothing else")
        if words := self.running.takes(requests[0]):
            raise RefusedError("model", f"the model '{self.where}' does not answer this: {words}")
        return self.answerer.ask(requests)

    def load(self) -> Mapping[str, float]:
        """Return what goes on."""
        worker = self.writer or self.answerer
        assert worker is not None
        return worker.load()

    def close(self) -> None:
        """End all streams and give the memory back."""
        for worker in (self.writer, self.answerer):
            if worker is not None:
                worker.close()
        self.running.close()

    @property
    def two_sided(self) -> bool:
        """Whether an encoder reads the prompt."""
        return self.running.facts.two_sided

    @cached_property
    def dimensions(self) -> tuple[int, ...]:
        """Lengths of vectors that the model was trained for, beside the whole; none if it was trained for no other."""
        from pathlib import Path

        from llmkit.core.manifest import read_manifest

        manifest = read_manifest(Path(self.where)) if Path(self.where).is_dir() else None
        objective = {} if manifest is None else manifest.config.get("objective")
        return tuple(objective.get("dimensions") or ()) if isinstance(objective, dict) else ()

    @cached_property
    def positions(self) -> int | None:
        """Longest text, prompt included."""
        return self.running.facts.positions

    def _known(self, ids: Ids) -> Ids:
        """Return ids, all of which the model has.

        Raises:
            RefusedError: One is none.
        """
        size = len(self._tokenizer)
        if wrong := next((i for i in ids if not 0 <= i < size), None):
            raise RefusedError("prompt", f"{wrong} is no token of the model, which has {size:,}")
        return ids

    def _text(self, ids: Ids, sampling: Sampling, deadline: float | None) -> Text:
        ends = frozenset(self.running.facts.ends or ()) | self._end_tokens(sampling.stop)
        grammar = None
        if sampling.grammar is not None:
            from llmkit.serving.grammar import Grammar

            grammar = Grammar.of(self._grammars, sampling.grammar)
        seed = secrets.randbits(63) if sampling.seed is None else sampling.seed
        return Text(
            ids, sampling, self._length(ids, sampling), ends, self.running.speller(),
            Draws(sampling, seed), grammar, deadline,
        )  # fmt: skip

    def _length(self, ids: Ids, sampling: Sampling) -> int:
        """Return the tokens of a text at most.

        Raises:
            RefusedError: There are not as many.
        """
        assert self.writer is not None
        size, room = len(ids), self.writer.places.longest
        if not size:
            raise RefusedError("prompt", "the prompt has no tokens")
        limit = self.positions if self.positions is not None and not self.two_sided else None
        most = min(room, limit or room)
        told = self.settings.max_prompt
        if size > (most - 1 if told is None else min(told, most - 1)):
            what = "the limit of this server" if told is not None and told < most - 1 else "what the model has room for"
            raise RefusedError("prompt", f"the prompt is {size} tokens long, more than {what}: "
                               f"{min(told or most - 1, most - 1)} and one to write")  # fmt: skip
        new, top = sampling.max_tokens, self.settings.max_output
        if new is not None and top is not None and new > top:
            raise RefusedError("max_tokens", f"{new} tokens are more than this server writes: {top}")
        if new is not None and size + new > most:
            raise RefusedError(
                "max_tokens", f"the prompt has {size} tokens, and {new} more are {size + new}: there is room for {most}"
            )
        return min(most, size + (new if new is not None else top if top is not None else most))

    def _end_tokens(self, stop: Sequence[str]) -> frozenset[int]:
        """Return the special tokens among stop texts: they are never shown, and would not be found in a text."""
        return frozenset(i for text in stop if (i := self._special.get(text)) is not None)

    @cached_property
    def _special(self) -> Mapping[str, int]:
        return {token.content: i for i, token in self._tokenizer.added_tokens_decoder.items() if token.special}

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerFast:
        assert self.running.tokenizer is not None
        return self.running.tokenizer

    @cached_property
    def _grammars(self) -> Any:
        from llmkit.serving.grammar import Grammars

        return Grammars(self.running)

    def _facts(self) -> EngineFacts:
        facts = self.running.facts
        can: set[Can] = set()
        if self.writer is not None:
            can.add("completions")
            if self._tokenizer.chat_template and not facts.two_sided:
                can.add("chat")
        elif facts.answer == "vector":
            can.add("embeddings")
        elif facts.answer in ("label", "number"):
            can.add("classify")
        return EngineFacts(
            self.where, self.runtime, frozenset(can), self.positions, facts.answer, facts.labels, facts.versions
        )

    def _places(self) -> Places:
        """Return new places.

        Raises:
            ConfigError: The runtime writes whole texts alone.
        """
        from llmkit.core.doctor import memory_limit

        most = self.settings.places
        cache = (
            self.settings.cache_bytes or min(memory_limit() // MEMORY_SHARE, MOST_BYTES) // self.settings.cache_share
        )
        tokens = max(LEAST_TOKENS, cache // max(1, self.running.token_bytes()))
        if self.positions is not None:
            tokens = min(tokens, most * self.positions)
        found = self.running.places(most, tokens)
        if found is None:
            raise ConfigError(
                f"the runtime {self.runtime} does not write texts side by side", "--runtime transformers, or llama_cpp"
            )
        return found

    def _started(self) -> Places:
        """Return new places; from the second time on, of a model that is loaded anew."""
        if not self._fresh:
            self.running.close()
            self.running = self._load()
        self._fresh = False
        return self._places()

    def _load(self) -> Running:
        """Return the model, on a base that others stand on if there is one."""
        shared = self.bases.load(self.where) if self.bases is not None and self.runtime == "transformers" else None
        return shared or load(self.where, self.runtime, self.settings.cache)

    @property
    def shared(self) -> str:
        """What it shares, for people; "" for nothing."""
        own = None if self.bases is None else self.bases.own_bytes(self.running)
        return "" if own is None else f"; {own / 1e6:,.1f} MB of its own, the other weights are in memory once"
