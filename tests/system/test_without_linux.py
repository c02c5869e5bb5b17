"""The stages where Python lacks what only Linux has: no macOS, but what llmkit itself would trip over there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from texts import sentences, write_jsonl

WITHOUT_LINUX = Path(__file__).resolve().parents[1] / "without_linux"
MODEL = "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}"
TRAINING = [
    "-s", "model.arch=llama", "-s", f"model.config={MODEL}", "-s", "context_length=64", "-s", "batch_tokens=256",
    "--max-steps", "2",
]  # fmt: skip
MANY = """
import json, os, sys
from llmkit.cli.main import run
assert not hasattr(os, "sched_getaffinity"), "nothing is left out"
for arguments in json.loads(sys.argv[1]):
    assert run(arguments) == 0, arguments
"""


def run_all(folder: Path, *commands: list[object]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(WITHOUT_LINUX), *sys.path])}
    words = json.dumps([[str(word) for word in command] for command in commands])
    return subprocess.run(
        [sys.executable, "-c", MANY, words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def near_copies() -> list[dict[str, str]]:
    """Texts in pairs that differ in one word of many."""
    texts = [" ".join(sentences(12, seed=10 * i)) for i in range(40)]
    return [{"text": text} for text in [*texts, *(f"{text} Again." for text in texts)]]


def test_clean_tokenize_and_doctor(tmp_path):
    write_jsonl(tmp_path / "raw.jsonl", near_copies())
    done = run_all(
        tmp_path,
        ["clean", "-i", "raw.jsonl", "-s", "steps=[near_duplicates]", "-o", "corpus", "-q"],
        ["tokenize", "-i", "corpus", "--vocab-size", 300, "-o", "tokens", "-q"],
        ["doctor", "--json"],
    )
    assert done.returncode == 0, done.stderr
    machine = json.loads(done.stdout[done.stdout.rindex('{\n  "status"') :])["machine"]
    assert (machine["cores"], machine["CPU features"]) == (os.cpu_count(), "none of interest")
    metrics = json.loads((tmp_path / "corpus" / "llmkit.json").read_text())["metrics"]
    assert metrics["documents_kept"] == 40


@pytest.mark.slow
def test_a_training_of_two_processes(tmp_path, chain):
    command = ["-m", "llmkit", "pretrain", "--data", chain.tokens, *TRAINING]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(WITHOUT_LINUX), *sys.path])}
    done = subprocess.run(
        [sys.executable, *map(str, command), "--nproc", "2", "-o", "out", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["steps"] == 2
