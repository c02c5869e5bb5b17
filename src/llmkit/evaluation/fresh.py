"""Ask a runtime in a process of its own: what this one has loaded, changed or computed is not in the way."""

from __future__ import annotations

import errno
import os
import pickle
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from llmkit.core.errors import CheckFailedError, ConfigError, DataError, SetupError, UserError
from llmkit.core.machine import explain
from llmkit.modeling.architecture import one_line
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Request, Running, Runtime
from llmkit.work.child import die_with, run_child

TEXTS = (
    "The ferry leaves at 9:45, doesn't it?", "def half(x):\n\treturn x / 2  # x >= 0", "  Two  blanks, a line\r\n\n",
    "渡轮上午九点四十五分开。", "Zoë paid €1,234.50 – naïve… 👩‍🚀",
)  # fmt: skip
"""What both tokenizers read: words, numbers, code, blanks, scripts, and signs of several bytes."""


@dataclass(frozen=True)
class Answers:
    """What a runtime has answered.

    Attributes:
        given: An answer to each request, in their order.
        versions: Of what has answered: `Facts.versions`.
        read: The ids of `TEXTS`; None where the runtime has no tokenizer.
        ends: Ids at which it stops writing; None if unknown.
    """

    given: Sequence[Any]
    versions: Mapping[str, str]
    read: Sequence[Sequence[int]] | None = None
    ends: frozenset[int] | None = None


def ask(running: Running, requests: Sequence[Request], runtime: str) -> Answers:
    """Ask a loaded model.

    Args:
        running: The model.
        requests: Of any kinds.
        runtime: Name of what runs it, for errors.

    Raises:
        ConfigError: It does not answer requests of a kind.
        NotFiniteError: An answer is no number.
    """
    from llmkit.evaluation.engine import Asked, Engine

    for request in {type(request): request for request in requests}.values():
        if why := running.takes(request):
            reason, _, hint = why.partition("\n")
            raise ConfigError(
                f"the runtime '{runtime}' does not answer {request.kind} requests: {reason}", hint or None
            )
    (given,) = Engine(running).ask([Asked(requests)])
    tokenizer, facts = running.tokenizer, running.facts
    read = None if tokenizer is None else [list(tokenizer(text)["input_ids"]) for text in TEXTS]
    return Answers(given, dict(facts.versions), read, facts.ends)


def ask_afresh(runtime: Runtime, directory: Path, requests: Sequence[Request], scratch: Path) -> Answers:
    """Load an export in a fresh process, with the network switched off, and ask it.

    Args:
        runtime: What loads it.
        directory: The export.
        requests: Of any kinds.
        scratch: A folder for what the processes tell each other.

    Raises:
        CheckFailedError: The export does not load, or the runtime fails on what it is asked.
        ConfigError: The runtime does not answer requests of a kind.
        NotFiniteError: An answer is no number.
        SetupError: The process was killed, or something that it needs is missing.
    """
    questions, answers = scratch / "questions", scratch / "answers"
    questions.write_bytes(pickle.dumps((runtime, str(directory), list(requests))))
    _run([sys.executable, "-P", "-c", f"from {__name__} import main; main()", str(questions), str(answers)])
    outcome = pickle.loads(answers.read_bytes())  # noqa: S301 - written by our own process, into our scratch folder
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
        runtime, directory, requests = pickle.loads(questions.read_bytes())  # noqa: S301 - by the process that waits
        running = runtime.load(directory)
        step = "answer"
        outcome = ask(running, requests, runtime.type_name)
        running.close()
    except Exception as error:  # noqa: BLE001 - whatever a runtime fails with says something of the export
        outcome = _told(error, step)
    answers.write_bytes(pickle.dumps(outcome))


def _told(error: Exception, step: str) -> UserError:
    """Return an error as the process that waits is to raise it."""
    known = explain(error)
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
    if done.returncode < 0:
        raise SetupError(
            f"the process that reloads the export was killed by signal {-done.returncode} (out of memory?)",
            "the same command again, with less beside it: the export needs the memory of a second model",
        )
    last = (done.stderr.strip().splitlines() or ["no output"])[-1]
    if os.strerror(errno.ENOSPC) in last:  # its answers did not fit: that says nothing about the export
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise CheckFailedError(
        f"the export does not load: {last}", "nothing was exported; is what loads it whole? llmkit doctor"
    )
