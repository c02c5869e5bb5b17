"""Make an artifact: work in `OUT/.partial/` under a lock, then move it up with `llmkit.json` last.

A directory with `llmkit.json` is whole; one without is nothing yet. Killing the process at any instant leaves either
the old artifact or an unfinished `.partial/` that the same command takes up again.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Self

from llmkit.core import stop
from llmkit.core.claim import Lock, check_owner, make_directory, remove_empty
from llmkit.core.config import Config, dump
from llmkit.core.damage import check_inputs
from llmkit.core.durable import fsync, write_json
from llmkit.core.errors import CheckFailedError, ConfigError, DataError, MemoryLimitError, UserError
from llmkit.core.extension import RAISES, Passed, lowered_limits
from llmkit.core.fingerprint import Fingerprint, read_run
from llmkit.core.inputs import Inputs
from llmkit.core.lineage import INPUT_FILES
from llmkit.core.manifest import (
    MANIFEST,
    PARTIAL,
    Artifact,
    Manifest,
    Output,
    artifact_id,
    describe_output,
    git_state,
    host_facts,
    read_manifest,
    versions,
)
from llmkit.core.move import LOCK, OWN, REPLACED, RUN, SCRATCH, Kept, move_up

REPLACES = "choose another --output, or add --force to replace it"
MOVES = "choose another --output, or add --force to move it aside and start anew"


class Build:
    """One run of a stage into one output directory; use it as a context manager.

    Attributes:
        out: The output directory.
        dir: Where to write: `OUT/.partial/`.
        finished: The up-to-date artifact, if there is nothing to do.
        resumed: Work of an earlier, interrupted run of the same identity is in `dir`.
        extends: The finished artifact that this run goes on from, if any: its budget was another, or it is damaged.
        moved_aside: Where an unfinished run of another config was put.
        damaged: Files that a finished artifact of this identity has lost, so that it is made again.
    """

    def __init__(
        self,
        out: Path,
        fingerprint: Fingerprint,
        *,
        config: Config,
        inputs: Inputs,
        force: bool = False,
        resumable: bool = False,
        kept: Kept = Kept(),  # noqa: B008 - frozen
        fresh: bool = False,
        passed: Passed | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.out = out
        self.dir = out / PARTIAL
        self.fingerprint = fingerprint
        self.config = config
        self.inputs = inputs
        self.force = force
        self.resumable = resumable
        self.kept = kept
        self.fresh = fresh
        self.passed, self.say = passed, say
        self.finished: Artifact | None = None
        self.resumed = False
        self.extends: Artifact | None = None
        self.moved_aside: Path | None = None
        self.damaged: list[str] = []
        self._lock = Lock(self.dir)
        self._started = time.time()
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        check_owner(self.out)
        if self._take_if_current():
            self._sweep()
            return self
        self._check_inputs()
        self._made = make_directory(self.out)
        try:
            self._lock.acquire()
            self._prepare()
        except BaseException:
            if self._lock.held and [entry.name for entry in self.dir.iterdir()] == [LOCK]:
                shutil.rmtree(self.dir)  # a refused run leaves no trace in a finished artifact
            self._lock.release()
            remove_empty(self._made)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        mistake = kind is not None and issubclass(kind, ConfigError | DataError | CheckFailedError)
        # Too little memory calls for another config as well, but what an earlier stage has done so far would be lost.
        mistake |= kind is not None and issubclass(kind, MemoryLimitError) and not (self.dir / SCRATCH).exists()
        if kind is not None and issubclass(kind, UserError | OSError) and not self.resumable:
            mistake |= not (self.dir / MANIFEST).exists()  # a full disk: it starts anew unless all is there
        if mistake and self._lock.held and not self.kept.adds(self.dir, self.out):
            self._remove_partial()  # nothing to go on from: it would only stand in the way of the corrected command
        self._lock.release()
        remove_empty(self._made)

    @property
    def scratch(self) -> Path:
        """A folder for intermediate files; it never reaches the artifact."""
        folder = self.dir / SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def finish(
        self,
        kind: str,
        *,
        payload: Sequence[str],
        metrics: dict[str, Any],
        resolved: dict[str, Any] | None = None,
        details: dict[str, Any] | None = None,
    ) -> Artifact:
        """Turn `.partial/` into the artifact.

        Args:
            kind: Artifact kind.
            payload: Patterns of the files that make up the id.
            metrics: Results worth a line in `llmkit.json`.
            resolved: Values that were `auto` in the config, as they were resolved.
            details: Facts about the making that are no result.

        Raises:
            Interrupted: A signal has come before the work was whole.
        """
        stop.check()
        if self.inputs.listing:
            (self.dir / INPUT_FILES).write_text("\n".join(self.inputs.listing) + "\n", encoding="utf-8")
        outputs = self._outputs(payload)
        fields = self.fingerprint.fields
        manifest = Manifest(
            stage=fields["stage"],
            stage_version=fields["stage_version"],
            kind=kind,
            id=artifact_id(kind, outputs),
            identity=self.fingerprint.identity,
            config={
                "written": dump(self.config, mode="json"),
                "resolved": resolved or {},
                "fingerprint": fields,
                "run": self.fingerprint.run,
            },
            inputs=self.inputs.entries,
            outputs=outputs,
            metrics=metrics,
            seed=getattr(self.config, "seed", None),
            versions=versions(),
            git=git_state(),
            host=host_facts(),
            started=dt.datetime.fromtimestamp(self._started, dt.UTC).isoformat(timespec="seconds"),
            duration_s=round(time.time() - self._started, 3),
            details=details or {},
            kept=self.kept.folder or "",
        )
        for output in outputs:
            fsync(self.dir / output.path)
        stop.check()
        if (self.out / MANIFEST).exists():
            shutil.copyfile(self.out / MANIFEST, self.dir / REPLACED)
        manifest.write(self.dir / MANIFEST)  # from here on the work is whole: an interrupted move is completed
        move_up(self.dir, self.out)
        return Artifact(self.out, manifest)

    def _outputs(self, payload: Sequence[str]) -> list[Output]:
        """Describe what was written, but the bookkeeping, and what is kept for a longer run."""
        apart = tuple(f"{folder}/" for folder in (SCRATCH, self.kept.folder) if folder)
        outputs = [
            describe_output(self.dir, path, payload=any(fnmatch(name, pattern) for pattern in payload))
            for path in sorted(self.dir.rglob("*"))
            if path.is_file() and (name := _relative(self.dir, path)) not in OWN and not name.startswith(apart)
        ]
        assert any(output.payload for output in outputs), f"nothing matches the payload patterns {payload}"
        return outputs

    def _take_if_current(self) -> bool:
        """Take the finished artifact if it is what this run would make. Needs no lock and no write permission."""
        if (self.dir / MANIFEST).exists():
            return False
        manifest = read_manifest(self.out)
        if manifest is None or manifest.identity != self.fingerprint.identity:
            return False
        artifact = Artifact(self.out, manifest)
        self.damaged = artifact.missing_outputs()
        if self.damaged:
            return False
        with contextlib.suppress(PermissionError):  # someone else's finished work is up to date all the same
            os.utime(self.out / MANIFEST)
        self.finished = artifact
        return True

    def _check_inputs(self) -> None:
        """Refuse to write over what is read: replacing the output would remove it."""
        out = self.out.resolve()
        for item in self.inputs.entries:
            place = Path(item.path).resolve()
            if place == out or out in place.parents:
                raise ConfigError(f"--output {self.out} holds the input {item.path}", hint="choose another --output")

    def _prepare(self) -> None:
        if (self.dir / MANIFEST).exists():
            move_up(self.dir, self.out)
            self._lock.acquire()
        if self._take_if_current():
            self._remove_partial()
            return
        self._check_finished()
        check_inputs(self.inputs.entries, self.say)
        self._check_unfinished()
        if self.fresh or (self.resumed and not self.resumable):
            self._empty_partial()
            self.resumed = False
        if self.extends and not self.resumed:  # before RUN, which says that everything to go on from is there
            self.kept.take_over(self.out, self.dir)
            self.resumed = True
        fields = {"pid": os.getpid(), "run": self.fingerprint.run, **self.fingerprint.fields}
        write_json(self.dir / RUN, fields)

    def _check_finished(self) -> None:
        manifest = read_manifest(self.out)
        if manifest is None:
            return
        same = manifest.identity == self.fingerprint.identity  # but damaged: made again
        old, why, hint = manifest.config["fingerprint"], "", REPLACES
        goes_on = self.resumable and not self.fresh and self.kept.is_in(self.out)
        if goes_on and manifest.config.get("run", "") == self.fingerprint.run:
            why, hint = "" if same else self._passed(self.out, old), RAISES
            self.extends = None if why else Artifact(self.out, manifest)
        if not (same or self.extends or self.force):
            differs = why or self.fingerprint.differences(old)
            raise ConfigError(f"{self.out} is finished, from another run: {differs}", hint=hint)

    def _passed(self, root: Path, before: dict[str, Any]) -> str:
        """Return which limit lies behind what a run with another budget has done, in words; empty for none."""
        if self.passed is not None and self.kept.folder is not None:
            return self.passed(root / self.kept.folder)
        return lowered_limits(self.config, before["config"], self.fingerprint.fields["config"])

    def _check_unfinished(self) -> None:
        run = self._unfinished()
        if run is None:
            return
        other, _ = run.pop("run", ""), run.pop("pid", 0)
        why, hint = "", MOVES
        if other == self.fingerprint.run:
            why, hint = "" if run == self.fingerprint.fields else self._passed(self.dir, run), RAISES
            self.resumed = not why
        if self.resumed:
            return
        if not self.force:
            differs = why or self.fingerprint.differences(run)
            raise ConfigError(f"{self.out} holds an unfinished run of another config: {differs}", hint=hint)
        self._move_aside()

    def _unfinished(self) -> dict[str, Any] | None:
        """Return what is said of the run that was begun here; None for none, or one of which nothing can be kept."""
        file, run = self.dir / RUN, None
        try:
            run = read_run(file)
        except DataError as error:
            if self.kept.adds(self.dir, self.out) and not self.force:
                raise DataError(error.message, hint="choose another --output; --force moves the run aside") from error
        if run is None and self.kept.adds(self.dir, self.out):
            self.say(f"{file} is gone or damaged: what was trained is moved aside with it")
            self._move_aside()
        elif run is None:
            self._empty_partial()  # killed before the fingerprint was written: nothing to keep
        return run

    def _move_aside(self) -> None:
        self.moved_aside = self.out / time.strftime(f"{PARTIAL}-%Y%m%d-%H%M%S")
        self._lock.release()
        self.dir.rename(self.moved_aside)
        self._lock.acquire()

    def _empty_partial(self) -> None:
        for entry in self.dir.iterdir():
            if entry.name != LOCK:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _remove_partial(self) -> None:
        self._lock.release()
        shutil.rmtree(self.dir, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove the empty folder that a process killed in its last moment has left."""
        with contextlib.suppress(ConfigError, OSError):  # in use, not there, or someone else's
            if {entry.name for entry in self.dir.iterdir()} <= {LOCK}:
                self._lock.acquire()
                self._remove_partial()


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
