"""Kill `llmkit predict` between two windows: the same command goes on with the others, and ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import llmkit.prediction.run as run_module
from headed import SENTIMENT, save_headed
from texts import sentences, write_jsonl

WINDOW, ROWS = 16, 100

# Runs the command with small windows, and kills the process when the n-th of them has been noted.
_STRIKE = f"""
import os, signal, sys
import llmkit.prediction.run as run_module
from llmkit.cli.main import run
run_module.WINDOW_ROWS = {WINDOW}
left = int(sys.argv[1])
def watch(event, arguments):
    global left
    if event == "os.rename" and str(arguments[1]).endswith(".done"):
        left -= 1
    elif left == 0 and event == "open" and str(arguments[0]).endswith(".parquet"):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def command(tmp_path):
    rows = [{"text": text} for text in sentences(ROWS, seed=9)]
    rows[7], rows[40] = {"text": None}, {"text": 5}
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    return ["predict", str(save_headed(tmp_path / "model", SENTIMENT)), "-i", str(data)]


def content(out):
    files = [
        *sorted(Path(out).glob("data-*.parquet")),
        Path(out) / "rejected/sample.parquet",
        Path(out) / "report.html",
    ]
    return {file.name: file.read_bytes().replace(b"straight", b"out") for file in files}


@pytest.mark.parametrize("after", [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_behind_what_is_done(cli, command, monkeypatch, after):
    strike = [sys.executable, "-c", _STRIKE, str(after), *command, "-o", "out"]
    done = subprocess.run(strike, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    kept = sorted(path.name for path in Path("out/.partial/scratch/lenient").glob("*.done"))
    assert kept == [f"{i:06}.done" for i in range(after)]
    assert not Path("out/llmkit.json").exists()

    monkeypatch.setattr(run_module, "WINDOW_ROWS", WINDOW)
    answered = []
    answer_all = run_module.answer_all
    monkeypatch.setattr(
        run_module, "answer_all", lambda *given, **how: answered.append(len(given[1])) or answer_all(*given, **how)
    )
    outcome = cli(*command, "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert [metrics[f"rows_{name}"] for name in ("read", "predicted", "without_text", "failed")] == [100, 98, 1, 1]
    windows = [15, 16, 15, 16, 16, 16, 4]  # rows with a text
    assert answered == windows[after:]
    straight = cli(*command, "-o", "straight", "--json")
    assert straight.json["id"] == outcome.json["id"]
    assert content("out") == content("straight")
    assert not Path("out/.partial").exists()
