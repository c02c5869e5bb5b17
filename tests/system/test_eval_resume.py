"""eval, killed with no word of farewell between two batches: the same command asks only what is missing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from llmkit.runtimes._in_memory import InMemory

_KILLED = """
import os, signal, sys
from llmkit.cli.main import run
from llmkit.evaluation.kept import Kept

last, add, count = int(sys.argv[1]), Kept.add, [0]

def killing(self, answers):
    add(self, answers)
    count[0] += 1
    if count[0] == last:
        with self.file.open("ab") as file:
            file.write(b"0123456789abcdef0123456789abcdef 01234567 -12.")  # what a write that is cut short leaves
        os.kill(os.getpid(), signal.SIGKILL)

Kept.add = killing
sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def command(chain, tmp_path):
    rows = [{"question": f"{i}?", "choices": ["the fox", "a river", "no"], "answer": i % 3} for i in range(30)]
    choices = tmp_path / "choices.jsonl"
    choices.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tasks = [
        {"type": "multiple_choice", "data": str(choices), "chat": "off", "mutual_info": True},
        {"type": "perplexity", "data": str(chain.corpus), "limit": 40},
        {"type": "answers", "data": str(chain.pairs), "limit": 20},
        {"type": "generation", "data": str(chain.pairs), "limit": 10, "max_new_tokens": 4},
    ]
    return ["eval", "--model", str(chain.model), "--baseline", str(chain.base), "-s", f"tasks={json.dumps(tasks)}"]


def test_a_killed_eval_goes_on_and_its_scores_are_the_same(cli, command, monkeypatch):
    asked = []
    answer = InMemory.answer
    monkeypatch.setattr(InMemory, "answer", lambda self, requests: asked.extend(requests) or answer(self, requests))
    assert cli(*command, "-o", "whole").code == 0
    whole = len(asked)

    done = subprocess.run(
        [sys.executable, "-c", _KILLED, "3", *command, "-o", "out"], check=False, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    file = Path("out/.partial/scratch/answers-model")
    kept = file.read_bytes().count(b"\n") - 1
    assert kept > 0
    assert not Path("out/llmkit.json").exists()

    baseline = file.with_name("answers-baseline")
    shutil.copyfile(file, baseline)
    asked.clear()
    refused = cli(*command, "-o", "out")
    assert refused.code == 4
    assert "answers-baseline holds answers of another model" in refused.err
    assert f"rm {baseline}" in refused.err
    baseline.unlink()
    outcome = cli(*command, "-o", "out", "--json")
    assert (outcome.code, outcome.json["status"]) == (0, "done"), outcome.err
    assert len(asked) == whole - kept
    assert not Path("out/.partial").exists()
    for name in ("results.json", *(path.name for path in Path("whole").glob("samples-*.jsonl"))):
        one, other = (Path(folder, name).read_text(encoding="utf-8") for folder in ("whole", "out"))
        assert numbers(one) == pytest.approx(numbers(other), rel=1e-6)
    assert cli("summary", "out").code == 0


def numbers(text):
    """All numbers of JSON lines, in order; of a batch that was cut otherwise the last digit may differ."""
    found = []
    for value in [text] if text.startswith("{\n") else text.splitlines():
        json.loads(value, parse_float=lambda digits: found.append(float(digits)))
    return found
