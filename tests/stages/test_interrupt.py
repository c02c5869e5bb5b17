"""Ctrl-C in the middle of every stage, in real processes: exit 75, no half artifact, and the next run completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest

# Runs `llmkit` and sends this very process a signal when it opens a file for the n-th time: always the same instant.
# Of metrics.jsonl, which the report reads, only lines that are written count.
_STRIKE = """
import os, sys
name, count, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def strike(event, arguments):
    global count
    if event == "open" and str(arguments[0]).endswith(name) and (arguments[1] == "a") == name.endswith("metrics.jsonl"):
        count -= 1
        if count == 0:
            os.kill(os.getpid(), number)
sys.addaudithook(strike)
from llmkit.cli.main import run
sys.exit(run(sys.argv[4:]))
"""

# Stage -> a file under OUT/.partial that is opened in the middle of the work, and which time.
MIDDLE = {
    "clean": ("scratch/lenient/pass-0/000000.tmp", 1),
    "tokenize": (".partial/tokenizer_config.json", 1),
    "pretrain": (".partial/metrics.jsonl", 5),  # after the validation at step 0 and the lines of steps 1 to 4
    "finetune": (".partial/metrics.jsonl", 3),
    "eval": (".partial/samples-answers.jsonl", 1),
    "export": (".partial/scratch/questions", 1),
    "predict": ("scratch/lenient/000000.parquet", 1),
    "generate": ("scratch/lenient/000000.tmp", 1),
    "index": ("scratch/lenient/000000.parquet", 1),
}
STAGES = tuple(MIDDLE)


def strike(command, name, count, number=signal.SIGINT, prelude=""):
    """Run a command in a process of its own that is hit at the given instant; return it when it has ended."""
    arguments = [name, str(count), str(int(number)), *command, "-o", "out", "--json"]
    script = [sys.executable, "-c", prelude + _STRIKE, *arguments]
    return subprocess.run(script, capture_output=True, text=True, check=False)


def check_interrupted(done, name="SIGINT", *, goes_on=True):
    assert done.returncode == 75, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["kind"], found["exit_code"]) == ("interrupted", "interrupted", 75)
    assert f"error: interrupted by {name}" in done.stderr
    assert ("-> run the same command again" + " to go on" * goes_on + "\n") in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("out/llmkit.json").exists()
    assert {path.name for path in Path("out").iterdir()} <= {".partial"}


def at_once(stage, *fast):
    """A stage of those that are looked at in every run of the tests: each of the others takes a process, too."""
    return pytest.param(stage, marks=[] if stage in fast else [pytest.mark.slow])


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("stage", [at_once(stage, "clean", "finetune", "export") for stage in STAGES])
def test_right_after_the_start(cli, stage_commands, reload_here, stage):
    check_interrupted(strike(stage_commands[stage], ".partial/run.json", 1), goes_on=stage != "export")
    assert cli(*stage_commands[stage], "-o", "out").code == 0


@pytest.mark.parametrize(
    "stage",
    [
        at_once(stage, "clean", "predict")
        for stage in ("clean", "tokenize", "eval", "predict", "generate", "index", "export")
    ],
)
def test_in_the_middle_of_a_stage_that_starts_anew(cli, stage_commands, reload_here, stage):
    check_interrupted(strike(stage_commands[stage], *MIDDLE[stage]), goes_on=stage != "export")
    assert cli(*stage_commands[stage], "-o", "out").code == 0
    assert cli(*stage_commands[stage], "-o", "straight").code == 0
    assert read_manifest(Path("out")).id == read_manifest(Path("straight")).id
    assert not Path("out/.partial").exists()


@pytest.mark.parametrize(("stage", "number", "step", "of", "straight"), [
    pytest.param("pretrain", signal.SIGINT, 4, 8, "base", marks=pytest.mark.slow),
    ("pretrain", signal.SIGTERM, 4, 8, "base"),
    ("finetune", signal.SIGINT, 2, 4, "model"),
])  # fmt: skip
def test_in_the_middle_of_training_goes_on_from_there(
    cli, chain, in_folder, stage_commands, stage, number, step, of, straight
):
    done = strike(stage_commands[stage], *MIDDLE[stage], number)
    check_interrupted(done, number.name)
    assert f"after step {step}; the state is saved" in done.stderr
    assert [path.name for path in Path("out/.partial/checkpoints").iterdir()] == [f"step-{step:08}"]
    outcome = cli(*stage_commands[stage], "-o", "out")
    assert outcome.code == 0
    assert f"resumed at step {step} of {of}" in outcome.err
    # The chain's own run was never interrupted.
    assert read_manifest(Path("out")).id == read_manifest(getattr(chain, straight)).id
    rows = [json.loads(line) for line in Path("out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, of + 1))


def test_an_interrupted_stage_is_no_input(cli, stage_commands):
    check_interrupted(strike(stage_commands["clean"], *MIDDLE["clean"]))
    outcome = cli("tokenize", "-i", "out", "-o", "tokens")
    assert outcome.code == 3
    assert "/out is unfinished" in outcome.err
    assert "run the command that writes it again" in outcome.err


def test_an_interrupted_replacement_leaves_the_old_artifact(cli, stage_commands):
    assert cli(*stage_commands["clean"], "-o", "out").code == 0
    before = read_manifest(Path("out"))
    other = [*stage_commands["clean"], "-s", "steps=[normalize]", "--force"]
    done = strike(other, *MIDDLE["clean"])
    assert done.returncode == 75
    assert read_manifest(Path("out")).id == before.id
    assert cli("lineage", "out", "--verify").code == 0
    assert cli(*other, "-o", "out").code == 0
    steps = read_manifest(Path("out")).config["written"]["steps"]
    assert [step["type"] for step in steps] == ["normalize"]


def test_no_worker_process_outlives_an_interrupted_clean(cli, in_folder, jsonl):
    # Two files, a task each; long enough that both workers are still starting, or at work, when the signal comes.
    for name in ("a", "b"):
        jsonl(f"in/{name}.jsonl", [f"document {name} {i} " + "word " * 20 for i in range(40_000)])
    command = ["clean", "-s", "inputs=[in/a.jsonl, in/b.jsonl]", "-o", "out", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "llmkit", *command], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not Path("out/.partial/run.json").exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the group
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert said.splitlines()[0] == "error: interrupted by SIGINT"
    assert "Traceback" not in said
    deadline = time.monotonic() + 30
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(process.pid)
    assert cli(*command, "-q").code == 0
    assert read_manifest(Path("out")).metrics["documents_kept"] == 80_000


def _alive(group):
    """Tell whether a process group has members that run; those that wait to be collected do not count."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, member_of = entry.read_text(encoding="utf-8").rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if int(member_of) == group and state not in "ZX":
            return True
    return False
