"""Processes that this one starts: none outlives it, and waiting for one ends when a signal has come."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence

from llmkit.core import stop

_SET_PARENT_DEATH_SIGNAL = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process with the one that started it, however that ends.

    A worker that goes on after a `kill -9` would write what the next run writes, and hold the output's lock.

    Args:
        parent: Process id of the starter; it may be gone already.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:  # not Linux: a thread looks, and is late where one long call into C holds Python's lock
        threading.Thread(target=_look_after, args=(parent,), name="parent", daemon=True).start()
        return
    prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _look_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(stop.POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)


def run_child(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return its code and what it has printed.

    Raises:
        Interrupted: A signal has come; the command is ended.
    """
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        try:
            while True:
                stop.check()
                try:
                    out, err = process.communicate(timeout=stop.POLL_S)
                except subprocess.TimeoutExpired:
                    continue
                return subprocess.CompletedProcess(command, process.returncode, out, err)
        except BaseException:
            process.kill()
            raise
