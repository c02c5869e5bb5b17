"""Trainings of several real processes: the same losses as one, stopped, resumed and ended as one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from llmkit.core.manifest import read_manifest
from llmkit.data.token_reader import TokenSplit
from llmkit.training.metrics import TIMINGS
from llmkit.work.launch import start

DEADLINE_S = 240
LLMKIT = ["-m", "llmkit"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node", "2", *LLMKIT]
MODEL = ["-s", "model.arch=llama", "-s", "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2,"
         " num_attention_heads: 2, num_key_value_heads: 2, tie_word_embeddings: true}"]  # fmt: skip
TRAINING = ["-s", "context_length=64", "-s", "batch_tokens=512", "-s", "precision=float32", "-s", "log_every=1"]
OFTEN = ["-s", "checkpoint.every=10", "-s", "validate.every=1000"]


@contextmanager
def started(arguments: list[Any]) -> Iterator[subprocess.Popen[str]]:
    """Start Python in a session of its own, all of which is gone at the end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def run(*arguments: Any) -> tuple[int, str, str]:
    with started(list(arguments)) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, " ".join(err.split())


def pretraining(chain: Any, out: Path, steps: int, *more: Any) -> list[Any]:
    return ["pretrain", "--data", chain.tokens, *MODEL, *TRAINING, "--max-steps", steps, "-o", out, *more]


def rows(out: Path) -> list[dict[str, Any]]:
    path = next(folder / "metrics.jsonl" for folder in (out / ".partial", out) if (folder / "metrics.jsonl").exists())
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def losses(out: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in rows(out) if "loss" in row}


def stop(arguments: list[Any], out: Path, step: int, number: int, launcher: list[str] = LLMKIT) -> tuple[int, str]:
    """Start, send a signal once a step has a checkpoint, and return exit code and stderr."""
    with started([*launcher, *arguments]) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not list(out.glob(f".partial/checkpoints/step-*{step}")):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, " ".join(err.split())


def test_two_processes_train_as_one(chain, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(*LLMKIT, *pretraining(chain, one, 12))[0] == 0
    code, out, err = run(*LLMKIT, *pretraining(chain, two, 12), "--nproc", 2, "--json")
    assert code == 0, err
    assert json.loads(out)["id"] == read_manifest(two).id, "only one process writes to stdout"
    assert err.count("step 12: validation loss") == 1, "only one process talks"
    left, right = rows(one), rows(two)
    assert [row["step"] for row in left] == [row["step"] for row in right]
    for before, after in zip(left, right, strict=True):
        assert before.keys() == after.keys()
        for name in before.keys() - set(TIMINGS):
            assert after[name] == pytest.approx(before[name], rel=1e-5), name
    assert read_manifest(one).identity == read_manifest(two).identity
    code, out, _ = run(*LLMKIT, *pretraining(chain, two, 12))
    assert (code, "is up to date" in out) == (0, True)


@pytest.mark.slow
def test_two_processes_are_stopped_and_go_on_as_one_and_as_two_again(chain, tmp_path):
    straight, out = tmp_path / "straight", tmp_path / "out"
    assert run(*LLMKIT, *pretraining(chain, straight, 200, *OFTEN))[0] == 0
    command = pretraining(chain, out, 200, *OFTEN)
    for step, nproc in ((20, 2), (80, 1)):
        code, err = stop([*command, "--nproc", nproc], out, step, signal.SIGTERM)
        reached = max(losses(out))
        assert code == 75, err
        assert f"interrupted by SIGTERM after step {reached:,}; the state is saved" in err
        assert err.count("error:") == 1
        assert (out / f".partial/checkpoints/step-{reached:08}/complete.json").exists()
    code, _, err = run(*LLMKIT, *command, "--nproc", 2)
    assert code == 0, err
    assert f"resumed at step {reached}" in err
    assert losses(out) == pytest.approx(losses(straight), rel=2e-3), "the same blocks, in the same steps"


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["{}", "{shard: 2}", "{tensor: 2}", "{context: 2}"])
def test_two_processes_fine_tune_as_one(chain, tmp_path, parallel):
    one, two = tmp_path / "one", tmp_path / "two"
    command = ["finetune", "--data", chain.pairs, "--model", chain.base, *TRAINING, "--max-steps", 8]
    command += ["-s", "validation_fraction=0.2"]
    assert run(*LLMKIT, *command, "-o", one)[0] == 0
    code, _, err = run(*LLMKIT, *command, "-o", two, "--nproc", 2, "-s", f"parallel={parallel}")
    assert code == 0, err
    assert err.count("step 8: validation loss") == 1, "only one process talks"
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    scored = [[row["bits_per_byte"] for row in rows(out) if "bits_per_byte" in row] for out in (one, two)]
    assert len(scored[0]) == 2
    assert scored[1] == pytest.approx(scored[0], rel=1e-5)
    assert read_manifest(one).identity == read_manifest(two).identity


@pytest.mark.slow
def test_a_process_without_held_out_blocks_takes_part_in_validation(chain, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    held_out = TokenSplit(chain.tokens, "validation").num_tokens
    length = 64 * (held_out // 64 + 2)  # one block
    more = ["-s", f"context_length={length}", "-s", f"batch_tokens={2 * length}"]
    assert run(*LLMKIT, *pretraining(chain, one, 2, *more))[0] == 0
    code, _, err = run(*LLMKIT, *pretraining(chain, two, 2, *more, "--nproc", 2))
    assert code == 0, err
    scored = [[row["validation_loss"] for row in rows(out) if "validation_loss" in row] for out in (one, two)]
    assert scored[1] == pytest.approx(scored[0], rel=1e-5)


def test_an_error_is_told_once(chain, tmp_path):
    out = tmp_path / "out"
    assert run(*LLMKIT, *pretraining(chain, out, 2))[0] == 0
    before = sorted(path.name for path in out.iterdir())
    code, printed, err = run(*LLMKIT, *pretraining(chain, out, 1), "--nproc", 2, "--json")
    assert code == 2, err
    assert err.count("is finished, from another run") == 1
    assert json.loads(printed)["exit_code"] == 2
    assert sorted(path.name for path in out.iterdir()) == before


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_loses_nothing(chain, tmp_path):
    out = tmp_path / "out"
    command = [*pretraining(chain, out, 300, *OFTEN), "--nproc", "2"]
    with started([*LLMKIT, *command]) as process:
        while not list(out.glob(".partial/checkpoints/step-*20")):
            assert process.poll() is None
            time.sleep(0.01)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 2
        os.kill(int(children[1]), signal.SIGKILL)
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 5
    assert "out of memory: the system has killed process 1 of 2" in " ".join(err.split())
    assert "Traceback" not in err
    code, err = stop(command, out, 60, signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, _, err = run(*LLMKIT, *command)
    assert code == 0, f"a process that outlives its launcher would hold the lock: {err}"
    assert "resumed at step" in err


@pytest.mark.slow
def test_accelerate_launch_and_two_nodes_train_as_one_process(chain, tmp_path):
    assert run(*LLMKIT, *pretraining(chain, tmp_path / "one", 6))[0] == 0
    expected = losses(tmp_path / "one")
    # --cpu would start one process only; --multi_gpu starts all, which then find no GPU.
    by_accelerate = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", 2, "--num_machines", 1,
                     "--mixed_precision", "no", "--dynamo_backend", "no", *LLMKIT]  # fmt: skip
    code, _, err = run(*by_accelerate, *pretraining(chain, tmp_path / "two", 6))
    assert code == 0, err
    assert losses(tmp_path / "two") == pytest.approx(expected, rel=1e-5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    node = ["-m", "torch.distributed.run", "--nnodes", 2, "--nproc_per_node", 1, "--master_addr", "127.0.0.1"]
    train = [*LLMKIT, *pretraining(chain, tmp_path / "nodes", 6)]
    with started([*node, "--master_port", port, "--node_rank", 1, *train]) as second:
        code, _, err = run(*node, "--master_port", port, "--node_rank", 0, *train)
        assert (code, second.wait(timeout=DEADLINE_S)) == (0, 0), err
    assert losses(tmp_path / "nodes") == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_torchrun_gets_the_code_in_a_file(chain, tmp_path):
    out = tmp_path / "out"
    command = pretraining(chain, out, 200, *OFTEN)
    code, err = stop(command, out, 20, signal.SIGTERM, TORCHRUN)
    assert code == 1, "torchrun's own"
    assert err.count("the state is saved") == 1
    report = json.loads((out / "exit.json").read_text())
    assert (report["exit_code"], report["rank"], report["processes"]) == (75, 0, 2)
    assert report["message"].endswith("the state is saved")
    code, printed, err = run(*TORCHRUN, *command)
    assert code == 0, err
    assert printed.count("pretrain: ") == 1
    assert json.loads((out / "exit.json").read_text())["exit_code"] == 0
    assert "exit.json" not in {output.path for output in read_manifest(out).outputs}
    code, _, err = run(*TORCHRUN, *pretraining(chain, out, 1))
    assert code == 1
    assert err.count("is finished, from another run") == 1
    assert json.loads((out / "exit.json").read_text())["exit_code"] == 2


@pytest.mark.slow
def test_sharded_over_two_processes_it_trains_alike_and_its_checkpoint_is_read_by_one(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    script = [sys.executable, str(Path(__file__).with_name("sharded_training.py"))]
    outputs = []
    for processes in (1, 2):
        assert start(processes, [*script, str(tmp_path / f"saved-{processes}")]) == 0
        outputs.append(json.loads(capfd.readouterr().out))
    one, two = outputs
    assert len(one) == 8
    assert one[7] < one[0] - 0.01
    assert two == pytest.approx(one, rel=1e-5)
    code, out, err = run(*script[1:], "--resume", tmp_path / "saved-2")
    assert code == 0, err
    assert json.loads(out) == pytest.approx(one[4:], rel=1e-5)
