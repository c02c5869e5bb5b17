"""Programs under limits: each tries one thing that it must not be able to do, with input that would do no harm."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from llmkit.core.errors import SetupError
from llmkit.evaluation import confinement
from llmkit.evaluation.confinement import Confinement, Ending, Limits

LIMITS = Limits(cpu_s=1, wall_s=30, memory_mib=128, file_mib=2, processes=3)


@pytest.fixture(scope="module")
def confined():
    found = Confinement(LIMITS)
    try:
        found.check()
    except SetupError as error:
        pytest.skip(f"the kernel of this machine confines no programs: {error.message}")
    return found


def test_a_program_passes_that_runs_to_its_end(confined):
    assert confined.run("import math\nassert math.comb(4, 2) == 6") == Ending(True, "passed")


@pytest.mark.parametrize(("program", "how", "detail"), [
    ("assert 1 == 2, 'no'", "failed", "AssertionError: no"),
    ("assert False", "failed", "AssertionError"),
    ("1 / 0", "error", "ZeroDivisionError: division by zero"),
    ("def f(:", "error", "SyntaxError: invalid syntax (program.py, line 1)"),
    ("def f(n): return f(n + 1)\nf(0)", "error", "RecursionError: maximum recursion depth exceeded"),
    ("import numpy", "error", "ModuleNotFoundError: No module named 'numpy'"),
    ("while True: pass", "time", "more than 1 s of processor time"),
    ("x = []\nwhile True: x.append(bytearray(1 << 20))", "memory", "MemoryError"),
    ("import os\nos._exit(0)\nassert False", "exit", "it ended before the tests had run to their end"),
    ("import sys\nsys.exit(0)", "exit", "SystemExit: 0"),
    ("import os\nos.kill(os.getpid(), 9)", "signal", "SIGKILL"),
    ("import os\nos.abort()", "signal", "SIGABRT"),
    ("import os\nos.closerange(0, 64)", "exit", None),
])  # fmt: skip
def test_how_it_ended(confined, program, how, detail):
    ending = confined.run(program)
    assert (ending.passed, ending.how) == (False, how)
    assert detail is None or ending.detail == detail


def test_sleep_is_ended_by_the_clock():
    began = time.monotonic()
    ending = Confinement(Limits(cpu_s=1, wall_s=0.5)).run("import time\ntime.sleep(30)")
    assert ending == Ending(False, "time", "more than 0.5 s on the clock")
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("program", [
    "open('/etc/passwd')",
    "import os\nos.listdir('/home')",
    "import os\nos.listdir('/proc')",
    "open('/written', 'w')",
    "open('/tmp/written', 'w')",
    "import os\nopen(os.__file__, 'a')",
    "import os\nos.symlink('/', '/lib/root')",
    "import socket\nsocket.socket()",
    "import socket\nsocket.socket(socket.AF_UNIX)",
    "import subprocess\nsubprocess.run(['true'])",
    "import os\nos.execv('/bin/true', ['true'])",
    "import os\nos.setuid(0)\nos.listdir('/root')",
    "import os\nos.chroot('.')",
    "import ctypes, os\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError",
    "import os\nos.memfd_create('x')",
    "import os\nos.nice(-5)",
    "import os, sys\nos.mknod('disk', 0o60600, os.makedev(8, 0))",
    "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (900, 900))",
    "f = open('large', 'wb')\nfor _ in range(4): f.write(bytes(1 << 20)); f.flush()",
    "for i in range(9): open(f'f{i}', 'wb').write(bytes(1 << 20))",
    "files = [open('/dev/null') for _ in range(100)]",
])  # fmt: skip
def test_what_it_may_not_do(confined, program):
    ending = confined.run(program)
    assert ending.how in ("error", "signal"), ending
    assert ending.detail.split(":")[0] in {
        "PermissionError", "FileNotFoundError", "OSError", "BlockingIOError", "ValueError", "SIGXFSZ",
    }, ending  # fmt: skip


def test_its_own_folder_is_empty_each_time_and_takes_files(confined):
    program = "import os\nassert os.listdir() == []\nopen('a', 'w').write('b')\nassert open('a').read() == 'b'"
    assert [confined.run(program).how for _ in range(2)] == ["passed", "passed"]


def test_it_knows_nothing_of_the_environment(confined, monkeypatch):
    monkeypatch.setenv("OWN_KEY", "a secret")
    assert confined.run("import os\nassert 'OWN_KEY' not in os.environ, dict(os.environ)").passed


def test_files_and_ports_of_the_machine_are_out_of_reach(confined, tmp_path):
    marker = tmp_path / "marker"
    marker.write_text("x")
    assert confined.run(f"open({str(marker)!r})").detail.startswith("FileNotFoundError")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)"
        assert confined.run(program).how == "error"


def test_processes_are_few_and_none_is_left(confined):
    before = _children_of_ours()
    forks = "import os, time\nfor _ in range({}):\n    if not os.fork():\n        time.sleep(20)\n        os._exit(0)\n"
    assert confined.run(forks.format(2)).passed
    assert confined.run(forks.format(3)).detail.startswith("BlockingIOError")
    assert _children_of_ours() == before


def test_threads_count_as_processes(confined):
    threads = "import threading, time\nfor _ in range({}): threading.Thread(target=time.sleep, args=(9,)).start()"
    assert confined.run(threads.format(2)).passed
    assert confined.run(threads.format(9)).detail == "RuntimeError: can't start new thread"


def test_it_sees_and_ends_no_process_but_its_own(confined):
    assert confined.run("import os\nassert os.getpid() == 2 and os.getppid() == 1").passed
    assert confined.run("import os\nos.kill(1, 9)\nos.kill(os.getppid(), 15)").passed  # the first process is deaf to it
    assert confined.run(f"import os\nos.kill({os.getpid()}, 0)").detail.startswith("ProcessLookupError")
    assert confined.run("import os, signal\nos.killpg(0, signal.SIGTERM)").detail == "SIGTERM"


def test_what_it_prints_is_thrown_away(confined, capfd):
    assert confined.run("import sys\nfor _ in range(300): print('x' * 100000)\nprint('y', file=sys.stderr)").passed
    assert capfd.readouterr() == ("", "")


def test_what_an_exception_says_is_cut(confined):
    assert len(confined.run("raise ValueError('x' * 10**6)").detail) == 500


def test_a_child_that_writes_where_the_proof_goes_proves_nothing(confined):
    """Bytes in a pipe are not the proof: only the harness gets it, when the program has ended."""
    program = (
        "import os\nfor fd in range(3, 64):\n    try: os.write(fd, b'passed')\n    except OSError: pass\nos._exit(0)"
    )
    assert not confined.run(program).passed


@pytest.mark.parametrize(("gib", "cores", "most"), [(23, 2, 2), (64, 16, 16), (23, 16, 5), (1, 4, 1)])
def test_so_many_run_at_a_time_as_fit_into_half_of_the_memory(monkeypatch, gib, cores, most):
    """A program may take 512 MiB in each of its four processes."""
    monkeypatch.setattr(confinement, "memory_limit", lambda: gib << 30)
    monkeypatch.setattr(confinement, "num_threads", lambda: cores)
    assert Confinement(Limits()).at_a_time() == most


def test_many_at_a_time_are_told_apart(confined):
    programs = [f"assert {number} % 3" for number in range(12)]
    assert [ending.passed for ending in confined.run_all(programs)] == [number % 3 > 0 for number in range(12)]


def test_sets_have_the_same_order_each_time(confined):
    program = "raise ValueError(list({'river', 'fox', 'bell', 'lamp'}))"
    assert len({confined.run(program).detail for _ in range(3)}) == 1


@pytest.mark.parametrize(("why", "hint"), [
    ("new namespaces (unshare): Operation not permitted", "user namespaces are off"),
    ("a new root (mount): Permission denied", "apparmor_restrict_unprivileged_userns"),
    ("a read-only view of /lib (mount_setattr): Function not implemented", "Linux 5.14"),
])  # fmt: skip
def test_a_machine_that_refuses_is_refused_in_words(monkeypatch, why, hint):
    monkeypatch.setattr(confinement, "_order", lambda *_: {"refused": why})
    with pytest.raises(SetupError) as error:
        Confinement(LIMITS).check()
    assert error.value.message == f"programs are not run: this machine does not confine them: {why}"
    assert hint in str(error.value.hint)


def test_a_limit_that_does_not_hold_is_found(monkeypatch):
    """As where a kernel takes a limit and does not enforce it."""
    run = Confinement.run

    def unlimited(self, program):
        return Ending(True, "passed") if "bytearray" in program else run(self, program)

    monkeypatch.setattr(Confinement, "run", unlimited)
    with pytest.raises(SetupError, match="one got more than 128 MiB"):
        Confinement(LIMITS).check()
    monkeypatch.setattr(
        Confinement, "run", lambda *_: Ending(False, "error", "RuntimeError: it could reach the network")
    )
    with pytest.raises(SetupError, match="was not confined: RuntimeError: it could reach the network"):
        Confinement(LIMITS).check()


def test_nothing_is_left_behind(confined, monkeypatch, tmp_path):
    monkeypatch.setattr(confinement.tempfile, "tempdir", str(tmp_path))
    confined.run("open('a', 'w').write('b')")
    assert list(tmp_path.iterdir()) == []


def _children_of_ours() -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(number) for number in children.read_text().split()] if children.exists() else []
