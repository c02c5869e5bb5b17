"""Kill a LoRA training with no word of farewell: the same command ends where an undisturbed one does, to the bit."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from killed import assert_same_model
from safetensors.torch import load_file

from headed import save_headed
from llmkit.cli.main import run
from llmkit.training.checkpoint import latest
from llmkit.training.metrics import read_metrics
from tiny import untimed

STEPS = 12
SETTINGS = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "log_every=1", "-s", "checkpoint.every=4",
            "-s", "validate.every=6", "-s", "validation_fraction=0.2", "-s", "optimizer.lr=0.01"]  # fmt: skip


def test_a_killed_lora_training_ends_to_the_bit_where_an_undisturbed_one_does(chain: Any, tmp_path: Path):
    lora = ["--lora", "-s", "adapter.r=4", "-s", "adapter.dropout=0.1"]  # so that the random state counts
    start = ["finetune", "--data", chain.pairs, "--model", chain.base, *SETTINGS, *lora, "--max-steps", STEPS]
    arguments = [*map(str, start), "-q"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), "7", *arguments, "-o", str(killed)]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    checkpoint, torn = latest(killed / ".partial/checkpoints")
    assert not torn
    assert checkpoint is not None and checkpoint.name == "step-00000004"
    assert all("lora_" in name for name in load_file(checkpoint / "model.safetensors"))
    assert run([*arguments, "-o", str(killed)]) == 0
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))
    changed = load_file(straight / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in changed.values()), "all of it was trained"


@pytest.mark.parametrize("objective", ["fill_in_the_middle", pytest.param("masked_lm", marks=pytest.mark.slow)])
def test_a_killed_lora_training_on_documents_ends_to_the_bit_where_an_undisturbed_one_does(
    chain: Any, tmp_path: Path, objective: str
):
    texts = chain.root / "texts.jsonl"
    model = chain.base if objective == "fill_in_the_middle" else save_headed(tmp_path / "body", {"type": "masked_lm"})
    sizes = ["-s", "context_length=32", "-s", "batch_tokens=128", "-s", "samples.count=0"]
    more = ["-s", "objective.max_per_block=2"] if objective == "fill_in_the_middle" else []
    lora = ["--lora", "-s", "adapter.r=4", "-s", "adapter.dropout=0.1", "-s", f"objective.type={objective}", *more]
    start = ["finetune", "--data", texts, "--model", model, *SETTINGS, *sizes, *lora, "--max-steps", STEPS]
    arguments = [*map(str, start), "-q"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), "7", *arguments, "-o", str(killed)]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert (killed / ".partial/scratch/tokens").is_dir()
    assert run([*arguments, "-o", str(killed)]) == 0
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))
    changed = load_file(straight / "adapter_model.safetensors")
    assert any("token" in name for name in changed) == (objective == "fill_in_the_middle"), "sentinels are trained"
