"""A model that answers behind an address: requests as its server reads them, several on their way at a time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, pairwise
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError, SetupError
from llmkit.data.chat import for_server
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import BATCH_TOKENS, Facts, Generate, Request, Running, Score, ScoreParts, Written
from llmkit.runtimes._http import Server

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

SCORERS = "vLLM and SGLang do; tasks such as generation need none"
SERVED = "what the server computes is no number: look at its log, and at the number format that it runs the model in"
TOKENIZER_HINT = "-s runtime.type=openai -s runtime.tokenizer=DIR names the directory of the model's tokenizer"
BROKEN_OFF = ("abort", "error")
"""Why an answer ends that is none: vLLM's and SGLang's words when they drop a request, and those of routers."""


class Remote(Running):
    """A model on a server.

    Args:
        server: The server.
        name: What it calls the model.
        tokenizer: The model's, if it is here.
        positions: Longest row.
        parallel: Requests that are on their way at a time.
    """

    gives_parts = True

    def __init__(
        self,
        server: Server,
        name: str,
        tokenizer: PreTrainedTokenizerFast | None = None,
        positions: int | None = None,
        parallel: int = 8,
    ) -> None:
        self.server, self.name, self.tokenizer = server, name, tokenizer
        start = None
        if tokenizer is not None:
            start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        self.facts = Facts(answer="tokens", positions=positions, start=start, versions={"openai": server.url})
        self.parallel = parallel

    def takes(self, request: Request) -> str | None:
        """Return why not."""
        if not isinstance(request, Score | Generate):
            return "a server of this kind gives text and the likelihoods of tokens, and nothing else"
        if request.inputs:
            return "only text is sent to servers"
        if isinstance(request, Generate) and request.exact:
            return "a server cannot be told to write on behind an end"
        if isinstance(request, Score) and self.tokenizer is None:
            return f"likelihoods are those of ids, and its tokenizer is not here\n{TOKENIZER_HINT}"
        return None

    def tokens(self, request: Request) -> int:
        """Return the positions; of turns, whose tokens are not known here, one for each of their bytes at most."""
        if isinstance(request, Score):
            return len(request.context) + len(request.target) - 1
        assert isinstance(request, Generate)
        prompt = request.prompt
        size = sum(len(str(one.get("content", "")).encode()) for one in prompt if isinstance(one, Mapping))
        return (size or len(prompt)) + request.budget

    def batch_tokens(self, kind: type[Request]) -> int:  # noqa: ARG002 - the same for all kinds
        """Return what keeps all threads busy, and is soon answered and kept."""
        return max(BATCH_TOKENS, 2048 * self.parallel)

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers; see the base class."""
        answers: dict[type[Request], Callable[[Any], Any]] = {
            Score: self._score, ScoreParts: self._score_parts, Generate: self._write,
        }  # fmt: skip
        return _together(answers[type(requests[0])], requests, self.parallel) if requests else []

    def close(self) -> None:
        """Do nothing: every request has its own connection."""

    def _post(self, path: str, size: str, **values: Any) -> dict[str, Any]:
        """Send a request and return the first choice of the reply."""
        try:
            reply = self.server.post(path, {"model": self.name, **values})
        except DataError as error:
            raise type(error)(f"{error.message} (it was {size})", error.hint) from error
        choices = reply.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise DataError(
                f"{self.server.url}{path}: the reply has no choices, but {', '.join(reply) or 'nothing'}",
                self.server.look(),
            )
        return {**choices[0], "usage": reply.get("usage")}

    def _write(self, request: Generate) -> Written:
        if request.budget < 1:
            return Written(None, "", ended=False)
        settings: dict[str, Any] = {
            "max_tokens": request.budget, "temperature": request.temperature, "seed": request.seed,
        }  # fmt: skip
        # The last two are not OpenAI's own: what is not asked for is not sent, so that no server refuses it.
        given = {"top_p": (request.top_p, 1.0), "top_k": (request.top_k, 0), "min_p": (request.min_p, 0.0)}
        settings |= {name: value for name, (value, none) in given.items() if value != none}
        if request.stop:
            settings["stop"] = list(request.stop)
        size = f"a prompt of {len(request.prompt):,}, and {request.budget:,} tokens to write"
        turns = [dict(one) for one in request.prompt if not isinstance(one, int)]
        if turns:
            path = "/chat/completions"
            found = self._post(path, size, **for_server(turns), **settings)
            message = found.get("message")
            text = (message.get("content") or "") if isinstance(message, dict) else None
        else:
            path = "/completions"
            found = self._post(path, size, prompt=list(request.prompt), **settings)
            text = found.get("text")
        if not isinstance(text, str):
            raise DataError(f"{self.server.url}{path}: the reply has no text", self.server.look())
        if (reason := found.get("finish_reason")) in BROKEN_OFF:
            raise SetupError(
                f"{self.server.url}{path}: the server broke an answer off ({reason})",
                "run the same command again later: what was answered is kept",
            )
        places = [place for stop in request.stop if (place := text.find(stop)) >= 0]  # some leave the stop text in
        ended = bool(places) or found.get("finish_reason") != "length"
        return Written(None, text[: min(places)] if places else text, ended)

    def _score(self, request: Score) -> float:
        return math.fsum(self._log_probabilities(request))

    def _score_parts(self, request: ScoreParts) -> NDArray[np.float64]:
        import numpy as np

        values, borders = self._log_probabilities(request), [0, *accumulate(request.parts)]
        return np.array([math.fsum(values[start:stop]) for start, stop in pairwise(borders)])

    def _log_probabilities(self, request: Score) -> list[float]:
        ids = [*request.context, *request.target]
        # One token is written, since several servers take no request for none; it is left out of the sum.
        found = self._post(
            "/completions", f"{len(ids):,} ids to score", prompt=ids, max_tokens=1, temperature=0, echo=True, logprobs=1
        )  # fmt: skip
        logprobs = found.get("logprobs")
        values = logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
        if not isinstance(values, list) or len(values) <= 1 < len(ids):
            raise DataError(
                f"{self.server.url} does not score what it is given: it gives no log-probabilities of a prompt (echo"
                " with logprobs)",
                SCORERS,
            )
        usage = found["usage"] if isinstance(found["usage"], dict) else {}
        # What is not said, or is no number, is believed.
        read, written = (
            count if type(count := usage.get(name)) is int else own
            for name, own in (("prompt_tokens", len(ids)), ("completion_tokens", len(values) - len(ids)))
        )
        if read != len(ids) or not len(values) - 1 <= len(ids) <= len(values) or written not in (0, 1):
            raise DataError(
                f"{self.server.url} read {read:,} tokens and gave {len(values):,} log-probabilities, of {len(ids):,}"
                " ids and a written token",
                f"does it add a token of its own, or is the tokenizer another? {TOKENIZER_HINT}",
            )
        wanted = values[len(request.context) : len(ids)]
        if not all(isinstance(value, int | float) for value in wanted):
            raise DataError(
                f"{self.server.url} gives no log-probability of some of the tokens that are scored", SCORERS
            )
        total = math.fsum(wanted)
        if not math.isfinite(total):
            raise NotFiniteError(f"the model at '{self.server.url}' gives a text the log-likelihood {total}", SERVED)
        return wanted


def _together(function: Callable[[Any], Any], requests: Sequence[Request], parallel: int) -> list[Any]:
    """Return what a function says of each request, called in several threads; the first error ends it.

    The threads are daemons, which those of a pool are not: whoever interrupts waits for no reply that is on its way.
    """
    waiting = deque(enumerate(requests))
    done: SimpleQueue[tuple[int, Any, BaseException | None]] = SimpleQueue()

    def work() -> None:
        while waiting:
            try:
                place, one = waiting.popleft()
            except IndexError:  # another thread was faster
                return
            try:
                done.put((place, function(one), None))
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                done.put((place, None, error))

    for _ in range(min(parallel, len(requests))):
        Thread(target=work, name="openai", daemon=True).start()
    found: list[Any] = [None] * len(requests)
    try:
        for _ in requests:
            place, answer, error = done.get()
            if error is not None:
                raise error
            found[place] = answer
    finally:
        waiting.clear()
    return found
