"""Start a training as several processes on this machine: `--nproc N`, and what any launcher says about itself.

torchrun turns every failure into exit code 1 and kills 30 s after a SIGTERM; this launcher forwards the signal once,
waits for the save and returns the processes' own code.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Self

from llmkit.core.cores import num_cores
from llmkit.core.errors import ConfigError, Interrupted, MemoryLimitError, UserError
from llmkit.core.stop import held

SIZE_VARIABLES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANK_VARIABLES = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
"""Where torchrun, accelerate and the MPI launchers say how many processes they started, and which one this is."""
PARENT = "LLMKIT_LAUNCHER"
"""Set in the processes that `--nproc` starts: the launcher's process id."""
POLL_S = 0.05
GRACE_S = 3.0
"""Seconds that the others get to say why they end, once one process has failed."""
SAVE_S = 600.0
"""Seconds that they get to save, once one process was interrupted."""


def world() -> tuple[int, int]:
    """Return rank and number of processes, as the launcher's environment gives them; (0, 1) without a launcher."""
    return _number(RANK_VARIABLES, 0), _number(SIZE_VARIABLES, 1)


def is_ours() -> bool:
    """Tell whether `--nproc` started this process, not another launcher."""
    return PARENT in os.environ


def check_launch(nproc: int = 1) -> None:
    """Refuse what would train something else than was asked for, before anything is touched.

    Args:
        nproc: What `--nproc` says.

    Raises:
        ConfigError: Two launchers at once, or one that started fewer processes than it was asked to.
    """
    size = world()[1]
    if size > 1 and nproc > 1 and not is_ours():
        raise ConfigError(f"--nproc {nproc} under a launcher that has started {size} processes already",
                          hint="leave one of the two out")  # fmt: skip
    if size > 1 and not os.environ.get("MASTER_ADDR"):
        raise ConfigError(
            f"{size} processes, but MASTER_ADDR does not say where the first one runs",
            hint="export MASTER_ADDR=HOST MASTER_PORT=29500, or start them with torchrun or --nproc",
        )
    # `accelerate launch --cpu --num_processes N` starts one process; the address for the others is all that it leaves.
    alone = "MASTER_ADDR" in os.environ and all(not os.environ.get(name) for name in SIZE_VARIABLES)
    if alone and nproc == 1 and os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("true", "1"):
        raise ConfigError(
            "accelerate launch --cpu has started one process only, whatever --num_processes says",
            hint="leave accelerate out and add --nproc N; or torchrun --nproc_per_node N -m llmkit ...",
        )


def start(nproc: int, command: Sequence[str]) -> int:
    """Run the command as `nproc` processes and return their exit code.

    Args:
        nproc: Number of processes.
        command: What each of them runs.

    Returns:
        0, or the code of the first process that failed, where rank 0 has said why.

    Raises:
        UserError: A process failed and could not say why, or not on rank 0: killed, or out of memory (code 5).
        Interrupted: A signal came before the processes could handle it.
    """
    with _Group(nproc, command) as group:
        return group.wait()


class _Group:
    """The processes of one training.

    They are a session of their own: Ctrl-C in a terminal reaches the launcher alone, which passes it on once.
    """

    def __init__(self, nproc: int, command: Sequence[str]) -> None:
        self.nproc, self.command = nproc, command
        self.processes: list[subprocess.Popen[bytes]] = []
        self.signal: int | None = None
        self._before: dict[int, Any] = {}
        self._held = held()  # the processes save in their own time

    def __enter__(self) -> Self:
        self._held.__enter__()
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._forward)
        port = str(_free_port())
        for rank in range(self.nproc):
            environment = {**os.environ, **_environment(rank, self.nproc, port)}
            self.processes.append(subprocess.Popen(self.command, env=environment, start_new_session=True))
        if self.signal is not None:  # it came before all of them were there
            self._send(self.signal)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._held.__exit__(None, None, None)

    def wait(self) -> int:
        """Wait for all, or for the first failure and a while longer; see `start`."""
        while True:
            codes = [process.poll() for process in self.processes]
            failed = [rank for rank, code in enumerate(codes) if code]
            if failed:
                return self._end(failed[0], codes[failed[0]] or 0)
            if all(code == 0 for code in codes):
                return 0
            time.sleep(POLL_S)

    def _end(self, rank: int, code: int) -> int:
        """Let the others end by themselves, and return or raise what the first to fail means."""
        deadline = time.monotonic() + (SAVE_S if code == Interrupted.exit_code else GRACE_S)
        while any(process.poll() is None for process in self.processes) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        leader = self.processes[0].poll()
        if leader is not None and leader > 0:
            return leader  # it has said why
        if code == -signal.SIGKILL:
            raise MemoryLimitError(
                f"out of memory: the system has killed process {rank} of {self.nproc}",
                hint="lower micro_batch_tokens or --nproc; the same command goes on from the last checkpoint",
            )
        if self.signal is not None:
            raise Interrupted(
                f"interrupted by {signal.Signals(self.signal).name}", hint="run the same command again to go on"
            )
        if code < 0:
            raise _failed(1, f"process {rank} of {self.nproc} was ended by {signal.Signals(-code).name}")
        raise _failed(code, f"process {rank} of {self.nproc} alone has failed, with exit code {code}")

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        """Pass the first signal on; a second one ends everything at once."""
        if self.signal is None:
            self.signal = number
            self._send(number)
            return
        for process in self.processes:
            process.kill()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _send(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)


def _environment(rank: int, nproc: int, port: str) -> dict[str, str]:
    """Return what torchrun would set; the cores are shared out, unless the user has said how many threads."""
    threads = max(1, num_cores() // nproc)
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(nproc),
        "LOCAL_WORLD_SIZE": str(nproc),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
        PARENT: str(os.getpid()),
    }


def _failed(code: int, message: str) -> UserError:
    error = UserError(message, hint="its own words are above")
    error.exit_code, error.kind = code, "process"
    return error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _number(names: Sequence[str], default: int) -> int:
    for name in names:
        value = os.environ.get(name, "")
        if value.isdecimal():
            return int(value)
    return default
