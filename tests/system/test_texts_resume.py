"""Kill a LoRA training of an encoder-decoder that writes at validations: the same command ends as if undisturbed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killed import assert_same_model
from safetensors.torch import load_file

from llmkit.cli.main import run
from llmkit.training.checkpoint import latest
from llmkit.training.metrics import read_metrics
from texts import sentences, write_jsonl
from texts_of_texts import save_two_sided
from tiny import untimed

STEPS = 12
SETTINGS = ["-s", "batch_rows=8", "-s", "log_every=1", "-s", "checkpoint.every=4", "-s", "validate.every=6",
            "-s", "validation_fraction=0.2", "-s", "optimizer.lr=0.01"]  # fmt: skip
OBJECTIVE = {"type": "sequence_to_sequence", "prefix": "> ", "backward_prefix": "< ", "directions": {"backward": 0.5},
             "max_target_length": 40, "writing": {"rows": 4, "max_new_tokens": 6, "metrics": ["chrf"]}}  # fmt: skip


@pytest.mark.parametrize("adapter", [pytest.param(["--lora", "-s", "adapter.r=4", "-s", "adapter.dropout=0.1"],
                                                  marks=pytest.mark.slow),
                                     pytest.param([], marks=pytest.mark.slow)], ids=["lora", "full"])  # fmt: skip
def test_a_killed_training_ends_to_the_bit_where_an_undisturbed_one_does(tmp_path: Path, adapter: list[str]):
    rows = [{"source": text[:24], "target": text[24:48]} for text in sentences(60)]
    data = write_jsonl(tmp_path / "rows.jsonl", rows)
    base = save_two_sided(tmp_path / "base", "t5", dropout_rate=0.1)
    start = ["finetune", "--data", data, "--model", base, *SETTINGS, "-s", f"objective={json.dumps(OBJECTIVE)}"]
    arguments = [*map(str, start), *adapter, "--max-steps", str(STEPS), "-q"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), "7", *arguments, "-o", str(killed)]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    checkpoint, torn = latest(killed / ".partial/checkpoints")
    assert not torn
    assert checkpoint is not None and checkpoint.name == "step-00000004"
    assert run([*arguments, "-o", str(killed)]) == 0
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))
    assert (killed / "samples.jsonl").read_bytes() == (straight / "samples.jsonl").read_bytes()
    name = "adapter_model.safetensors" if adapter else "model.safetensors"
    assert all(tensor.any() for tensor in load_file(straight / name).values()), "all of it was trained"
