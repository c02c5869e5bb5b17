"""`keep_best` through the command line: the weights, card and manifest of the best validation, also of an adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from llmkit.core.manifest import read_manifest
from texts import sentences

TEXTS = sentences(60, seed=9)
ROWS = [{"text": text, "label": ["bad", "good"][i % 2]} for i, text in enumerate(TEXTS)]


@pytest.fixture
def finetune(cli, chain, jsonl):
    """Classify rows with a rate at which the loss goes up and down."""

    def run(*more, out="out"):
        options = ["-s", "objective=classification", "-s", "context_length=64", "-s", "batch_rows=8", "--lr", "0.05",
                   "-s", "precision=float32", "-s", "validation_fraction=0.3", "-s", "validate.every=1",
                   "-s", "schedule={type: constant, warmup_steps: 0}", "-s", "checkpoint.every=2"]  # fmt: skip
        return cli("finetune", "--data", jsonl("rows.jsonl", ROWS), "--model", chain.base, *options, "-o", out, *more)

    return run


def validations(out):
    rows = [json.loads(line) for line in Path(out, "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "validation_loss" in row]


@pytest.mark.parametrize(("measure", "better", "more"), [
    ("validation_loss", min, []), ("accuracy", max, []), ("validation_loss", min, ["--lora"]),
])  # fmt: skip
def test_the_best_weights_are_left_and_what_is_said_is_said_of_them(finetune, measure, better, more):
    outcome = finetune("-s", f"keep_best={measure}", "--max-steps", 7, *more)
    assert outcome.code == 0, outcome.err
    rows, metrics = validations("out"), read_manifest(Path("out")).metrics
    value = better(row[measure] for row in rows)
    step = next(row["step"] for row in rows if row[measure] == value)
    assert metrics["best"] == {"measure": measure, "value": value, "step": step}
    assert metrics["validation_loss"] == rows[step]["validation_loss"]
    assert metrics["measures"] == {name: rows[step][name] for name in metrics["measures"]}
    assert f"| kept | the weights of step {step:,}, by {measure} {value:.4f} |" in Path("out/README.md").read_text()
    assert "the best so far" in outcome.err
    if not step:
        return
    # The rate is constant: so many steps alone end with the same weights.
    assert finetune("--max-steps", step, *more, out="alone").code == 0
    (file,) = Path("out").glob("*model.safetensors")
    found, alone = load_file(file), load_file(Path("alone") / file.name)
    assert found.keys() == alone.keys()
    assert all((found[name] == alone[name]).all() for name in found)


def test_a_run_that_is_extended_goes_on_with_the_best_of_before(finetune):
    assert finetune("-s", "keep_best=validation_loss", "--max-steps", 4).code == 0
    assert finetune("-s", "keep_best=validation_loss", "--max-steps", 7).code == 0
    assert finetune("-s", "keep_best=validation_loss", "--max-steps", 7, out="straight").code == 0
    extended, straight = (read_manifest(Path(out)) for out in ("out", "straight"))
    assert extended.metrics["best"] == straight.metrics["best"]
    assert extended.id == straight.id


def test_a_measure_that_there_is_not_is_refused_before_the_first_step(finetune):
    outcome = finetune("-s", "keep_best=acuracy", "--max-steps", 2)
    assert outcome.code == 2
    assert "keep_best: a validation has no 'acuracy'; did you mean 'accuracy'?" in outcome.err
    assert "validation_loss, accuracy, macro_f1" in outcome.err
    outcome = finetune("-s", "keep_best=accuracy", "--max-steps", 2, "-s", "validation_fraction=0")
    assert outcome.code == 2
    assert "accuracy is measured on validation data, and there is none" in outcome.err
