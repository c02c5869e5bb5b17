"""A command that is disturbed, and then run again in peace: the second time it makes what it always makes."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from campaign._cases import Case, wait
from campaign._chain import Chain, sentences

OUT = "out"
MORE = "more.jsonl"
"""A second file of texts beside the chain's, so that there is more than one task."""
LIMIT_S = 120.0


@dataclass(frozen=True)
class End:
    """How a disturbed command ended.

    Attributes:
        code: Exit code; negative for a signal.
        said: What it printed to stderr.
        seconds: What it took.
    """

    code: int
    said: str
    seconds: float


@dataclass(frozen=True)
class Subject:
    """A command that is disturbed.

    Attributes:
        name: The stage.
        command: Its arguments, without `-o`.
        artifact: What it makes undisturbed.
        seconds: What it takes undisturbed.
    """

    name: str
    command: Sequence[str]
    artifact: str
    seconds: float


def subjects(scratch: Path, more: dict[str, Sequence[str]]) -> Iterator[Subject]:
    """Make the chain, and yield its commands with what each makes and takes undisturbed.

    Args:
        scratch: An empty folder.
        more: Name -> settings that are added to the command of that name, up to a space.
    """
    import_all()
    chain = Chain(scratch / "chain", scratch / "kept")
    chain.make()
    more_texts = "".join(json.dumps({"text": f"{text} Twice told."}) + "\n" for text in sentences(200))
    (chain.root / MORE).write_text(more_texts, encoding="utf-8")
    stages = {"clean": "corpus", "tokenize": "tokens", "pretrain": "base", "finetune": "model", "eval": "scores",
              "export": "export", "lora": "adapter", "predict": "predictions",
              "generate": "answers", "index": "index"}  # fmt: skip
    for name, settings in more.items():
        added = [str(chain.root / MORE) if word == MORE else word for word in settings]
        command = [*chain.commands()[stages[name.partition(" ")[0]]][:-2], *added]
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            end = disturbed(command, Path(folder))
            assert end.code == 0, end.said
            yield Subject(name, command, artifact_in(Path(folder)), end.seconds)


def import_all() -> None:
    """Import here, once, what the commands need: a process forked from this one has it."""
    import datasets  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import llmkit.cli.main
    import llmkit.stages
    import llmkit.training.loop  # noqa: F401

    torch.set_num_threads(1)


def artifact_in(folder: Path) -> str:
    """Return the id of what a command has made; empty where it has made nothing whole."""
    manifest = folder / OUT / "llmkit.json"
    return str(json.loads(manifest.read_text(encoding="utf-8"))["id"]) if manifest.exists() else ""


def disturbed(
    command: Sequence[str],
    folder: Path,
    *,
    at_start: Callable[[], object] = lambda: None,
    meanwhile: Callable[[int], object] = lambda _: None,
) -> End:
    """Run a command in a process group of its own.

    Args:
        command: Arguments, without `-o`.
        folder: Where it runs.
        at_start: Called in the process before the command.
        meanwhile: Called here with the process id while the command runs.
    """
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said:
        child = os.fork()
        if child == 0:
            _become([*command, "-o", OUT], folder, said.fileno(), at_start)
        meanwhile(child)
        ended = wait(child, start + LIMIT_S, nap_s=0.002)
        code = -signal.SIGALRM if ended is None else ended  # it hung
        said.seek(0)
        return End(code, said.read(), time.monotonic() - start)


def _become(arguments: Sequence[str], folder: Path, said: int, at_start: Callable[[], object]) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(said, 2)
        for number in (signal.SIGINT, signal.SIGTERM):  # as in a new process whose Python is not there yet
            signal.signal(number, signal.SIG_DFL)
        from llmkit.cli.main import run

        at_start()
        code = run(arguments)
    except BaseException:  # noqa: BLE001 - said as Python says it
        import traceback

        with suppress(BaseException):
            traceback.print_exc()
    finally:
        with suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def alive(group: int) -> list[int]:
    """Return the processes of a group that still run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, member_of = entry.read_text(encoding="utf-8").rpartition(") ")[2].split()[:3]
            if int(member_of) == group and state not in "ZX":
                found.append(int(entry.parent.name))
    return found


def twice(
    name: str,
    subject: Subject,
    disturb: Callable[[Path], str],
    *,
    prepare: Callable[[Path], object] = lambda _: None,
) -> Case:
    """Return the case of a command that is disturbed first.

    Args:
        name: What is done to it.
        subject: The command.
        disturb: Runs it in a folder, disturbed; returns what does not hold, or nothing.
        prepare: Called with the folder between the two.
    """
    problems: list[str] = []

    def build(folder: Path) -> Sequence[str]:
        problems.append(disturb(folder))
        prepare(folder)
        return [*subject.command, "-o", OUT]

    def check(folder: Path) -> str:
        if problems[-1]:
            return problems[-1]
        return "" if artifact_in(folder) == subject.artifact else "another id than undisturbed"

    return Case(f"{subject.name} {name}", build, frozenset({0}), check=check)
