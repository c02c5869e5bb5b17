"""plan, through the command line: what a run takes, without weights and without data."""

from __future__ import annotations

import json

import pytest
from transformers import PreTrainedModel

SIZES = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32"]


def test_a_plan_of_the_run_that_made_the_chain(cli, chain, model_options, monkeypatch):
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    outcome = cli("plan", "--data", chain.tokens, *model_options, *SIZES, "-s", "max_epochs=2", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    counts = json.loads((chain.tokens / "tokens.json").read_text(encoding="utf-8"))["splits"]["train"]
    manifest = json.loads((chain.base / "llmkit.json").read_text(encoding="utf-8"))
    assert found["parameters"] == manifest["metrics"]["parameters"]
    assert (found["vocab_size"], found["tokens_per_epoch"]) == (400, counts["tokens"])
    assert found["steps"] == -(-2 * counts["tokens"] // 256)
    assert (found["objective"], found["packing"], found["optimizer"]) == ("causal_lm", "stream", "adamw")
    assert (found["precision"], found["compile"], found["micro_batch_tokens"]) == ("float32", False, 256)
    assert found["memory"]["total"] == sum(v for name, v in found["memory"].items() if name != "total")


def test_a_plan_fits_a_narrow_terminal(cli, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = cli("plan", "-s", "model=llama-7m", "-s", "max_tokens=150000000", "-s", "optimizer=muon")
    assert outcome.code == 0
    assert max(map(len, map(str.rstrip, outcome.out.splitlines()))) <= 80
    assert "7,211,264: embedding 4,194,304, body 3,016,960" in outcome.out
    assert "20 is compute-optimal: 144,225,280" in outcome.out
    assert "checkpoint copy" in outcome.out
    assert "causal_lm, packing stream, muon" in outcome.out


def test_processes_share_the_batch_and_the_machine(cli, model_options, monkeypatch):
    monkeypatch.setattr("llmkit.training.plan.device_limit", lambda: 8_000_000)
    arguments = ["plan", *model_options, *SIZES, "-s", "max_steps=3", "--json"]
    one, two = cli(*arguments), cli(*arguments, "--nproc", "2")
    assert (one.json["micro_batch_tokens"], two.json["micro_batch_tokens"]) == (256, 128)
    assert (one.json["memory_limit"], two.json["memory_limit"]) == (8_000_000, 4_000_000)
    assert "warning: a step does not fit into memory" in one.err


def test_weighted_data(cli, chain, model_options):
    data = f"data=[{{path: {chain.tokens}, weight: 2}}, {{path: nowhere, weight: 1}}]"
    outcome = cli("plan", "-s", data, *model_options, *SIZES, "-s", "max_steps=3", "--json")
    assert outcome.code == 0
    assert outcome.json["vocab_size"] == 400
    assert "warning: not there yet, or no tokens, and not counted: nowhere" in outcome.err


def test_epochs_of_no_data_are_not_known(cli):
    outcome = cli("plan", "-s", "model=llama-1m", "-s", "max_epochs=1")
    assert outcome.code == 0
    assert "unknown: no data to count, and no max_steps or max_tokens" in outcome.out


@pytest.mark.parametrize(
    ("sets", "code", "words"),
    [
        (["model=lama-7m"], 2, "unknown preset 'lama-7m'; did you mean 'llama-7m'?"),
        (["model.preset=lama-7m"], 2, "unknown preset 'lama-7m'; did you mean 'llama-7m'?"),
        (["model=x"], 2, "unknown preset 'x'; valid: llama-1m, "),
        (["model.path=llama-7m"], 2, "the preset of that name is chosen by --set model=llama-7m"),
        (["model.path=nowhere"], 3, "model directory 'nowhere' does not exist"),
        (["model=t5-mini"], 2, "'t5' is not a causal language model"),
        (["model=llama-7m", "optimizer=adamx"], 2, "unknown optimizer 'adamx'"),
    ],
)
def test_what_cannot_be_planned(cli, sets, code, words):
    outcome = cli("plan", *(part for item in sets for part in ("-s", item)), "-s", "max_steps=1")
    assert outcome.code == code
    assert words in outcome.err
