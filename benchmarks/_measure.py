"""Run a command on given cores and measure its time, its processor time and the memory of all its processes."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

SAMPLES_PER_S = 20
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS")


@dataclass(frozen=True)
class Measurement:
    """What one run took.

    Attributes:
        seconds: Wall time, the start of Python included.
        cpu_seconds: User and system time of the process and of all children it waited for.
        peak_bytes: Largest sum of the resident sets of all its processes, sampled; pages that two of them share count
            twice, so it errs upwards.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class RunError(Exception):
    """A measured command failed; the message ends with the last lines it printed, the log has all."""


def run(
    command: Sequence[str], *, cores: Sequence[int], log: Path, shared: bool = False, threads: int = 1
) -> Measurement:
    """Run a command, its output in `log`.

    Args:
        command: Program and arguments.
        cores: Numbers of the cores it may use, its children as well (Linux only).
        log: File for stdout and stderr.
        shared: Count a page that several processes share in parts, not in each: slower to find out, so sampled less.
        threads: Threads per process in the numeric libraries.

    Raises:
        RunError: It ended with another exit code than 0.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        start = perf_counter()
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict.fromkeys(_THREADS, str(threads)), "GOMP_SPINCOUNT": "5000"},
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509 - no thread holds a lock here
        )
        peak = [0]
        done = threading.Event()
        sampler = threading.Thread(target=_sample, args=(process.pid, done, peak, shared))
        sampler.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            seconds = perf_counter() - start
            done.set()
            sampler.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-2:])
        raise RunError(f"{_ended(process.returncode, peak[0])}: {' '.join(command)}\n{tail}")
    return Measurement(seconds, usage.ru_utime + usage.ru_stime, peak[0])


def _ended(code: int, peak_bytes: int) -> str:
    """Say how a command has failed; one that the system kills for memory has no words of its own."""
    if code >= 0:
        return f"exit code {code}"
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    memory = f"{peak_bytes / 1e9:.1f} GB of {there / 1e9:.1f} GB were seen in use"
    return f"killed by {signal.Signals(-code).name}, {memory}"


def _sample(pid: int, done: threading.Event, peak: list[int], shared: bool) -> None:
    while not done.wait(10 / SAMPLES_PER_S if shared else 1 / SAMPLES_PER_S):
        peak[0] = max(peak[0], tree_bytes(pid, shared=shared))


def tree_bytes(pid: int, *, shared: bool = False) -> int:
    """Return the resident bytes of a process and all below it; 0 for one that has ended.

    With `shared`, a page of n processes counts as an nth in each (PSS).

    Read from /proc directly: a walk over all processes of the machine, 20 times a second, would cost what is measured.
    """
    try:
        if shared:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total = 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        else:
            total = int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_bytes().split()
        ]
    except (OSError, IndexError):
        return 0
    return total + sum(tree_bytes(child, shared=shared) for child in children)


def machine(packages: Sequence[str]) -> dict[str, Any]:
    """Return the processor, the system and the versions of the packages; null for one that is not installed."""
    names = [line.split(":", 1)[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _cpu_lines() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text().splitlines() if info.exists() else []
