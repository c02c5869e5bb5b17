"""N steps, kill -9, the same command again: what N + N steps straight give, to the bit, in every way of training."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed import assert_same_model
from safetensors.torch import load_file
from torch.testing import assert_close

from llmkit.cli.main import run
from llmkit.core.errors import MemoryLimitError
from llmkit.core.registry import Family
from llmkit.training.checkpoint import MODEL, latest
from llmkit.training.metrics import read_metrics
from llmkit.work.launch import start
from texts import sentences, write_jsonl
from tiny import untimed

SIZES = "hidden_size: 32, num_hidden_layers: 2, num_attention_heads: 2"
GPT2 = ["-s", "model.arch=gpt2", "-s", f"model.config={{{SIZES}}}"]
"""GPT-2 has dropout, so that the random state counts."""
BATCH = ["-s", "context_length=64", "-s", "batch_tokens=512", "-s", "log_every=1", "-s", "schedule.warmup_steps=5"]
SAVING = ["-s", "checkpoint.every=4", "-s", "validate.every=10"]


def train(arguments: list[Any], out: Path, *, nproc: int = 1, killed_at: int = 0) -> None:
    """Run llmkit as `nproc` processes, which all kill themselves right after a step."""
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), str(killed_at)]
    command = [*script, *map(str, arguments), "-o", str(out)]
    if not killed_at:
        assert start(nproc, command) == 0
        return
    with pytest.raises(MemoryLimitError, match=rf"the system has killed process \d of {nproc}"):
        start(nproc, command)
    assert not (out / "llmkit.json").exists()


def train_here(arguments: list[Any], out: Path) -> None:
    """Run llmkit in this process, which saves the start of Python and torch, by as many threads as a child has."""
    assert run([*map(str, arguments), "-q", "-o", str(out)]) == 0


def assert_killed_and_resumed(arguments: list[Any], folder: Path, *, nproc: int = 1) -> int:
    """Kill a run in its middle, run the command again, compare with `folder/straight`; return when it was killed."""
    out, straight = folder / "killed", folder / "straight"
    steps = max(row["step"] for row in read_metrics(straight))
    train(arguments, out, nproc=nproc, killed_at=steps // 2)
    saved, torn = latest(out / ".partial/checkpoints")
    assert not torn
    assert saved is not None
    assert 0 < int(saved.name.removeprefix("step-")) <= steps // 2
    train(arguments, out, nproc=nproc)
    assert_same_model(out, straight)
    assert untimed(read_metrics(out)) == untimed(read_metrics(straight))
    assert [row["step"] for row in read_metrics(out) if "loss" in row] == list(range(1, steps + 1))
    return steps // 2


@pytest.fixture(scope="module")
def sources(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The chain's tokens and others of the same tokenizer: two epochs of both are some 40 steps."""
    root = tmp_path_factory.mktemp("sources")
    texts = write_jsonl(root / "texts.jsonl", [{"text": text} for text in sentences(120, seed=5000)])
    assert run(["clean", "-i", str(texts), "-o", str(root / "corpus"), "-q"]) == 0
    more = ["tokenize", "-i", str(root / "corpus"), "--tokenizer", str(chain.tokens), "-o", str(root / "tokens"), "-q"]
    assert run(more) == 0
    return [chain.tokens, root / "tokens"]


@dataclass(frozen=True)
class Cell:
    """One way of training; `epochs`: when it is killed."""

    nproc: int
    packing: str
    epochs: float
    num_sources: int = 1
    compile: bool = False

    def __str__(self) -> str:
        kind = "compiled" if self.compile else "eager"
        return f"{kind}-{self.nproc}-{self.packing}-epoch{self.epochs}-{self.num_sources}"

    def arguments(self, sources: list[Path]) -> list[Any]:
        data = f"[{sources[0]}]"
        if self.num_sources == 2:
            data = f"[{{path: {sources[0]}, weight: 2}}, {{path: {sources[1]}, weight: 1}}]"
        sets = [f"data={data}", f"packing={self.packing}", f"compile={str(self.compile).lower()}"]
        return ["pretrain", *GPT2, *BATCH, *SAVING, *(part for item in sets for part in ("-s", item))]


# Every pair of processes, packing and epoch is there once, and every pair of them with compiling and with sources.
FAST = [Cell(1, "best_fit", 1.0, num_sources=2)]
SLOW = [
    Cell(2, "stream", 1.0),
    Cell(1, "stream", 0.5, compile=True),
    Cell(1, "pad", 1.5),
    Cell(2, "best_fit", 1.5, num_sources=2, compile=True),
    Cell(2, "pad", 0.5, num_sources=2),
    Cell(4, "stream", 1.5, num_sources=2),
    Cell(4, "best_fit", 0.5),
    Cell(4, "pad", 1.0, compile=True),
]


@pytest.mark.parametrize("cell", [*FAST, *(pytest.param(cell, marks=pytest.mark.slow) for cell in SLOW)], ids=str)
def test_killed_and_resumed_is_never_stopped(sources, tmp_path, cell):
    arguments = [*cell.arguments(sources), "-s", f"max_epochs={2 * cell.epochs}"]
    if cell.nproc > 1 or cell.compile:
        train(arguments, tmp_path / "straight", nproc=cell.nproc)
    else:
        train_here(arguments, tmp_path / "straight")
    step = assert_killed_and_resumed(arguments, tmp_path, nproc=cell.nproc)
    epochs = {row["step"]: row["epoch"] for row in read_metrics(tmp_path / "straight") if "loss" in row}
    assert epochs[step] == pytest.approx(cell.epochs, abs=2 * epochs[1]), "killed where the cell says"


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
SENTINELS = [f"<extra_id_{number}>" for number in range(40)]
OBJECTIVES = {
    "causal_lm": ("gpt2", SIZES),
    "prefix_lm": ("gpt2", SIZES),
    "fill_in_the_middle": ("gpt2", SIZES),
    "masked_lm": ("bert", f"{SIZES}, intermediate_size: 64"),
    "next_sentence": ("bert", f"{SIZES}, intermediate_size: 64"),
    "sentence_order": ("albert", f"{SIZES}, intermediate_size: 64, embedding_size: 16, hidden_dropout_prob: 0.1"),
    "span_corruption": ("t5", "d_model: 32, d_kv: 16, d_ff: 64, num_layers: 2, num_heads: 2"),
}


@pytest.fixture(scope="module")
def special_tokens(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of a tokenizer with everything that any objective asks for."""
    out = tmp_path_factory.mktemp("special") / "tokens"
    sets = ["-s", f"tokenizer.special_tokens={json.dumps(SPECIAL + SENTINELS)}", "-s", "validation_fraction=0.1"]
    assert run(["tokenize", "-i", str(chain.corpus), "--vocab-size", "500", *sets, "-o", str(out), "-q"]) == 0
    return out


def objective_arguments(objective: str, tokens: Path) -> list[Any]:
    arch, config = OBJECTIVES[objective]
    model = ["-s", f"model.arch={arch}", "-s", f"model.config={{{config}}}"]
    return ["pretrain", "--data", tokens, *model, "-s", f"objective={objective}", *BATCH, *SAVING]


@pytest.mark.slow
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_objective_resumes_to_the_bit(special_tokens, tmp_path, objective):
    arguments = [*objective_arguments(objective, special_tokens), "--max-steps", 20]
    train_here(arguments, tmp_path / "straight")
    assert_killed_and_resumed(arguments, tmp_path)


def test_all_objectives_are_here():
    assert OBJECTIVES.keys() == set(Family("document_objective").members())


def test_one_batch_accumulated_and_shared_agree(special_tokens, tmp_path):
    """8 blocks at once, 2 x 4 accumulated and 2 processes x 4: two parts, each with its own count per micro-batch."""
    arguments = [*objective_arguments("next_sentence", special_tokens), "--max-steps", 6, "-s", "precision=float32"]
    no_dropout = ["-s", "model.config.hidden_dropout_prob=0", "-s", "model.config.attention_probs_dropout_prob=0"]
    ways = {"whole": (512, 1), "accumulated": (256, 1), "shared": (256, 2)}
    for name, (tokens, nproc) in ways.items():
        command = [*arguments, *no_dropout, "-s", f"micro_batch_tokens={tokens}"]
        train(command, tmp_path / name, nproc=nproc) if nproc > 1 else train_here(command, tmp_path / name)
    whole = [row for row in untimed(read_metrics(tmp_path / "whole")) if "loss" in row]
    assert len({row["loss_tokens"] for row in whole}) == len({row["loss_pairs"] for row in whole}) == 6
    for name in ("accumulated", "shared"):
        for row, expected in zip(
            (row for row in untimed(read_metrics(tmp_path / name)) if "loss" in row), whole, strict=True
        ):
            assert row == pytest.approx(expected, rel=1e-5), name
        weights = load_file(tmp_path / name / MODEL)
        for key, tensor in load_file(tmp_path / "whole" / MODEL).items():
            assert_close(weights[key], tensor, rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "shared/llmkit.json").read_text())["config"]["resolved"]["micro_batch_tokens"] == 256
