"""`ulimit -f`, `-v` and `-n`, no more threads, and disks of all sizes: words, and in peace the same command goes on."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from campaign._cases import Case
from campaign._twice import OUT, Subject, disturbed, subjects, twice

SEED = 21
COUNT = 6
"""Cases of each subject and limit."""
SETTINGS = {"clean": [], "tokenize": ["-s", "workers=1"], "pretrain": [], "finetune": [], "lora": [], "eval": [],
            "export": [], "predict": [], "generate": [], "index": []}  # fmt: skip
CODES = {"file size": {4}, "open files": {4}, "memory": {4, 5}, "threads": {4, 5}, "disk": {4}}
LIBRARY_ENDS = (-signal.SIGABRT, -signal.SIGSEGV, -signal.SIGBUS)
"""How a process ends that gets no memory in C++ code which looks at nothing: no words, and nothing is lost."""


def cases(scratch: Path) -> Iterator[Case]:
    """Yield every case; see `campaign.damage.cases`."""
    choose = random.Random(SEED)
    disks = _can_mount(scratch)
    for subject in list(subjects(scratch, SETTINGS)):
        for _ in range(COUNT):
            yield _short(subject, "file size", choose_size(choose, 10, 20), partial(_limit, resource.RLIMIT_FSIZE))
            yield _short(subject, "open files", choose.randint(6, 40), partial(_limit, resource.RLIMIT_NOFILE))
            yield _short(subject, "memory", choose_size(choose, 20, 30), _limit_memory)
            yield _short(subject, "threads", choose.randint(0, 4), _limit_threads)
            if disks:
                yield _on_a_disk(subject, choose_size(choose, 12, 20))


def choose_size(choose: random.Random, low: int, high: int) -> int:
    """Return a number of bytes between two powers of two, each magnitude as likely."""
    return int(2 ** choose.uniform(low, high))


def _short(subject: Subject, what: str, amount: int, limit: Callable[[int], object]) -> Case:
    def disturb(folder: Path) -> str:
        end = disturbed(subject.command, folder, at_start=lambda: limit(amount))
        return _judged(what, end.code, end.said)

    return twice(f"with {amount:,} of {what}", subject, disturb)


def _judged(what: str, code: int, said: str) -> str:
    if what in ("memory", "threads") and code in LIBRARY_ENDS:
        return ""
    last = (said.strip().splitlines() or [""])[-1]
    if "Traceback" in said:
        return f"exit {code}, a traceback: {last}"
    if code and code not in CODES[what]:
        return f"exit {code}: {said.strip()[-300:]}"
    return "" if not code or "error: " in said else f"exit {code} without words"


def _limit(kind: int, amount: int) -> None:
    resource.setrlimit(kind, (amount, resource.getrlimit(kind)[1]))


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + more)


def _limit_threads(number: int) -> None:
    """Let the process start so many threads more, as `ulimit -u` would for one who is not root."""
    start, left = threading.Thread.start, [number]

    def counted(self: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("can't start new thread")
        start(self)

    threading.Thread.start = counted  # type: ignore[method-assign]


def _can_mount(scratch: Path) -> bool:
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        return _mount(Path(place), 4096) and _unmount(Path(place))


def _mount(place: Path, num_bytes: int, *how: str) -> bool:
    options = ",".join([*how, f"size={num_bytes}"])
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _unmount(place: Path) -> bool:
    return subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False).returncode == 0


def _on_a_disk(subject: Subject, num_bytes: int) -> Case:
    def disturb(folder: Path) -> str:
        (folder / OUT).mkdir()
        _mount(folder / OUT, num_bytes)
        end = disturbed(subject.command, folder)
        return _judged("disk", end.code, end.said)

    def prepare(folder: Path) -> None:
        _mount(folder / OUT, 2**26, "remount")

    case = twice(f"on a disk of {num_bytes:,} bytes", subject, disturb, prepare=prepare)

    def check(folder: Path) -> str:
        try:
            return case.check(folder)
        finally:
            _unmount(folder / OUT)
            shutil.rmtree(folder / OUT, ignore_errors=True)

    return Case(case.name, case.build, case.codes, check=check)
