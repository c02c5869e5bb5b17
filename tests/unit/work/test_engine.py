from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from llmkit.core.errors import SetupError
from llmkit.work.engine import MAX_ATTEMPTS, Engine, _connect, _run_there


def square(n):
    return n * n


def process(_):
    threads = [os.environ.get(name) for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS")]
    return os.getpid(), threads, signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def where(_):
    return str(Path.cwd()), process(_)


def die_once(task):
    """Leave a mark per attempt; die by SIGKILL on the third task's first one."""
    folder, n = task
    attempt = len(list(Path(folder).glob(f"{n}-*")))
    (Path(folder) / f"{n}-{attempt}").touch()
    if n == 2 and attempt == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def always_die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def fail_on_three(n):
    if n == 3:
        raise ValueError("three")
    return n


def map_tasks(function, tasks, *, workers=None, engine="local"):
    """Map one plan's tasks, on workers of their own."""
    with Engine(engine, workers) as running:
        yield from running.map(function, tasks)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_tasks(workers):
    assert list(map_tasks(square, range(12), workers=workers)) == [n * n for n in range(12)]


def test_no_tasks():
    assert list(map_tasks(square, [], workers=2)) == []


def test_one_worker_is_this_process():
    assert [pid for pid, _, _ in map_tasks(process, [1, 2], workers=1)] == [os.getpid()] * 2
    assert [pid for pid, _, _ in map_tasks(process, [1], workers=4)] == [os.getpid()]


def test_workers_use_one_thread_each_and_leave_ctrl_c_to_the_parent():
    for pid, threads, ignores in map_tasks(process, [1, 2], workers=2):
        assert pid != os.getpid()
        assert threads == ["1", "1", "1"]
        assert ignores


def test_a_task_whose_worker_died_is_tried_again(tmp_path):
    tasks = [(str(tmp_path), n) for n in range(6)]
    assert list(map_tasks(die_once, tasks, workers=2)) == list(range(6))
    assert len(list(tmp_path.glob("2-*"))) == 2


def test_a_task_that_kills_its_worker_every_time_is_an_error():
    with pytest.raises(SetupError, match=rf"worker processes died {MAX_ATTEMPTS} times at task 0 of 2") as error:
        list(map_tasks(always_die, [1, 2], workers=2))
    assert error.value.exit_code == 4
    assert error.value.hint == "lower --workers"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_reaches_the_caller_after_the_results_before_it(workers):
    results = map_tasks(fail_on_three, range(6), workers=workers)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


def test_ray_without_ray_names_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SetupError, match="'ray' extra") as error:
        list(map_tasks(square, [1], engine="ray"))
    assert error.value.exit_code == 4
    assert error.value.hint == 'pip install "llmkit[ray]"'


def test_workers_are_started_once_for_all_plans():
    with Engine(workers=2) as engine:
        first = {pid for pid, _, _ in engine.map(process, range(6))}
        again = {pid for pid, _, _ in engine.map(process, range(6))}
    assert len(first | again) <= 2


def test_no_worker_outlives_the_engine():
    with Engine(workers=2) as engine:
        pids = {pid for pid, _, _ in engine.map(process, range(4))}
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_plan_that_is_left_half_way_does_not_hang():
    with Engine(workers=2) as engine:
        results = engine.map(square, range(100))
        assert next(results) == 0
        results.close()
        assert list(engine.map(square, [7, 8])) == [49, 64]


def test_what_runs_on_ray_stands_where_the_command_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_NUM_THREADS"):
        monkeypatch.setenv(name, "8")
    folder, (_, threads, _) = pickle.loads(_run_there(pickle.dumps(where), pickle.dumps(None), str(tmp_path)))
    assert folder == str(tmp_path)
    assert threads == ["1", "1", "1"]
    assert pickle.loads(_run_there(pickle.dumps(square), pickle.dumps(3), str(tmp_path / "absent"))) == 9


@pytest.fixture
def fake_ray():
    calls = []

    def init(**options):
        calls.append(options["address"])
        if options["address"] == "nonsense":
            raise ValueError("Invalid address format: nonsense")

    return SimpleNamespace(is_initialized=lambda: False, init=init, calls=calls)


def test_an_empty_address_starts_ray_here(fake_ray, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "")
    _connect(fake_ray)
    assert fake_ray.calls == [None]


def test_a_cluster_that_does_not_answer_is_named_at_once(fake_ray, monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # not listening: connections are refused
        address = f"ray://127.0.0.1:{held.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(SetupError, match=f"cannot connect to Ray at {address}"):
            _connect(fake_ray)
    assert not fake_ray.calls
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    with pytest.raises(SetupError, match="cannot connect to Ray at nonsense: Invalid address"):
        _connect(fake_ray)
