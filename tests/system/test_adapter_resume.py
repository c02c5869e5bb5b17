"""Kill a training of an adapter without a farewell: the same command ends where an undisturbed one does, to the bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from killed import assert_same_model
from safetensors.torch import load_file

from headed import BODY, save_headed
from llmkit.cli.main import run
from llmkit.training.checkpoint import latest
from llmkit.training.loop import Trainer
from llmkit.training.metrics import read_metrics
from texts import sentences, write_jsonl
from tiny import untimed

STEPS = 12
SETTINGS = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "log_every=1", "-s", "checkpoint.every=4",
            "-s", "validate.every=6", "-s", "validation_fraction=0.2", "-s", "optimizer.lr=0.01"]  # fmt: skip


ROOM = ["-s", "context_length=60", "-s", "batch_tokens=240"]  # of the base's 64 positions four are virtual tokens
KINDS = {
    "lora": ["--lora", "-s", "adapter.r=4", "-s", "adapter.dropout=0.1"],  # so that the random state counts
    "dora": ["--lora", "-s", "adapter.r=4", "-s", "adapter.dora=true"],
    "4bit": ["--lora", "-s", "adapter.r=4", "-s", "adapter.quantize=4bit"],
    "ia3": ["-s", "adapter=ia3"],
    "prompt": ["-s", "adapter={type: prompt, tokens: 4}", *ROOM],
    "prefix": ["-s", "adapter={type: prefix, tokens: 4}", *ROOM],
}
ROWS = {
    "sft": None,
    "classification": [{"text": text, "label": text[0]} for text in ("a b", "a c d", "b c", "b d e", "a e f", "b f")],
    "token_classification": [{"words": ["a", word], "tags": ["O", "B-X"]} for word in ("b", "c", "d", "e", "f", "g")],
}


def _cells() -> list[Any]:
    fast = (("lora", "sft"),)
    return [
        pytest.param(kind, objective, marks=[] if (kind, objective) in fast else [pytest.mark.slow])
        for kind in KINDS
        for objective in ROWS
    ]


@pytest.mark.parametrize(("kind", "objective"), _cells())
def test_a_killed_training_of_an_adapter_ends_to_the_bit_where_an_undisturbed_one_does(
    chain: Any, tmp_path: Path, kind: str, objective: str
):
    data = chain.pairs
    if rows := ROWS[objective]:
        data = tmp_path / "rows.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows * 4), encoding="utf-8")
    more = [*KINDS[kind], "-s", f"objective={objective}", "-s", "batch_rows=4"]
    start = ["finetune", "--data", data, "--model", chain.base, *SETTINGS, *more, "--max-steps", STEPS]
    arguments = [*map(str, start), "-q"]
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), "7", *arguments, "-o", str(killed)]
    assert subprocess.run(script, check=False, capture_output=True).returncode == -signal.SIGKILL
    checkpoint, torn = latest(killed / ".partial/checkpoints")
    assert not torn
    assert checkpoint is not None and checkpoint.name == "step-00000004"
    whole = ("lora_", "ia3_", "virtual_tokens", "score")
    assert all(any(word in name for word in whole) for name in load_file(checkpoint / "model.safetensors"))
    assert run([*arguments, "-o", str(killed)]) == 0
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))
    changed = load_file(straight / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in changed.values()), "all of it was trained"


@pytest.mark.slow  # the fast cell of a kill is that of rows
@pytest.mark.parametrize("objective", ["fill_in_the_middle", "masked_lm"])
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


TEXTS = sentences(24, seed=5)
ENCODED = {
    "question_answering": [
        {"question": "Which is second?", "context": text, "answers": [text.split()[1]] if i % 3 else [],
         "answer_start": [len(text.split()[0]) + 1] if i % 3 else []}
        for i, text in enumerate(TEXTS)
    ],
    "embedding": [{"anchor": text[:20], "positive": text[20:50]} for text in TEXTS],
}  # fmt: skip


class _Crash(BaseException):
    """What nothing catches."""


@pytest.mark.parametrize("objective", ENCODED)
def test_a_lora_training_of_an_encoder_that_crashes_ends_to_the_bit_where_an_undisturbed_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str
):
    """A process of its own, to be killed, would take five seconds to start: the slow cells have one."""
    encoder = save_headed(tmp_path / "encoder", BODY, max_position_embeddings=100)
    data = write_jsonl(tmp_path / "rows.jsonl", ENCODED[objective])
    lora = ["--lora", "-s", "adapter.r=4", "-s", "adapter.dropout=0.1", "-s", "optimizer.lr=0.01"]
    often = ["-s", "checkpoint.every=2", "-s", "validate.every=3", "-s", "validation_fraction=0.3", "-s", "log_every=1"]
    start = ["finetune", "--data", data, "--model", encoder, "-s", f"objective={objective}", *lora, *often,
             "-s", "context_length=64", "-s", "batch_rows=8", "--max-steps", 6, "-q"]  # fmt: skip
    arguments, step = [*map(str, start)], Trainer._step
    crashed, straight = tmp_path / "crashed", tmp_path / "straight"
    assert run([*arguments, "-o", str(straight)]) == 0

    def crash(self: Trainer, *given: Any) -> dict[str, Any]:
        row = step(self, *given)
        if row["step"] == 5:
            raise _Crash
        return row

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", crash)
        with pytest.raises(_Crash):
            run([*arguments, "-o", str(crashed)])
    checkpoint, _ = latest(crashed / ".partial/checkpoints")
    assert checkpoint is not None and checkpoint.name == "step-00000004"
    assert run([*arguments, "-o", str(crashed)]) == 0
    assert_same_model(crashed, straight)
    assert untimed(read_metrics(crashed)) == untimed(read_metrics(straight))
    changed = load_file(straight / "adapter_model.safetensors")
    assert all(tensor.any() for tensor in changed.values()), "all of it was trained"
