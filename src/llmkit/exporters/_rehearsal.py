"""A deployment is started as its platforms start it, on this machine alone, and asked by their routes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

from llmkit.core import stop
from llmkit.core.errors import CheckFailedError
from llmkit.core.json import dumps
from llmkit.exporters import Served
from llmkit.runtimes import Embed, Generate

if TYPE_CHECKING:
    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.probes import Probes

STARTS_S, ANSWERS_S, ENDS_S = 300.0, 300.0, 60.0
"""How long the server may take to load the model, to answer, and to end when it is told to."""
HEALTH, PREDICT = "/vertex/health", "/vertex/predict"
SAGEMAKER, VERTEX = "/invocations of SageMaker", "predictions of Vertex AI"
ATTEMPT_S = 5.0
NEAR = 1e-3
"""Of a vector: neighbours in a batch change the order of sums."""


def rehearse(script: Path, asked: Probes, answers: Answers, *, exact: bool) -> Served:
    """Ask a server by both of its platforms' routes, and compare with what its runtime has answered.

    Args:
        script: What starts it.
        asked: What the runtime was asked; of that, texts to write and vectors of texts.
        answers: Its answers.
        exact: All have to be equal. Where weights are rounded, a batch of another size may turn a near tie, and what
            is written after it: half of them have to be, and their number is told.

    Raises:
        CheckFailedError: It does not start, does not answer, or does not end.
    """
    pairs = list(zip(asked.requests, answers.given, strict=True))
    bodies, expected = _put(pairs, answers.ends or frozenset())
    with _started(script) as ask:
        ask("/ping", None)
        ask(HEALTH, None)
        if not bodies:
            return Served({})
        one_by_one = [ask("/invocations", body) for body in bodies]
        together = ask(PREDICT, {"instances": bodies})["predictions"]
    facts, failures = {}, []
    for name, found in ((SAGEMAKER, one_by_one), (VERTEX, together)):
        wrong = [i for i, (one, two) in enumerate(zip(found, expected, strict=True)) if not _same(one, two)]
        facts[name] = f"{len(bodies) - len(wrong)} of {len(bodies)}"
        if wrong and (exact or 2 * len(wrong) > len(bodies)):
            first = wrong[0]
            failures.append(
                f"the server answers otherwise than the model in it: {name}, request {first + 1} of {len(bodies)}, has"
                f" {_shown(found[first])}, and the runtime {_shown(expected[first])}"
            )
    return Served(facts, failures)


@dataclass(frozen=True)
class _Text:
    """A text, and whether an end of writing is in it: the runtime was asked to write on, and the server stops there."""

    text: str
    ended: bool


def _put(pairs: Sequence[tuple[Any, Any]], ends: frozenset[int]) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return bodies, and what is expected of each: the text that was written, or the vector."""
    bodies: list[dict[str, Any]] = []
    expected: list[Any] = []
    for request, given in pairs:
        if isinstance(request, Generate) and given is not None:
            bodies.append({"prompt": list(request.prompt), "max_tokens": request.budget, "temperature": 0.0})
            expected.append(_Text(given.text, not ends.isdisjoint(given.ids)))
        elif isinstance(request, Embed) and given is not None and request.text:
            bodies.append({"input": request.text})
            expected.append([float(number) for number in given])
    return bodies, expected


def _same(found: Any, expected: Any) -> bool:
    if isinstance(expected, _Text):
        text = _text(found)
        return bool(expected.text.startswith(text) if expected.ended else expected.text == text)
    vector = found["data"][0]["embedding"]
    size = max(map(abs, expected))
    return len(vector) == len(expected) and all(
        abs(one - two) <= NEAR * size for one, two in zip(vector, expected, strict=True)
    )


def _text(found: Any) -> Any:
    return found["choices"][0]["text"]


def _shown(found: Any) -> str:
    if isinstance(found, _Text):
        return repr(found.text[:80])
    return repr(_text(found)[:80]) if isinstance(found, dict) and "choices" in found else "another vector"


@contextmanager
def _started(script: Path) -> Iterator[Any]:
    """Start the server as Vertex AI does, with its routes in the environment; yield what asks it."""
    port = _free_port()
    environment = {
        **os.environ, "PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HF_HUB_OFFLINE": "1", "HOST": "127.0.0.1", "AIP_HTTP_PORT": str(port), "AIP_HEALTH_ROUTE": HEALTH,
        "AIP_PREDICT_ROUTE": PREDICT,
        "OPTIONS": "--cache-type float32",  # as the runtime has answered: what float16 rounds is no fault of the files
    }  # fmt: skip
    for name in ("LLMKIT_API_KEY", "MODEL"):
        environment.pop(name, None)
    with tempfile.TemporaryFile() as said, subprocess.Popen(
        ["sh", str(script)], env=environment, stdout=said, stderr=said, stdin=subprocess.DEVNULL
    ) as process:  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(process, address, said)
            yield lambda path, body: _ask(address + path, body, ANSWERS_S)
            _end(process, said)
        finally:
            process.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], address: str, said: IO[bytes]) -> None:
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until:
        stop.check()
        if process.poll() is not None:
            raise CheckFailedError(f"the server does not start: {_last_line(said)}")
        try:
            _ask(address + "/ping", None, ATTEMPT_S)
        except CheckFailedError:
            time.sleep(stop.POLL_S)
        else:
            return
    raise CheckFailedError(f"the server is not ready after {STARTS_S:g} s: {_last_line(said)}")


def _end(process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
    process.terminate()
    try:
        process.wait(ENDS_S)
    except subprocess.TimeoutExpired:
        raise CheckFailedError(f"the server does not end within {ENDS_S:g} s of SIGTERM: {_last_line(said)}") from None


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    return next((line for line in reversed(lines) if line.startswith("error:")), lines[-1] if lines else "no output")


def _ask(url: str, body: Mapping[str, Any] | None, limit_s: float) -> Any:
    """Return a reply.

    Raises:
        CheckFailedError: There is none, or it is a refusal.
    """
    content = None if body is None else dumps(body).encode()
    request = Request(url, content, {"Content-Type": "application/json"})  # noqa: S310 - to this machine
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=limit_s) as reply:
            return json.loads(reply.read())
    except HTTPError as error:
        words = error.read().decode("utf-8", "replace")[:300]
        raise CheckFailedError(f"the server answers {error.code} to {url}: {words}") from None
    except (URLError, OSError, ValueError) as error:
        raise CheckFailedError(f"the server does not answer {url}: {error}") from None
