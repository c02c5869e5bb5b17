"""What the classes of the campaign share: a case, how it is run in a process of its own, and what holds."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

REFUSED = frozenset({2, 3, 4, 7})
"""Exit codes that come with words: usage, data, environment, a check that failed."""
LIMIT_S = 60
CODE_OF_A_BUG = 1


@dataclass(frozen=True)
class Case:
    """One thing that can go wrong.

    Attributes:
        name: What it is, and who meets it.
        build: Prepares a folder, the current directory of the command, and returns the command's arguments.
        codes: Exit codes that hold.
        words: What the message must hold where the command fails.
        check: Looks at the folder afterwards; returns what is wrong, or nothing.
        seconds: What it may take.
    """

    name: str
    build: Callable[[Path], Sequence[str]]
    codes: frozenset[int] = REFUSED
    words: str = ""
    check: Callable[[Path], str] = lambda _: ""
    seconds: float = LIMIT_S


@dataclass(frozen=True)
class Verdict:
    """How a case went.

    Attributes:
        case: The case.
        code: Exit code; negative for a signal.
        said: What was printed to stderr.
        seconds: What it took.
        problem: Why it does not hold; empty if it does.
    """

    case: Case
    code: int
    said: str
    seconds: float
    problem: str


def run(case: Case, folder: Path) -> Verdict:
    """Run a case in a process of its own, forked from this one so that nothing is imported again.

    Args:
        case: What to run.
        folder: An empty folder.
    """
    arguments = [str(word) for word in case.build(folder)]
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        child = os.fork()
        if child == 0:
            _become(arguments, folder, said.fileno())
        ended = wait(child, start + case.seconds)
        code = -signal.SIGKILL if ended is None else ended
        said.seek(0)
        text = said.read()
    problem = _judge(case, code, text) or case.check(folder)
    return Verdict(case, code, text, time.monotonic() - start, problem)


def _become(arguments: Sequence[str], folder: Path, said: int) -> None:
    """Be the command, in the child: never returns."""
    code = CODE_OF_A_BUG
    try:
        os.setsid()  # so that all it starts can be ended with it
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said, 2)
        from llmkit.cli.main import run as command

        code = command(arguments)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else CODE_OF_A_BUG
    except BaseException:  # noqa: BLE001 - said as Python says it
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, deadline: float, *, nap_s: float = 0.01) -> int | None:
    """Return how a child has ended, negative for a signal; None where it hung and was killed with all it started."""
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        time.sleep(nap_s)


def _judge(case: Case, code: int, said: str) -> str:
    if code == -signal.SIGKILL:
        return "it took too long"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if "Traceback (most recent call last)" in said:
        return "a traceback"
    if code not in case.codes:
        return f"exit {code}, and not {' or '.join(map(str, sorted(case.codes)))}"
    if code and "error: " not in said:
        return f"exit {code} without words"
    if code and case.words and case.words not in said:
        return f"the message does not name {case.words}"
    return ""


def load_everything() -> None:
    """Import once what every case would import: a case then costs its own work alone."""
    import importlib
    import pkgutil

    import llmkit

    for module in pkgutil.walk_packages(llmkit.__path__, "llmkit."):
        if module.name != "llmkit.__main__":
            importlib.import_module(module.name)
    from transformers import (  # noqa: F401 - the classes that the cases use
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )


def run_all(cases: Iterable[Case], *, show: Callable[[Verdict], None] = lambda _: None) -> list[Verdict]:
    """Run cases one after another, each in an empty folder."""
    verdicts = []
    for case in cases:
        folder = Path(tempfile.mkdtemp(prefix="campaign-"))
        try:
            verdict = run(case, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        show(verdict)
        verdicts.append(verdict)
    return verdicts
