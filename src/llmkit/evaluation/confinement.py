"""Run programs that nobody has read, such as a model has written: in processes that the kernel confines.

Each program has namespaces of its own: no network, no other processes, and a file system of the Python standard
library, read-only, and a scratch folder in memory. It runs as nobody, without privileges, under limits of memory, time,
files and processes, behind a filter of system calls. `_confined.py` does it; here are the orders and the check that it
holds.

What it proves is that a program was run to its end without an exception. It is no proof against a program that means to
deceive its own tests, since it runs in one interpreter with them: no harness in Python has that.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic

from llmkit.core import stop
from llmkit.core.cores import num_threads
from llmkit.core.doctor import memory_limit
from llmkit.core.errors import SetupError
from llmkit.core.json import dumps
from llmkit.evaluation.system_calls import NAMESPACES, call_filter

SCRIPT = Path(__file__).with_name("_confined.py")
SCRATCH = "/scratch"
"""Where a program may write."""
START_S = 20.0
"""Granted for the start of a process, beside the program's own time: machines are busy."""
LIBRARIES = ("lib", "lib64")
AGAIN = "run the same command again: it goes on"
ELSEWHERE = "measure `code` on a machine that confines programs, or leave the task out"
HINTS = {
    "unshare": "user namespaces are off, as in many containers: run on a machine, or in a virtual one, that has them; "
    "`sysctl kernel.unprivileged_userns_clone user.max_user_namespaces` says whether they are allowed",
    "mount": "the system lets a user namespace mount nothing, as Ubuntu's AppArmor: "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns` says so",
    "uid_map": "root has lost the privileges to say who is who, as in some containers: run as another user",
    "mount_setattr": "it needs Linux 5.14 or newer",
}


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Attributes:
        cpu_s: Seconds of processor time of each of its processes, rounded up.
        wall_s: Seconds on the clock, of the whole.
        memory_mib: Address space of each process, the interpreter's own (about 20) included.
        file_mib: A file, and all files together.
        processes: Processes and threads at a time.
    """

    cpu_s: float = 5.0
    wall_s: float = 15.0
    memory_mib: int = 512
    file_mib: int = 16
    processes: int = 4

    def as_order(self) -> dict[str, int]:
        """Return them by the kernel's names."""
        return {
            "CPU": max(1, -int(-self.cpu_s // 1)), "AS": self.memory_mib << 20, "FSIZE": self.file_mib << 20,
            "NOFILE": 64, "NPROC": self.processes,
        }  # fmt: skip


@dataclass(frozen=True)
class Ending:
    """How a program ended.

    Attributes:
        passed: It ran to its end, without an exception.
        how: `passed`; `failed`, by an assertion; `error`, by another exception; `time`, `memory`; `exit`, it left
            before its end; `signal`, it was killed.
        detail: The exception, or the name of the signal; "" for nothing.
    """

    passed: bool
    how: str
    detail: str = ""


class Confinement:
    """Runs programs under limits.

    Args:
        limits: What each may use.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def run(self, program: str) -> Ending:
        """Run a program, and return how it ended.

        Args:
            program: Python; what it prints is thrown away, and it can import the standard library alone.

        Raises:
            SetupError: This machine does not confine processes, and what is missing.
            Interrupted: A signal has come; the program is ended.
        """
        try:
            code, pivot_root = call_filter()
        except LookupError as error:
            raise _refusal(str(error)) from error
        with tempfile.TemporaryDirectory(prefix="llmkit-") as root:
            reply = _order({
                "program": program, "limits": self.limits.as_order(), "wall_s": self.limits.wall_s,
                "visible": _visible(), "root": root, "scratch": SCRATCH, "scratch_bytes": self.limits.file_mib << 20,
                "namespaces": NAMESPACES, "filter": code, "pivot_root": pivot_root,
            }, self.limits.wall_s + START_S)  # fmt: skip
        if "refused" in reply:
            raise _refusal(str(reply["refused"]))
        return self._ending(reply)

    def run_all(self, programs: Sequence[str]) -> list[Ending]:
        """Run programs, several at a time, and return how they ended, in order."""
        with ThreadPoolExecutor(max(1, min(self.at_a_time(), len(programs))), "program") as pool:
            return list(pool.map(self.run, programs))

    def at_a_time(self) -> int:
        """Return how many programs run at a time: one on each core, as far as half of the memory has room for all."""
        each = self.limits.processes * self.limits.memory_mib << 20
        return max(1, min(num_threads(), memory_limit() // 2 // each))

    def check(self) -> None:
        """Make sure that the limits hold here, by programs that would do no harm if they did not.

        Raises:
            SetupError: One does not hold.
        """
        with _markers() as (file, port):
            ending = self.run(_PROBE.format(file=file, port=port, most=self.limits.processes, process=os.getpid()))
            if not ending.passed:
                why = ending.detail or ending.how
                raise SetupError(f"programs are not run: a confined one was not confined: {why}", ELSEWHERE)
        large = self.run(f"bytearray({self.limits.memory_mib << 20})")
        if large.how != "memory":
            raise SetupError(
                f"programs are not run: one got more than {self.limits.memory_mib} MiB: {large.detail}", ELSEWHERE
            )

    def _ending(self, reply: dict[str, object]) -> Ending:
        error, number = str(reply["error"]), int(str(reply["signal"]))
        if reply["passed"]:
            return Ending(passed=True, how="passed")
        if reply["late"]:
            return Ending(passed=False, how="time", detail=f"more than {self.limits.wall_s:g} s on the clock")
        has_spent = float(str(reply["cpu_s"])) >= 0.9 * self.limits.as_order()["CPU"]
        if number == signal.SIGXCPU or (number == signal.SIGKILL and has_spent):
            return Ending(passed=False, how="time", detail=f"more than {self.limits.cpu_s:g} s of processor time")
        if number:
            return Ending(passed=False, how="signal", detail=signal.Signals(number).name)
        if not error:
            return Ending(passed=False, how="exit", detail="it ended before the tests had run to their end")
        name = error.partition(":")[0]
        how = {"AssertionError": "failed", "MemoryError": "memory", "SystemExit": "exit"}.get(name, "error")
        return Ending(passed=False, how=how, detail=error.removesuffix(": ")[:500])


def _order(order: dict[str, object], timeout_s: float) -> dict[str, object]:
    """Return what the script says; nothing that it started is left."""
    command = [sys.executable, "-P", "-s", "-S", "-B", str(SCRIPT)]
    # Nothing of the environment is known to a program; its sets have the same order each time.
    with subprocess.Popen(
        command, env={"PYTHONHASHSEED": "0"}, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = _communicate(process, dumps(order).encode(), timeout_s)
        finally:
            with contextlib.suppress(ProcessLookupError):  # the processes below it die with it
                os.killpg(process.pid, signal.SIGKILL)
    if not out:
        said = err.decode("utf-8", "replace").strip().rpartition("\n")[2] or "no word"
        raise SetupError(f"programs are not run: of the process that confines them there is {said}", AGAIN)
    reply: dict[str, object] = json.loads(out)
    return reply


def _communicate(process: subprocess.Popen[bytes], said: bytes, timeout_s: float) -> tuple[bytes, bytes]:
    """Return what a process writes; while it is waited for, signals are heeded.

    Raises:
        SetupError: It takes longer than it can.
    """
    until, waiting = monotonic() + timeout_s, said
    while True:
        stop.check()
        try:
            return process.communicate(waiting, timeout=stop.POLL_S)
        except subprocess.TimeoutExpired:
            waiting = b""  # the rest is sent by the next call
            if monotonic() > until:
                raise SetupError(f"programs are not run: none has ended within {timeout_s:g} s", AGAIN) from None


def _refusal(why: str) -> SetupError:
    hint = next((hint for word, hint in HINTS.items() if f"({word})" in why), ELSEWHERE)
    return SetupError(f"programs are not run: this machine does not confine them: {why}", hint)


@cache
def _visible() -> list[str]:
    """Return the directories of the standard library, and of the libraries that it is linked with."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    own = [Path(prefix, name, version) for prefix in (sys.base_prefix, sys.base_exec_prefix) for name in LIBRARIES]
    shared = [Path(prefix, name) for prefix in ("/", "/usr", sys.base_prefix) for name in LIBRARIES]
    found: list[str] = []
    there = {path.absolute() for path in (*own, *shared) if path.is_dir()}
    for path in sorted(there, key=lambda path: (len(path.parts), path)):
        if not any(path.is_relative_to(other) for other in found):
            found.append(str(path))
    return found


@contextlib.contextmanager
def _markers() -> Iterator[tuple[str, int]]:
    """Make what a confined program must not reach: a file, and an open port of this machine."""
    with tempfile.TemporaryDirectory(prefix="llmkit-") as folder, socket.socket() as server:
        marker = Path(folder, "marker")
        marker.write_text("of the user's", encoding="utf-8")
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        yield str(marker), server.getsockname()[1]


_PROBE = """
import os, socket, time

def fails(what, action, *arguments):
    try:
        action(*arguments)
    except OSError:
        return
    raise RuntimeError(what)

def connect():
    with socket.create_connection(("127.0.0.1", {port}), 1):
        pass

def fork():
    for _ in range({most} + 4):
        if not os.fork():
            time.sleep(60)
            os._exit(0)

fails("it could read a file of the user's", open, {file!r})
fails("it could write beside one", open, {file!r} + "-written", "w")
fails("it could write into the root", open, "/written", "w")
fails("it could write into the library", open, os.path.dirname(os.__file__) + "/written", "w")
fails("it could reach the network", connect)
fails("it could start another program", os.execv, "/bin/true", ["true"])
fails("it could see another process", os.kill, {process}, 0)
with open("written", "w") as file:
    file.write("what may be written")
fails("it could start more processes than it may", fork)
"""
"""Nothing in it does harm where it does work. The children end with the program, at the latest after a minute."""
