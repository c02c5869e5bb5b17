"""A toy stage for the tests of artifacts; run as a script, it is the real process that is killed or holds a lock.

toy_build.py hold OUT                take OUT's lock, print a line and wait
toy_build.py kill SCENARIO FOLDER    kill a build at every step, run it again each time, print what was found
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from llmkit.core import artifact as artifact_module
from llmkit.core.artifact import Build
from llmkit.core.config import Budget, Config, NotIdentity
from llmkit.core.digest import digest_file
from llmkit.core.errors import DataError
from llmkit.core.fingerprint import Fingerprint
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import open_artifact
from llmkit.core.move import Kept
from llmkit.core.stage import Stage


class Toy(Config):
    """Config of the toy stage."""

    text: str = "one"
    """Decides the result."""
    steps: Annotated[int | None, Budget] = None
    """How far."""
    workers: Annotated[int, NotIdentity] = 1
    """Does not count."""


class ToyStage(Stage[Toy]):
    """A stage that goes on where it was interrupted."""

    name, version, config, resumable = "toy", 1, Toy, True


KEPT = Kept("checkpoints", ("log.txt", "logs"))
Files = dict[str, str]


def toy(out: Path, config: Toy | None = None, *, inputs: Inputs | None = None, version: int = 1, **how: Any) -> Build:
    """Return the build of a toy artifact."""
    config, inputs = config or Toy(), inputs or Inputs()
    return Build(out, Fingerprint("toy", version, config, inputs), config=config, inputs=inputs, **how)


def make(out: Path, files: Files, config: Toy | None = None, *, kind: str = "corpus", **how: Any) -> Build:
    """Make a toy artifact of these files, unless it is up to date; `data-*` is the payload."""
    with toy(out, config, **how) as build:
        if build.finished is None:
            write(build.dir, files)
            build.finish(kind, payload=["data-*"], metrics={"files": len(files)})
    return build


def train(out: Path, config: Toy) -> list[int]:
    """Go on from the last checkpoint to `steps`, one checkpoint a step; return the steps done now."""
    done = []
    with toy(out, config, resumable=True, kept=KEPT) as build:
        if build.finished is None:
            folder = build.dir / "checkpoints"
            folder.mkdir(exist_ok=True)
            last = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0)
            for step in range(last + 1, (config.steps or 0) + 1):
                (folder / "new").write_text(f"state {step}")
                (folder / "new").rename(folder / str(step))
                done.append(step)
            write(build.dir, {"data-model": f"trained for {config.steps}"})
            build.finish("model", payload=["data-*"], metrics={})
    return done


def write(folder: Path, files: Files) -> None:
    """Write files, with their folders."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def read(folder: Path) -> Files:
    """Return the files of a finished artifact, without its manifest."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "llmkit.json"]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


OLD = {"data-0": "old zero", "data-1": "old one", "README.md": "old", "gone/data.txt": "old", "gone/deep/x": "old"}
FRESH = {"data-0": "new zero", "new/a": "new", "README.md": "new", "report.json": "{}"}


def kill_at_every_step(scenario: str, folder: Path) -> dict[str, Any]:
    """Kill the scenario's build at step 1, 2, 3, ...; look at what is left, and at what the next run makes of it."""
    artifact_module.git_state = lambda: None  # subprocesses, which change nothing on disk
    artifact_module.versions = dict
    os.fsync = lambda _: None  # slow, and of no matter to a process that is killed
    start, run, before, after = SCENARIOS[scenario](folder)
    found: Counter[str] = Counter()
    problems = []
    for step in range(1, 10_000):
        out = folder / f"out-{step}"
        if start.exists():
            shutil.copytree(start, out, copy_function=shutil.copy2)
        if not _killed_at(step, lambda out=out: run(out)):
            return {"steps": step - 1, "left": dict(found), "problems": problems}
        try:
            found[_left(out, before, after)] += 1
            again = run(out)
            _check_finished(out, after, again)
        except Exception as error:  # noqa: BLE001 - reported with its step
            problems.append(f"step {step}: {type(error).__name__}: {error}")
        shutil.rmtree(out)
    raise AssertionError("the build does not end")


def _fresh(folder: Path) -> Any:
    return folder / "nothing", lambda out: make(out, FRESH), None, FRESH


def _replace(folder: Path) -> Any:
    start = folder / "start"
    make(start, OLD, Toy(text="zero"), kept=KEPT)
    (start / "checkpoints").mkdir()
    (start / "checkpoints" / "9").write_text("of the old run")
    (start / "gone" / "mine.txt").write_text("the user's")
    old = {**OLD, "checkpoints/9": "of the old run", "gone/mine.txt": "the user's"}
    return start, lambda out: make(out, FRESH, force=True), old, {**FRESH, "gone/mine.txt": "the user's"}


def _extend(folder: Path) -> Any:
    start = folder / "start"
    assert train(start, Toy(steps=2)) == [1, 2]
    old = read(start)
    new = {"data-model": "trained for 4", **{f"checkpoints/{step}": f"state {step}" for step in (1, 2, 3, 4)}}

    def run(out: Path) -> None:
        done = train(out, Toy(steps=4))
        assert not {1, 2} & set(done), f"steps {done} were done again"

    return start, run, old, new


SCENARIOS = {"fresh": _fresh, "replace": _replace, "extend": _extend}


def _killed_at(step: int, run: Any) -> bool:
    """Run in a child process that kills itself at the given step; say whether it got there."""
    child = os.fork()
    if child == 0:
        _count_steps(step)
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, f"step {step}: the build itself failed"
    return os.WIFSIGNALED(status)


EVENTS = ("open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.utime", "shutil.copyfile")


def _count_steps(last: int) -> None:
    """Count changes of the file system and lines of the code that makes them; be killed before number `last`."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        reads = event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in EVENTS and not reads:
            step()

    def trace(frame: Any, event: str, _: Any) -> Any:
        name = frame.f_code.co_name
        if frame.f_code.co_filename.endswith("core/durable.py") and name == "write_json":
            if event == "line":
                step()
            return trace
        return None

    sys.addaudithook(audit)
    sys.settrace(trace)


def _left(out: Path, before: Files | None, after: Files) -> str:
    """Say what another stage finds in OUT; whatever it accepts must be all of the old or all of the new artifact."""
    try:
        artifact = open_artifact(out, ("corpus", "model"), role="data")
    except DataError as error:
        assert any(words in error.message for words in ("no such directory", "is unfinished", "is not an llmkit")), (
            error
        )
        return "nothing"
    for output in artifact.manifest.outputs:
        assert digest_file(out / output.path) == output.digest, f"{output.path} is accepted, but differs"
    names = {output.path for output in artifact.manifest.outputs}
    files = {name: text for name, text in read(out).items() if not name.startswith(".partial")}
    for state, whole in (("old", before), ("new", after)):
        if whole is not None and files == whole:
            assert names <= set(whole)
            return state
    raise AssertionError(f"accepted, but neither the old nor the new artifact: {sorted(files)}")


def _check_finished(out: Path, after: Files, again: Build | None) -> None:
    files = read(out)
    if again is not None and again.finished is not None:  # killed after all was done, but for the empty folder
        files = {name: text for name, text in files.items() if not name.startswith(".partial")}
    assert {name: text for name, text in files.items() if name != ".partial/lock"} == after, sorted(files)
    assert _left(out, None, after) == "new"
    assert not list(out.glob(".partial-*")), "moved aside"
    assert not (out / "gone" / "deep").exists(), "an empty folder of the old artifact stayed"


def hold(out: Path) -> None:
    """Hold the lock until killed."""
    with toy(out) as build:
        write(build.dir, {"data-0": "half"})
        sys.stdout.write("held\n")
        sys.stdout.flush()
        time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(Path(sys.argv[2]))
    else:
        sys.stdout.write(json.dumps(kill_at_every_step(sys.argv[2], Path(sys.argv[3]))))
