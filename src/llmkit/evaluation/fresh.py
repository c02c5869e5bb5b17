"""Ask a runtime in a process of its own: what this one has loaded, changed or computed is not in the way."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

from llmkit.core.errors import CheckFailedError, ConfigError, DataError, SetupError, UserError
from llmkit.core.machine import explain
from llmkit.evaluation.probes import Probes
from llmkit.modeling.architecture import one_line
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Generate, Ids, Logits, Request, Running, Runtime
from llmkit.work.child import die_with, run_child

TIMED_TOKENS = 32
"""Tokens that are written while a runtime is timed."""
SAID = ("_ASSERT", "what():")
"""What of a library's last words says why it has ended its process; a trace of calls stands behind it."""


@dataclass(frozen=True)
class Answers:
    """What a runtime has answered.

    Attributes:
        given: An answer to each request, in their order; None of one that is not taken where another will do.
        versions: Of what has answered: `Facts.versions`.
        read: The ids of the texts, by the runtime's own tokenizer; None where it has none.
        ends: Ids at which it stops writing; None if unknown.
        rendered: Each conversation without and with the beginning of an answer, by the runtime's own engine; of one
            that its template refuses None. None where it has no engine.
        load_s: Seconds in which the runtime has loaded the model.
        tokens_per_s: Tokens that it writes in a second, for one who asks; None where nobody has timed it.
    """

    given: Sequence[Any]
    versions: Mapping[str, str]
    read: Sequence[Sequence[int]] | None = None
    ends: frozenset[int] | None = None
    rendered: Sequence[str | None] | None = None
    load_s: float = 0.0
    tokens_per_s: float | None = None


def ask(running: Running, asked: Probes, runtime: str) -> Answers:
    """Ask a loaded model.

    Args:
        running: The model.
        asked: What.
        runtime: Name of what runs it, for errors.

    Raises:
        ConfigError: It does not answer requests of a kind.
        NotFiniteError: An answer is no number.
    """
    from llmkit.evaluation.engine import Asked, Engine

    refused = _refused(running, asked.requests, runtime)
    taken = [place for place, request in enumerate(asked.requests) if type(request) not in refused]
    given: list[Any] = [None] * len(asked.requests)
    if taken:
        (found,) = Engine(running).ask([Asked([asked.requests[place] for place in taken])])
        for place, answer in zip(taken, found, strict=True):
            given[place] = _end_of(answer, asked.requests[place], asked.kept)
    ids = [running.read(text) for text in asked.texts]
    read = None if None in ids else [list(each or ()) for each in ids]
    return Answers(given, dict(running.facts.versions), read, running.facts.ends, _rendered(running, asked))


def _refused(running: Running, requests: Sequence[Request], runtime: str) -> set[type[Request]]:
    """Return the kinds that are not taken, where another one says as much: vectors of texts, or of their tokens."""
    refused: dict[type[Request], str] = {}
    kinds = {type(request): request for request in requests}
    for kind, request in kinds.items():
        if why := running.takes(request):
            refused[kind] = why
    if Embed in kinds and len(refused) < len(kinds):
        return set(refused)
    for kind, why in refused.items():
        reason, _, hint = why.partition("\n")
        raise ConfigError(f"the runtime '{runtime}' does not answer {kind.kind} requests: {reason}", hint or None)
    return set()


def _end_of(answer: Any, request: Request, kept: int | None) -> Any:
    """Return logits of the last positions of a row: of a long one with a large vocabulary all are a gigabyte."""
    return answer if kept is None or not isinstance(request, Logits) else answer[-kept:]


def _rendered(running: Running, asked: Probes) -> list[str | None] | None:
    found: list[str | None] = []
    for turns in asked.chats:
        for prompt in (False, True):
            try:
                text = running.render(turns, prompt=prompt)
            except Exception:  # noqa: BLE001 - whatever an engine raises, the template has refused
                found.append(None)
                continue
            if text is None:
                return None
            found.append(text)
    return found or None


def ask_afresh(runtime: Runtime, directory: Path, asked: Probes, scratch: Path) -> Answers:
    """Load an export in a fresh process, with the network switched off, and ask it.

    Args:
        runtime: What loads it.
        directory: The export.
        asked: What.
        scratch: A folder for what the processes tell each other.

    Raises:
        CheckFailedError: The export does not load, or the runtime fails on what it is asked.
        ConfigError: The runtime does not answer requests of a kind.
        NotFiniteError: An answer is no number.
        SetupError: The process was killed, or something that it needs is missing.
    """
    questions, answers = scratch / "questions", scratch / "answers"
    questions.write_bytes(pickle.dumps((runtime, str(directory), asked)))
    _run([sys.executable, "-P", "-c", f"from {__name__} import main; main()", str(questions), str(answers)])
    outcome = pickle.loads(answers.read_bytes())  # noqa: S301 - written by our own process, into our scratch folder
    for file in (questions, answers):
        file.unlink()
    if isinstance(outcome, UserError):
        raise outcome
    return cast("Answers", outcome)


def main() -> None:
    """Answer as `ask_afresh` asks, in the fresh process."""
    die_with(os.getppid())
    answer(Path(sys.argv[1]), Path(sys.argv[2]))


def answer(questions: Path, answers: Path) -> None:
    """Read what is asked, load what is asked, and write the answers, or why there are none."""
    step = "load"
    outcome: Answers | UserError
    try:
        runtime, directory, asked = pickle.loads(questions.read_bytes())  # noqa: S301 - by the process that waits
        start = perf_counter()
        running = runtime.load(directory)
        load_s, step = perf_counter() - start, "answer"
        outcome = replace(ask(running, asked, runtime.type_name), load_s=load_s)
        if asked.timed:
            outcome = replace(outcome, tokens_per_s=_tokens_per_s(running, asked.timed))
        running.close()
    except Exception as error:  # noqa: BLE001 - whatever a runtime fails with says something of the export
        outcome = _told(error, step)
    answers.write_bytes(pickle.dumps(outcome))


def _tokens_per_s(running: Running, prompt: Ids) -> float | None:
    """Return how many tokens are written in a second: the better of two runs, after one that is not timed."""
    asked = Generate(prompt, budget=TIMED_TOKENS, exact=True)
    if running.takes(asked):
        return None
    seconds = []
    for _ in range(3):
        start = perf_counter()
        running.answer([asked])
        seconds.append(perf_counter() - start)
    return TIMED_TOKENS / min(seconds[1:])


def _told(error: Exception, step: str) -> UserError:
    """Return an error as the process that waits is to raise it."""
    known = explain(error, goes_on=False)
    if isinstance(known, UserError) and (not isinstance(known, DataError) or isinstance(known, NotFiniteError)):
        return known  # of the machine, or of what was asked: neither says anything about the export
    words = known.message if known else f"{type(error).__name__}: {one_line(error)}"
    return CheckFailedError(f"the export does not {step}: {words}", known.hint if known else None)


def _run(command: Sequence[str]) -> None:
    """Run the fresh process to its end; it imports from where this one does, whatever lies in the current folder."""
    paths = os.pathsep.join(filter(None, sys.path))
    done = run_child(command, {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths})
    if done.returncode == 0:
        return
    lines = done.stderr.strip().splitlines() or ["no output"]
    last = next((line for line in reversed(lines) if any(word in line for word in SAID)), lines[-1])
    if done.returncode == -signal.SIGABRT:  # a library in C++ has found something that it does not go on with
        raise CheckFailedError(
            f"the export does not load: {last.strip()}", "-s exporter=safetensors writes what transformers loads"
        )
    if done.returncode < 0:
        raise SetupError(
            f"the process that reloads the export was killed by signal {-done.returncode} (out of memory?)",
            "the same command again, with less beside it: the export needs the memory of a second model",
        )
    if os.strerror(errno.ENOSPC) in last:  # its answers did not fit: that says nothing about the export
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise CheckFailedError(
        f"the export does not load: {last}", "nothing was exported; is what loads it whole? llmkit doctor"
    )
