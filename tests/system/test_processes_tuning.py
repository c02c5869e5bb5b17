"""Fine-tunings of two real processes: documents with an adapter, and the best validation, as one process has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from llmkit.cli.main import run
from llmkit.core.manifest import read_manifest
from texts import sentences, write_jsonl

DEADLINE_S = 240
SIZES = ["-s", "context_length=32", "-s", "batch_tokens=128", "-s", "precision=float32", "-s", "log_every=1",
         "-s", "schedule={type: constant, warmup_steps: 0}", "-s", "samples.count=0"]  # fmt: skip


def both(arguments: list[Any], tmp_path: Path) -> tuple[Path, Path, str]:
    """Run a command as one process, here, and as two; return where they wrote, and what the two said."""
    one, two, words = tmp_path / "one", tmp_path / "two", [str(word) for word in arguments]
    assert run([*words, "-q", "-o", str(one)]) == 0
    command = [sys.executable, "-m", "llmkit", *words, "-o", str(two), "--nproc", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr
    return one, two, " ".join(done.stderr.split())


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


def assert_alike(one: Path, two: Path, name: str, steps: int, *, off: float = 1e-5) -> None:
    """Compare losses and weights of both; what sums in another order round to grows by `off` as training goes on."""
    left, right = ({row["step"]: row["loss"] for row in metrics(out) if "loss" in row} for out in (one, two))
    assert [*left] == [*range(1, steps + 1)]
    assert right == pytest.approx(left, rel=off)
    assert read_manifest(one).identity == read_manifest(two).identity  # type: ignore[union-attr]
    weights, others = load_file(one / name), load_file(two / name)
    assert weights.keys() == others.keys()
    for key, tensor in weights.items():
        torch.testing.assert_close(others[key], tensor, rtol=100 * off, atol=10 * off)


@pytest.mark.slow  # two processes that train as one are seen in test_processes.py, too
@pytest.mark.parametrize("objective", ["fill_in_the_middle", "causal_lm"])
def test_two_processes_tune_an_adapter_on_documents_as_one(chain, tmp_path, objective):
    more = ["-s", "objective.max_per_block=2"] if objective == "fill_in_the_middle" else []
    command = ["finetune", "--data", chain.root / "texts.jsonl", "--model", chain.base, *SIZES, "--lora",
               "-s", "adapter.r=4", "-s", f"objective.type={objective}", *more, "--lr", "0.01", "--max-steps", 4,
               "-s", "validation_fraction=0.1"]  # fmt: skip
    one, two, said = both(command, tmp_path)
    assert said.count("step 4: validation loss") == 1, "only one process talks"
    assert_alike(one, two, "adapter_model.safetensors", 4)
    scored = [[row["validation_loss"] for row in metrics(out) if "validation_loss" in row] for out in (one, two)]
    assert scored[1] == pytest.approx(scored[0], rel=1e-5)


@pytest.mark.slow
def test_two_processes_keep_the_best_weights_as_one(chain, tmp_path):
    rows = [{"text": text, "label": ["bad", "good"][i % 2]} for i, text in enumerate(sentences(60, seed=9))]
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    command = ["finetune", "--data", data, "--model", chain.base, *SIZES, "-s", "context_length=64",
               "-s", "objective=classification", "-s", "batch_rows=8", "--lr", "0.2", "-s", "validation_fraction=0.3",
               "-s", "validate.every=1", "-s", "checkpoint.every=2", "-s", "keep_best=validation_loss",
               "--max-steps", 7]  # fmt: skip
    one, two, said = both(command, tmp_path)
    best = [read_manifest(out).metrics["best"] for out in (one, two)]  # type: ignore[union-attr]
    assert 0 < best[1]["step"] == best[0]["step"] < 7, "at this rate the loss goes up and down"
    assert best[1]["value"] == pytest.approx(best[0]["value"], rel=1e-3)
    assert f"the weights of step {best[0]['step']}" in (two / "README.md").read_text(encoding="utf-8")
    assert "the best so far" in said
    assert_alike(one, two, "model.safetensors", 7, off=1e-3)
