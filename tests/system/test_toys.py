"""What later work needs of the house, proven by toys: each a file or two in tests/toys that nothing else knows of.

A frozen reference, a second model trained beside the first, a loss that couples all rows of a step, rows that the model
makes itself, and a column without text: killed and resumed to the bit, and the same by 1 x 8, 2 x 4, and two processes.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from killed import assert_same_model
from safetensors.torch import load_file
from with_toys import TOYS, add_toys, remove_toys

from llmkit.cli.main import run
from llmkit.core.errors import MemoryLimitError
from llmkit.core.registry import Family
from llmkit.training.checkpoint import FEED, MODEL, OPTIMIZER, latest
from llmkit.training.metrics import read_metrics
from llmkit.work.launch import start
from texts import sentences, write_jsonl
from tiny import untimed

ROWS = 64
TRAINING = ["-s", "context_length=64", "-s", "batch_rows=8", "-s", "precision=float32", "-s", "log_every=1",
            "-s", "optimizer.lr=3e-3", "-s", "checkpoint.every=2", "-s", "checkpoint.background=false",
            "-s", "validate.every=3", "-s", "overlength=truncate"]  # fmt: skip
DATA = {
    "preferring": "pairs.jsonl",
    "adversarial": "labels.jsonl",
    "contrasting": "pairs.jsonl",
    "exploring": "labels.jsonl",
    "seeing": "pictures.jsonl",
}
SHIPPED = {
    "classification": "labels.jsonl",
    "token_classification": "tags.jsonl",
    "embedding": "triplets.jsonl",
}
"""Objectives of the package that go through the same."""
STEPS, KILLED_AT = 6, 3


@pytest.fixture(scope="module", autouse=True)
def _toys() -> Iterator[None]:
    """Add the toys, and take them away again: other tests ask the families for all of their members."""
    add_toys()
    yield
    remove_toys()


@pytest.fixture(scope="module")
def folder(chain: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of three kinds, and a body without a head."""
    root = tmp_path_factory.mktemp("toys")
    draw = random.Random(0)
    first, second = sentences(ROWS, seed=7), sentences(ROWS, seed=99)
    pairs = [
        {"text": a[:60], "pair": b[:60], "label": "xy"[i % 2]}
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    write_jsonl(root / "pairs.jsonl", pairs)
    triplets = [
        {"anchor": a[:40], "positive": b[:60], "negatives": [a[60:90], b[60:80]][: i % 3]}
        for i, (a, b) in enumerate(zip(first, second, strict=True))
    ]
    write_jsonl(root / "triplets.jsonl", triplets)
    write_jsonl(root / "labels.jsonl", [{"text": a[:60], "label": "xy"[i % 2]} for i, a in enumerate(first)])
    tags = [{"words": a.split(), "tags": ["B-X" if len(word) > 4 else "O" for word in a.split()]} for a in first]
    write_jsonl(root / "tags.jsonl", tags)
    pictures = [
        {"pixels": [[(i >> k & 1) + draw.random() / 10 for k in range(4)] for _ in range(3)], "label": i % 2}
        for i in range(ROWS)
    ]
    write_jsonl(root / "pictures.jsonl", pictures)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(vocab_size=400, max_position_embeddings=64, pad_token_id=None, **sizes)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(root / "bert")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained(root / "bert")
    return root


def arguments(toy: str, folder: Path, chain: Any) -> list[Any]:
    # LlamaForTokenClassification drops out, which micro-batches draw anew; this BERT does not.
    model = folder / "bert" if toy in ("seeing", "token_classification", "embedding") else chain.base
    held_out = 0 if toy == "exploring" else 0.2
    data = ["--data", folder / (DATA | SHIPPED)[toy], "--model", model, "-s", f"validation_fraction={held_out}"]
    return ["finetune", *data, "-s", f"objective={toy}", "--max-steps", STEPS, *TRAINING]


def train_here(command: list[Any], out: Path) -> None:
    assert run([*map(str, command), "-q", "-o", str(out)]) == 0


def train(command: list[Any], out: Path, *, nproc: int = 1, killed_at: int = 0) -> None:
    script = [sys.executable, str(Path(__file__).with_name("with_toys.py")), str(killed_at)]
    whole = [*script, *map(str, command), "-q", "-o", str(out)]
    if not killed_at:
        assert start(nproc, whole) == 0
        return
    with pytest.raises(MemoryLimitError, match="the system has killed process"):
        start(nproc, whole)
    assert latest(out / ".partial/checkpoints")[0] is not None


def assert_alike(out: Path, straight: Path) -> None:
    """Compare all that is measured, and the weights, up to rounding."""
    for row, expected in zip(untimed(read_metrics(out)), untimed(read_metrics(straight)), strict=True):
        assert row == pytest.approx(expected, rel=2e-5, abs=1e-7)
    weights = load_file(out / MODEL)
    for name, tensor in load_file(straight / MODEL).items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=2e-5, msg=name)


def micro_batches(toy: str) -> list[str]:
    return ["-s", "micro_batch_tokens=1" if toy in ("exploring", "seeing") else "micro_batch_tokens=96"]


@pytest.mark.parametrize(
    "toy",
    [
        pytest.param(
            toy,
            marks=pytest.mark.slow
            if toy in ("contrasting", "classification", "adversarial", "preferring", "seeing", "token_classification")
            else [],
        )
        for toy in DATA | SHIPPED
    ],
)
def test_a_toy_trains_and_resumes_and_its_batches_may_be_cut(chain, folder, tmp_path, toy):
    command = arguments(toy, folder, chain)
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train_here(command, straight)

    train(command, killed, killed_at=KILLED_AT)
    train_here(command, killed)
    assert_same_model(killed, straight)
    assert untimed(read_metrics(killed)) == untimed(read_metrics(straight))

    train_here([*command, *micro_batches(toy)], tmp_path / "accumulated")
    assert_alike(tmp_path / "accumulated", straight)


@pytest.mark.slow  # test_processes.py has the fast one of two processes
@pytest.mark.parametrize("toy", DATA | SHIPPED)
def test_a_toy_is_shared_by_two_processes_that_resume(chain, folder, tmp_path, toy):
    command = arguments(toy, folder, chain)
    straight, two = tmp_path / "straight", tmp_path / "two"
    train_here(command, straight)
    train([*command, *micro_batches(toy)], two, nproc=2, killed_at=KILLED_AT)
    train([*command, *micro_batches(toy)], two, nproc=2)
    assert_alike(two, straight)


def test_the_toys_did_what_they_should(chain, folder, tmp_path):
    for toy in ("preferring", "adversarial", "exploring"):
        train_here(arguments(toy, folder, chain), tmp_path / toy)
    rows = {toy: [row for row in read_metrics(tmp_path / toy) if "loss" in row] for toy in
            ("preferring", "adversarial", "exploring")}  # fmt: skip
    assert rows["preferring"][0]["loss"] == pytest.approx(math.log(2), rel=1e-6), "model and reference are equal"
    assert rows["preferring"][-1]["loss"] < 0.5

    assert {"loss_tokens", "loss_told"} <= rows["adversarial"][0].keys()
    saved = latest(tmp_path / "adversarial/checkpoints")[0]
    names = {name.partition(".")[0] for name in load_file(saved / MODEL)}
    assert names == {"main", "discriminator"}
    groups = torch.load(saved / OPTIMIZER, weights_only=True)["param_groups"]
    assert sorted({group["initial_lr"] for group in groups}) == pytest.approx([1.5e-3, 3e-3])
    reference = latest(tmp_path / "preferring/checkpoints")[0]
    assert not any(name.startswith("reference") for name in load_file(reference / MODEL)), "it is not trained"
    assert (latest(tmp_path / "exploring/checkpoints")[0] / FEED).exists()
    assert not (saved / FEED).exists()


def test_every_toy_is_a_file_that_only_the_family_knows():
    for kind, family in (("rows", "row"), ("row_objectives", "row_objective")):
        names = {path.stem for path in (TOYS / kind).glob("*.py")}
        assert names <= set(Family(family).members())
    assert set(DATA) == {path.stem for path in (TOYS / "row_objectives").glob("*.py")}
