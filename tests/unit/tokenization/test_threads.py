from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import pyarrow as pa
import pytest

from llmkit.data.token_shards import ROWS
from llmkit.tokenization.threads import FEW_TASKS, MAX_THREADS, Threads, suits
from llmkit.work.engine import Engine


def test_results_come_in_the_order_of_the_tasks_although_the_first_ends_last():
    second_is_done = threading.Event()

    def work(task):
        if task == 0:
            assert second_is_done.wait(10)
        if task == 1:
            second_is_done.set()
        return task * task

    assert list(Threads(2).map(work, range(5))) == [0, 1, 4, 9, 16]


def test_no_more_threads_than_the_encoder_can_use():
    assert Threads(2).workers == 2
    assert Threads(64).workers == MAX_THREADS


def test_a_failing_task_raises_its_own_error_and_those_that_wait_are_not_begun():
    begun = []

    def work(task):
        begun.append(task)
        if task == 0:
            raise ValueError("task 0 failed")

    with pytest.raises(ValueError, match="task 0 failed"):
        list(Threads(1).map(work, range(1000)))
    assert len(begun) < 1000


@pytest.mark.parametrize(
    ("name", "workers", "num_tasks", "expected"),
    [
        ("local", MAX_THREADS, 1000, True),
        ("local", MAX_THREADS + 1, FEW_TASKS, True),
        ("local", MAX_THREADS + 1, FEW_TASKS + 1, False),
        ("ray", 1, 1, False),
    ],
)
def test_threads_are_for_few_workers_or_few_tasks_on_this_machine(name, workers, num_tasks, expected):
    assert suits(Engine(name, workers), num_tasks) is expected


def test_writing_a_shard_and_running_a_kernel_load_no_pandas_awkward_or_scipy_linalg(tmp_path):
    code = """
        import sys
        from pathlib import Path
        import numpy as np
        import pyarrow as pa
        from llmkit.data.token_shards import Stretch, write_shard
        from llmkit.tokenization import scan

        assert scan.sentence_starts(np.frombuffer(b"One. Two.", np.uint8)).tolist() == [0, 5]
        rows = pa.ipc.open_stream(sys.argv[1]).read_all()
        ids, path = np.array([7, 8, 9], np.uint16), Path(sys.argv[2])
        path.with_name("ids").write_bytes(ids.tobytes() + np.array([0], np.int32).tobytes())
        places = Stretch(path.with_name("ids"), 0, 6), Stretch(path.with_name("ids"), 6, 10)
        write_shard(path, rows, [places[0]], [places[1]], ids.dtype)
        print(sorted({"pandas", "awkward", "scipy.linalg"} & set(sys.modules)))
    """
    rows = pa.table([["a"], ["s"], ["en"], [9], [3], [1]], schema=ROWS)
    with pa.ipc.new_stream(str(tmp_path / "rows"), rows.schema) as stream:
        stream.write_table(rows)
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "rows"), str(tmp_path / "shard")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
    with pa.ipc.open_stream((tmp_path / "shard").read_bytes()) as stream:
        assert stream.read_all()["input_ids"].to_pylist() == [[7, 8, 9]]
