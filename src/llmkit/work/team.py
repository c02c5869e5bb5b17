"""One process of several in a training: it joins the others, follows rank 0's build and fails together with it.

Rank 0 alone talks. Each other process writes to a file, which is shown, with its rank, only if it fails alone.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.distributed.rendezvous import rendezvous

from llmkit.core import stop
from llmkit.core.claim import EXIT
from llmkit.core.durable import write_json
from llmkit.core.errors import Interrupted, SetupError, UserError
from llmkit.core.json import dumps
from llmkit.core.machine import exit_code, explain
from llmkit.core.manifest import MANIFEST, PARTIAL
from llmkit.work.child import die_with
from llmkit.work.launch import PARENT, is_ours, world

POLL_S = 0.02
HOLD_S = 10.0
"""Seconds that a process which only lost the others waits for the launcher to end it: the cause is theirs to tell."""
VERDICT_S = 3.0
"""Seconds that a failed process waits for rank 0 to fail alike."""
SAVE_S = 60.0
"""The same after a signal: rank 0 saves first."""
TIMEOUT = dt.timedelta(days=1)
"""No step, save or validation of another process takes longer; a dead one is noticed at once."""


class Team:
    """The processes of one training; a context manager around everything the process does.

    Attributes:
        rank: This process; 0 leads.
        size: Number of processes.
        out: The output directory; under a foreign launcher `OUT/exit.json` gets the exit code.
    """

    def __init__(self, out: Path) -> None:
        self.rank, self.size = world()
        self.out = out
        self._silence: _Silence | None = None

    def __enter__(self) -> Self:
        _die_with_launcher()
        stop.before_the_end(lambda interrupted: self._report(interrupted.exit_code, interrupted.message))
        if self.rank:
            self._silence = _Silence(self.rank)
        elif not is_ours() and _is_ours_or_new(self.out):
            with contextlib.suppress(OSError):  # someone else's finished work is up to date all the same
                (self.out / EXIT).unlink(missing_ok=True)
        try:
            self._join()
        except BaseException:
            if self._silence is not None:
                self._silence.break_at_exit()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._leave()
            if self.rank == 0:
                self._report(0)
            return
        lost = _lost_the_others(error)
        if lost:
            deadline = time.monotonic() + HOLD_S
            with stop.held() as told:  # so torchrun ends it
                while told.name is None and time.monotonic() < deadline:
                    time.sleep(POLL_S)
            error = SetupError("the connection to another process of this training is lost",
                               hint="run the same command again to go on")  # fmt: skip
        with stop.held():  # rank 0 saves first
            if not self._fail(error):
                return
        if lost:
            raise error

    def _fail(self, error: BaseException) -> bool:
        """Fail together with the others; return whether this process has something to say."""
        known = explain(error, self.out)
        # A reader that has left is no failure to the shell, but to the others an unfinished run is one.
        code, message = exit_code(error) or 1, str(error) if known is None else known.message
        if self.rank == 0:
            self._say_failed(code)
        elif self._leader_fails(SAVE_S if isinstance(error, Interrupted) else VERDICT_S):
            return False
        elif self._silence is not None and not isinstance(error, Interrupted):
            self._silence.break_at_exit()
        self._report(code, message)
        return True

    @property
    def leads(self) -> bool:
        """Whether this process writes and talks."""
        return self.rank == 0

    def tell(self, key: str, value: dict[str, Any]) -> None:
        """Say something to the others, once; rank 0 does."""
        self.store.set(key, dumps(value))

    def hear(self, key: str) -> dict[str, Any]:
        """Wait for what rank 0 tells.

        Raises:
            UserError: Rank 0 has failed instead; with its exit code.
        """
        while not self.store.check([key]):
            if self.store.check(["failed"]):
                raise _alike(int(self.store.get("failed")))
            stop.check()
            time.sleep(POLL_S)
        value: dict[str, Any] = json.loads(self.store.get(key))
        return value

    def _join(self) -> None:
        backend, local, devices = "gloo", int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if devices:
            if local >= devices:
                raise SetupError(f"process {local + 1} on this machine has no GPU: there are {devices}",
                                 hint=f"--nproc {devices}")  # fmt: skip
            torch.cuda.set_device(local)
            backend = "cpu:gloo,cuda:nccl"
        # The environment's own rendezvous: torchrun's agent keeps the store, else rank 0 does.
        self.store, _, _ = next(rendezvous("env://", rank=self.rank, world_size=self.size, timeout=TIMEOUT))
        torch.distributed.init_process_group(
            backend, store=self.store, rank=self.rank, world_size=self.size, timeout=TIMEOUT
        )

    def _say_failed(self, code: int) -> None:
        try:
            self.store.set("failed", str(code))
        except (RuntimeError, AttributeError):  # no store, or nobody there to hear
            return
        if is_ours():
            time.sleep(5 * POLL_S)  # rank 0 keeps the store: let the others read it

    def _leader_fails(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        try:
            while not self.store.check(["failed"]):
                if time.monotonic() > deadline:
                    return False
                time.sleep(POLL_S)
        except (RuntimeError, AttributeError):
            return True  # rank 0 is gone with its store, or there never was one
        return True

    def _leave(self) -> None:
        """Leave together: the store is gone with rank 0."""
        self.store.add("left", 1)
        if self.rank == 0:
            deadline = time.monotonic() + SAVE_S
            while self.store.add("left", 0) < self.size and time.monotonic() < deadline:
                time.sleep(POLL_S)
        torch.distributed.destroy_process_group()

    def _report(self, code: int, message: str = "") -> None:
        """Write OUT/exit.json for those who only see a foreign launcher's code; the first to fail has the say."""
        target = self.out / EXIT
        if is_ours() or target.exists() or not _is_ours_or_new(self.out):
            return
        with contextlib.suppress(OSError):
            self.out.mkdir(parents=True, exist_ok=True)
            write_json(target, {"exit_code": code, "rank": self.rank, "processes": self.size, "message": message})


class _Silence:
    """Output of a process that is not to be heard, in a file, until it turns out that it alone has failed."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        sys.stdout.flush()
        sys.stderr.flush()
        self.errors = os.dup(2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(self.file.fileno(), 2)

    def break_at_exit(self) -> None:
        """Show the file once the error itself is written to it."""
        atexit.register(self._show)

    def _show(self) -> None:
        sys.stderr.flush()
        self.file.seek(0)
        for line in self.file.read().decode("utf-8", errors="replace").splitlines():
            os.write(self.errors, f"rank {self.rank}: {line}\n".encode())


def _die_with_launcher() -> None:
    """Have the kernel kill this process with its launcher, or a killed run would hold the output's lock."""
    if not is_ours():
        return
    die_with(int(os.environ[PARENT]))


def _lost_the_others(error: BaseException) -> bool:
    """Tell whether an error only means that another process has ended."""
    if isinstance(error, torch.distributed.DistError):
        return True
    words = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe")
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in words)


def _alike(code: int) -> UserError:
    error = UserError("rank 0 has failed")
    error.exit_code = code
    return error


def _is_ours_or_new(out: Path) -> bool:
    """Tell whether a directory may get a file of ours."""
    if not out.exists():
        return True
    ours = (MANIFEST, PARTIAL, EXIT)
    return out.is_dir() and (not any(out.iterdir()) or any((out / name).exists() for name in ours))
