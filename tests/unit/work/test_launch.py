from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from llmkit.core.errors import ConfigError, Interrupted, MemoryLimitError, UserError
from llmkit.work import launch
from llmkit.work.launch import PARENT, RANK_VARIABLES, SIZE_VARIABLES, check_launch, start, world

RANK = "import os, signal, sys, time; rank = int(os.environ['RANK']); "


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in (*SIZE_VARIABLES, *RANK_VARIABLES, PARENT, "MASTER_ADDR", "MASTER_PORT", "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(launch, "GRACE_S", 0.2)


def run(program: str, nproc: int = 2) -> int:
    return start(nproc, [sys.executable, "-S", "-c", RANK + program])


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, (0, 1)),
    ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
    ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
    ({"RANK": "", "WORLD_SIZE": "x"}, (0, 1)),
])  # fmt: skip
def test_the_world_is_what_the_launcher_says(monkeypatch, environment, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert world() == expected


def test_accelerate_that_starts_one_process_for_several_is_refused(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    check_launch()  # --num_processes 1
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(ConfigError, match="accelerate launch --cpu has started one process only") as caught:
        check_launch()
    assert "--nproc N" in caught.value.hint
    assert "torchrun --nproc_per_node N -m llmkit" in caught.value.hint
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launch()


def test_two_launchers_at_once_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    check_launch()
    with pytest.raises(ConfigError, match="--nproc 4 under a launcher that has started 2 processes"):
        check_launch(4)
    monkeypatch.setenv(PARENT, "1")
    check_launch(2)


def test_several_processes_need_an_address(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ConfigError, match="MASTER_ADDR does not say") as caught:
        check_launch()
    assert "export MASTER_ADDR" in caught.value.hint


def test_every_process_gets_its_rank_and_its_share_of_the_cores(capfd, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    names = ("LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "OMP_NUM_THREADS")
    program = f"print(rank, *(os.environ[n] for n in {names}), os.environ['MASTER_PORT'].isdecimal(), flush=True)"
    assert run(program, 3) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == [f"{r} {r} 3 3 127.0.0.1 2 True" for r in range(3)]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert run("print(os.environ['OMP_NUM_THREADS'])", 1) == 0
    assert capfd.readouterr().out == "5\n"


@pytest.mark.parametrize("code", [2, 3, 5, 6, 75])
def test_the_code_that_rank_0_and_the_others_end_with(code):
    assert run(f"sys.exit({code})") == code


def test_the_code_of_rank_0_alone_ends_the_others():
    assert run("sys.exit(3) if rank == 0 else time.sleep(600)", 3) == 3


def test_another_rank_that_fails_alone_is_named():
    with pytest.raises(UserError, match="process 1 of 2 alone has failed, with exit code 3") as caught:
        run("sys.exit(3) if rank else time.sleep(600)")
    assert caught.value.exit_code == 3


def test_a_killed_process_means_out_of_memory():
    with pytest.raises(MemoryLimitError, match="out of memory: the system has killed process 1 of 2") as caught:
        run("os.kill(os.getpid(), signal.SIGKILL) if rank else time.sleep(600)")
    assert caught.value.exit_code == 5
    assert "lower micro_batch_tokens or --nproc" in caught.value.hint


def test_a_crashed_process_is_a_bug():
    with pytest.raises(UserError, match="process 0 of 2 was ended by SIGSEGV") as caught:
        run("os.kill(os.getpid(), signal.SIGSEGV) if rank == 0 else time.sleep(600)")
    assert caught.value.exit_code == 1


LAUNCHER = """
import sys
from llmkit.work import launch
from llmkit.work.launch import start
from llmkit.core.errors import Interrupted
launch.GRACE_S = 0.1
try:
    sys.exit(start(2, [sys.executable, "-S", "-u", "-c", sys.argv[1]]))
except Interrupted as error:
    print(error.message, error.hint)
    sys.exit(error.exit_code)
"""
SAVES = (
    RANK
    + """
def stop(number, frame):
    if rank == 0:
        time.sleep(0.5)  # longer than the others are waited for after an error
        os.write(1, f"saved after {signal.Signals(number).name}\\n".encode())
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
os.write(1, b"ready\\n")
while True:
    time.sleep(0.01)
"""
)


def started(program: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-u", "-c", LAUNCHER, program], stdout=subprocess.PIPE, text=True)
    for _ in range(2):
        assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_save_is_waited_for(number):
    with started(SAVES) as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert out == f"saved after {number.name}\n"
    assert process.returncode == 75


def test_processes_that_a_signal_ends_before_they_can_handle_it_are_resumable_too():
    with started(RANK + r"os.write(1, b'ready\n'); time.sleep(600)") as process:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert out == "interrupted by SIGTERM run the same command again to go on\n"
    assert process.returncode == Interrupted.exit_code


def test_a_second_signal_ends_everything_at_once():
    deaf = RANK + (
        r"signal.signal(signal.SIGTERM, lambda *_: os.write(1, b'heard\n')); os.write(1, b'ready\n')"
        "\nwhile True: time.sleep(0.01)"
    )
    with started(deaf) as process:
        process.send_signal(signal.SIGTERM)
        assert {process.stdout.readline() for _ in range(2)} == {"heard\n"}
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)  # ends only when nobody holds the pipe any more
    assert process.returncode == -signal.SIGTERM
    assert out == ""


def test_nothing_is_left_running(tmp_path):
    program = (
        f"open(f'{tmp_path}/{{rank}}', 'w').write(str(os.getpid())); sys.exit(3) if rank == 0 else time.sleep(600)"
    )
    assert run(program) == 3
    for file in tmp_path.iterdir():  # killed before it began, a process has left none
        with pytest.raises(ProcessLookupError):
            os.kill(int(file.read_text()), 0)
