"""Kill a LoRA training on answers: the same command ends where an undisturbed one does, to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed import assert_same_model

from headed import BODY, save_headed
from llmkit.cli.main import run
from llmkit.training.metrics import read_metrics
from texts import sentences
from tiny import untimed

SETTINGS = ["-s", "context_length=64", "-s", "batch_rows=8", "-s", "log_every=1", "-s", "checkpoint.every=4",
            "-s", "objective={type: question_answering, stride: 8}", "-s", "optimizer.lr=0.01",
            "-s", "validate.every=6", "-s", "validation_fraction=0.3", "--lora", "-s", "adapter.r=4",
            "-s", "adapter.dropout=0.1", "--max-steps", "12", "-q"]  # fmt: skip


@pytest.mark.slow
def test_a_killed_training_on_answers_ends_to_the_bit_where_an_undisturbed_one_does(tmp_path: Path):
    encoder = save_headed(tmp_path / "encoder", BODY, max_position_embeddings=100)
    rows = [
        {"question": "Which is second?", "context": text, "answers": [text.split()[1]] if i % 3 else [],
         "answer_start": [len(text.split()[0]) + 1] if i % 3 else []}
        for i, text in enumerate(sentences(30, seed=5))
    ]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["finetune", "--data", str(tmp_path / "rows.jsonl"), "--model", str(encoder), *SETTINGS]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), "7", *arguments, "-o", str(killed)]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert run([*arguments, "-o", str(killed)]) == 0
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))
    record = [json.loads((folder / "adapter_base.json").read_text())["config"] for folder in (killed, straight)]
    assert record[0]["question_answering"] == record[1]["question_answering"]
