"""Kill real trainings at random instants: the same command again must end where an undisturbed run ends, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed import assert_same_model

from llmkit.core.seal import SEAL as COMPLETE
from llmkit.training.checkpoint import latest
from tiny import one_thread, untimed

DEADLINE_S = 120
GPT2 = ["-s", "model.arch=gpt2", "-s", "model.config={hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2}"]
"""GPT-2 has dropout, so that the random state counts."""
SMALL = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "schedule.warmup_steps=10"]


@dataclass
class Training:
    """One training command, run in processes of its own.

    With one thread, unless a test asks for more: several wait for each other, for seconds where the cores are busy.
    """

    arguments: list[str]
    out: Path
    threads: int = 1

    @property
    def partial(self) -> Path:
        return self.out / ".partial"

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """Start the command; nothing of it is left running behind a test that fails."""
        command = [sys.executable, "-m", "llmkit", *self.arguments, "-o", str(self.out)]
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def finish(self) -> str:
        """Run to the end and return stderr."""
        with self.started() as process:
            _, errors = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, errors
        return errors

    def interrupt(self, number: signal.Signals, ready: Any) -> tuple[int, str]:
        """Start, send a signal as soon as `ready()`, and return the exit code and stderr."""
        with self.started() as process:
            deadline = time.monotonic() + DEADLINE_S
            while not ready():
                assert process.poll() is None, f"ended before it could be stopped: {process.communicate()[1]}"
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(number)
            _, errors = process.communicate(timeout=DEADLINE_S)
        return process.returncode, errors

    def logged(self) -> list[dict[str, Any]]:
        """Whole lines of metrics.jsonl by now."""
        path = next((d / "metrics.jsonl" for d in (self.partial, self.out) if (d / "metrics.jsonl").exists()), None)
        lines = path.read_text().split("\n")[:-1] if path else []
        return [json.loads(line) for line in lines]

    def reached(self, step: int) -> Any:
        """Return a function that says whether this step is logged."""
        return lambda: any(row["step"] >= step for row in self.logged())

    def checkpointed(self) -> int:
        """Return the step of the newest whole checkpoint."""
        path, _ = latest(self.partial / "checkpoints")
        return int(path.name.removeprefix("step-")) if path else 0


def assert_same_result(left: Training, right: Training, *, ignoring: tuple[int, ...] = ()) -> None:
    """Compare weights, the last checkpoint and every column of the metrics but the timings."""
    assert_same_model(left.out, right.out)
    rows = [[row for row in untimed(t.logged()) if row["step"] not in ignoring] for t in (left, right)]
    assert rows[0] == rows[1]


def pretraining(chain: Any, out: Path, steps: int, *more: str) -> Training:
    sets = ["-s", "checkpoint.every=7", "-s", "validate.every=50", "-s", "log_every=1", *more]
    return Training(["pretrain", "--data", str(chain.tokens), *GPT2, *SMALL, *sets, "--max-steps", str(steps)], out)


def finetuning(chain: Any, out: Path, steps: int) -> Training:
    sets = ["-s", "checkpoint.every=7", "-s", "validate.every=50", "-s", "log_every=3", "-s", "validation_fraction=0.2"]
    data = ["--data", str(chain.pairs), "--model", str(chain.base)]
    return Training(["finetune", *data, *SMALL, *sets, "--max-steps", str(steps)], out)


STEPS = 300


@pytest.fixture(scope="module")
def straight(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The undisturbed pretraining, of more than ten epochs."""
    training = pretraining(chain, tmp_path_factory.mktemp("straight") / "out", STEPS)
    errors = training.finish()
    assert "\r" not in errors and "\x1b" not in errors, "control characters where there is no terminal"
    epochs = [row["epoch"] for row in training.logged() if "loss" in row]
    assert epochs[9] < 1
    assert epochs[-1] > 10
    return training


@pytest.mark.slow  # a kill and what follows are seen in test_exactness.py, too
def test_pretraining_killed_in_the_first_epoch_and_beyond_it(chain, tmp_path, straight):
    training = pretraining(chain, tmp_path / "out", STEPS)
    for step in (9, 75):
        code, _ = training.interrupt(signal.SIGKILL, training.reached(step))
        assert code == -signal.SIGKILL
        assert not (training.out / "llmkit.json").exists()
        assert step - 9 < training.checkpointed() < STEPS
    errors = training.finish()
    assert "resumed at step" in errors
    assert_same_result(training, straight)


@pytest.mark.slow  # as test_interrupt.py does with fewer steps
def test_pretraining_stopped_by_sigterm(chain, tmp_path, straight):
    training = pretraining(chain, tmp_path / "out", STEPS)
    code, errors = training.interrupt(signal.SIGTERM, training.reached(30))
    assert code == 75
    stopped = training.logged()[-1]["step"]
    told = " ".join(errors.split())
    assert f"interrupted by SIGTERM after step {stopped}; the state is saved" in told
    assert "run the same command again to go on" in told
    assert "Traceback" not in errors
    assert training.checkpointed() == stopped
    assert f"resumed at step {stopped}" in training.finish()
    assert_same_result(training, straight)


@pytest.mark.slow
def test_finetuning_killed(chain, tmp_path):
    reference, training = (finetuning(chain, tmp_path / name, 150) for name in ("straight", "killed"))
    errors = reference.finish()
    assert "\r" not in errors
    code, _ = training.interrupt(signal.SIGKILL, training.reached(20))
    assert code == -signal.SIGKILL
    assert 0 < training.checkpointed() < 150
    assert "resumed at step" in training.finish()
    assert_same_result(training, reference)


def in_process(cli, training: Training, *more: str) -> str:
    with one_thread():
        outcome = cli(*training.arguments, "-o", training.out, *more)
    assert outcome.code == 0, outcome.err
    return outcome.err


def test_raising_the_steps_of_a_finished_run_extends_it(cli, chain, tmp_path):
    constant = ("-s", "schedule.type=constant")
    reference = pretraining(chain, tmp_path / "straight", 40, *constant)
    in_process(cli, reference)
    in_process(cli, pretraining(chain, tmp_path / "out", 25, *constant))
    longer = pretraining(chain, tmp_path / "out", 40, *constant)
    told = in_process(cli, longer)
    assert "is finished: going on from its last checkpoint" in " ".join(told.split())
    assert "resumed at step 25 of 40" in told
    assert_same_result(longer, reference)
    assert "resumed" not in in_process(cli, longer), "up to date: nothing is done"
    shorter = cli(*pretraining(chain, tmp_path / "out", 30, *constant).arguments, "-o", longer.out)
    assert shorter.code == 2
    assert "max_steps" in shorter.err


def test_resume_never_starts_anew(cli, chain, tmp_path, monkeypatch):
    reference, training = (pretraining(chain, tmp_path / name, 20) for name in ("straight", "anew"))
    in_process(cli, reference)

    def stop(row):
        if row["step"] == 12:
            os.kill(os.getpid(), signal.SIGTERM)

    from llmkit.training.metrics import MetricsFile

    with monkeypatch.context() as patch:
        write = MetricsFile.write
        patch.setattr(MetricsFile, "write", lambda self, row: (write(self, row), stop(row))[0])
        assert cli(*training.arguments, "-o", training.out).code == 75
    assert training.checkpointed() == 12
    assert "resumed" not in in_process(cli, training, "--resume", "never")
    assert_same_result(training, reference)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_many_kills_at_random_instants_with_a_checkpoint_at_every_step(chain, tmp_path, straight, seed):
    """Most of the time goes into saving, so that kills fall into the middle of it."""
    training = pretraining(chain, tmp_path / "out", STEPS, "-s", "checkpoint.every=1", "-s", "checkpoint.keep=2")
    draw = random.Random(seed)
    torn = 0
    for _ in range(12):
        begin, wait, moments = training.checkpointed(), draw.uniform(0, 0.2), []

        def ready(begin=begin, wait=wait, moments=moments) -> bool:
            if not moments and training.checkpointed() > begin:
                moments.append(time.monotonic() + wait)
            return bool(moments) and time.monotonic() >= moments[0]

        code, errors = training.interrupt(signal.SIGKILL, ready)
        assert code == -signal.SIGKILL, errors
        assert training.checkpointed() > begin
        folder = training.partial / "checkpoints"
        torn += any(not (path / COMPLETE).exists() for path in folder.iterdir())
    assert torn, "no kill fell into a save"
    training.finish()
    assert_same_result(training, straight)


def whole_run(chain: Any, out: Path) -> Training:
    """A short run on all cores, whose kills may leave the mean of a line of the metrics unfinished."""
    training = pretraining(chain, out, 60, "-s", "log_every=4")
    training.threads = os.cpu_count() or 1
    return training


@pytest.fixture(scope="module")
def timed(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Training, float]:
    training, begin = whole_run(chain, tmp_path_factory.mktemp("timed") / "out"), time.monotonic()
    training.finish()
    return training, time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_any_instant_of_a_whole_run(chain, tmp_path, timed, seed):
    """From the start of Python to the move of the finished artifact."""
    reference, length = timed
    training = whole_run(chain, tmp_path / "out")
    draw = random.Random(seed)
    for _ in range(4):
        with training.started() as process, suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=draw.random() * length)
    training.finish()
    assert_same_result(training, reference)
