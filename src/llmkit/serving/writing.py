"""Texts that are written side by side by one thread: who waits, who has a place, and what each is told of a step."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from typing import TYPE_CHECKING

import numpy as np

from llmkit.core.errors import DataError
from llmkit.serving.drawing import Draws, chances_of
from llmkit.serving.engine import BusyError, EngineDiedError, Finish, Piece, Sampling, TokenChance, Usage
from llmkit.serving.stopping import Stops
from llmkit.serving.stream import Stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes import Ids
    from llmkit.runtimes._places import Places, Speller
    from llmkit.serving.grammar import Grammar

PROMPT_TOKENS = 1024
"""Tokens of prompts that are read at a time while nothing is written."""
LONGEST_PAUSE_S = 60.0
"""Between two attempts to start again."""


@dataclass
class Text:
    """A text that is asked for.

    Attributes:
        prompt: Its ids.
        sampling: How it is written.
        length: Tokens that it will have at most, the prompt included.
        ends: Ids that end it.
        speller: Makes text of its tokens.
        draws: Chooses its tokens.
        grammar: What it has to follow.
        deadline: `time.monotonic()` at which it ends.
    """

    prompt: Ids
    sampling: Sampling
    length: int
    ends: frozenset[int]
    speller: Speller
    draws: Draws
    grammar: Grammar | None = None
    deadline: float | None = None
    count: int = 0
    newest: int = -1
    stream: Stream = field(init=False)

    def __post_init__(self) -> None:
        """Look out for its stop texts."""
        self.stops = Stops(self.sampling.stop)

    @property
    def is_plain(self) -> bool:
        """Whether its next token is the likeliest one, whatever that is."""
        return self.draws.is_plain and self.grammar is None

    def choose(self, logits: NDArray[np.float32]) -> int:
        """Return its next token.

        Raises:
            DataError: Its grammar does not go on.
        """
        if self.grammar is None:
            return self.draws.choose(logits)
        token = self.draws.choose(logits, self.grammar.allowed(len(logits)))
        self.grammar.add(token)
        return token

    def add(self, token: int, logits: NDArray[np.float32]) -> Finish | None:
        """Take the next token in, tell the reader, and return why it is the last, if it is."""
        self.newest, self.count = token, self.count + 1
        if token in self.ends:
            return self._end("stop", self.speller.rest())
        numbers: tuple[TokenChance, ...] = ()
        if self.sampling.logprobs is not None:
            numbers = (chances_of(logits, token, self.sampling.logprobs, self.speller.spelled),)
        text, stopped = self.stops.add(self.speller.add(token))
        full = len(self.prompt) + self.count >= self.length
        written = self.grammar is not None and self.grammar.over
        if not stopped and not full and not written:
            self.stream.put(Piece(text, (token,), numbers))
            return None
        self.stream.put(Piece(text, (token,), numbers))
        return self._end("stop" if stopped or written else "length", "" if stopped else self.speller.rest())

    def _end(self, finish: Finish, rest: str) -> Finish:
        text, stopped = self.stops.add(rest)
        text += "" if stopped else self.stops.rest()
        self.stream.put(Piece(text, finish="stop" if stopped else finish, usage=self.usage))
        return finish

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return Usage(len(self.prompt), self.count)


class Writer:
    """A thread that writes texts, and starts again when it fails.

    Args:
        places: Makes the places, and loads the model anew if it is called again.
        queue: Texts that may wait.
        say: Takes a line for people.
        step_tokens: Tokens that are computed between two steps, at most; None for what the places say.
    """

    def __init__(
        self, places: Callable[[], Places], queue: int, say: Callable[[str], None], step_tokens: int | None = None
    ) -> None:
        self._make, self._queue, self._say, self._step_tokens = places, queue, say, step_tokens
        self.places = places()
        self.alive, self.tokens, self.prompt_tokens, self.steps, self.deaths = True, 0, 0, 0, 0
        self._change = Condition()
        self._waiting: deque[tuple[int, Text]] = deque()
        self._running: dict[int, Text] = {}
        self._gone: set[int] = set()
        self._closed = False
        self._next = 0
        self._thread = Thread(target=self._work, name="llmkit-writer", daemon=True)
        self._thread.start()

    def submit(self, texts: Sequence[Text]) -> list[Stream]:
        """Begin texts that belong together: all of them are taken, or none.

        Raises:
            BusyError: The queue is full.
            EngineDiedError: It does not work at the moment.
        """
        with self._change:
            if not self.alive or self._closed:
                raise EngineDiedError("the engine is starting again" if not self._closed else "the engine is closed")
            if len(self._waiting) + len(texts) > self._queue:
                raise BusyError(f"{len(self._waiting)} requests are waiting already, of {self._queue} that may")
            for text in texts:
                number, self._next = self._next, self._next + 1
                text.stream = Stream(number, partial(self._cancel, number))
                self._waiting.append((number, text))
            self._change.notify_all()
        return [text.stream for text in texts]

    def load(self) -> dict[str, float]:
        """Return how much there is to do, and what has been done."""
        return {
            "waiting": len(self._waiting), "running": len(self._running), "tokens": self.tokens,
            "prompt_tokens": self.prompt_tokens, "steps": self.steps, "deaths": self.deaths,
        }  # fmt: skip

    def close(self) -> None:
        """End all texts and give the places back."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join()

    def _cancel(self, number: int) -> None:
        with self._change:
            self._gone.add(number)
            self._change.notify_all()

    def _work(self) -> None:
        while not self._closed:
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next requests are to be answered
                self._start_again(error)
        self._fail_all(EngineDiedError("the engine is closed"))
        self.places.close()

    def _round(self) -> None:
        with self._change:
            self._change.wait_for(lambda: self._closed or self._waiting or self._running or self._gone)
            if self._closed:
                return
            self._let_go()
            new = self._admitted()
        if new:
            texts = [text for _, text in new]
            self.prompt_tokens += sum(len(text.prompt) for text in texts)
            self.places.begin(
                [number for number, _ in new], [text.prompt for text in texts], [text.length for text in texts]
            )
        if self.places.reading:
            self._choose(*self.places.read(self._prompt_tokens()))
        if self.places.taken:
            keys = [*self.places.taken]
            logits = self.places.step([self._running[key].newest for key in keys])
            self.steps += 1
            self._choose(keys, logits)

    def _prompt_tokens(self) -> int:
        """Return how many tokens of prompts are read before the next step: each text's own token counts, too."""
        if not self.places.taken:
            return PROMPT_TOKENS
        most = self._step_tokens or self.places.step_tokens
        return max(most - len(self.places.taken), most // 2, 1)

    def _let_go(self) -> None:
        """Drop what was cancelled, and what has taken too long."""
        now = time.monotonic()
        for number, text in [*self._waiting, *self._running.items()]:
            if text.deadline is not None and now > text.deadline:
                text.stream.fail(TimeoutError("the request took longer than it may"))
                self._gone.add(number)
        if not self._gone:
            return
        for number in self._gone & self._running.keys():
            self._leave(number)
        self._waiting = deque(one for one in self._waiting if one[0] not in self._gone)
        self._gone.clear()

    def _admitted(self) -> list[tuple[int, Text]]:
        """Return who gets a place now, in the order in which they came."""
        found: list[tuple[int, Text]] = []
        lengths = [text.length for text in self._running.values()]
        while self._waiting and len(lengths) < self.places.most:
            number, text = self._waiting[0]
            if lengths and self.places.cost([*lengths, text.length]) > self.places.tokens:
                break
            lengths.append(text.length)
            found.append(self._waiting.popleft())
            self._running[number] = text
        return found

    def _choose(self, keys: Sequence[int], logits: NDArray[np.float32]) -> None:
        """Give each text its next token."""
        best = logits.argmax(-1)
        finite = np.isfinite(np.take_along_axis(logits, best[:, None], -1)[:, 0])
        for row, key in enumerate(keys):
            text = self._running[key]
            if not finite[row]:
                text.stream.fail(DataError("the model gives logits that are NaN or infinite"))
                self._leave(key)
                continue
            try:
                token = int(best[row]) if text.is_plain else text.choose(logits[row])
            except DataError as error:
                text.stream.fail(error)
                self._leave(key)
                continue
            self.tokens += 1
            if text.add(token, logits[row]) is not None:
                self._leave(key)

    def _leave(self, key: int) -> None:
        del self._running[key]
        self.places.leave(key)

    def _start_again(self, error: Exception) -> None:
        self.alive, self.deaths = False, self.deaths + 1
        self._say(f"the engine has failed and starts again: {type(error).__name__}: {error}")
        self._fail_all(EngineDiedError(f"the engine has failed: {type(error).__name__}"))
        pause = 0.0
        while not self._closed:
            time.sleep(pause)
            try:
                self.places.close()
                self.places = self._make()
            except Exception as again:  # noqa: BLE001 - it is tried for as long as the server runs
                pause = min(LONGEST_PAUSE_S, 2 * pause + 0.5)
                self._say(f"it does not start: {type(again).__name__}: {again}; again in {pause:.1f} s")
            else:
                self.alive = True
                self._say("the engine works again")
                return

    def _fail_all(self, error: Exception) -> None:
        with self._change:
            texts = [*self._running.values(), *(text for _, text in self._waiting)]
            self._running.clear()
            self._waiting.clear()
            self._gone.clear()
        for text in texts:
            text.stream.fail(error)
