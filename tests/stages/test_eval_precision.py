"""eval in fewer bits, when that is asked for: results say so, and a run of other bits is compared with words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whole_integers import need_exact_products


@pytest.fixture(scope="module")
def runs(chain, tmp_path_factory):
    """The base model, measured in each number format."""
    from llmkit.cli.main import run

    need_exact_products()
    root = tmp_path_factory.mktemp("precision")
    task = json.dumps([{"type": "perplexity", "data": str(chain.corpus), "limit": 20}])
    for name in ("float32", "bf16", "int8"):
        how = [] if name == "float32" else ["-s", f"runtime.precision={name}"]
        arguments = ["eval", "--model", chain.base, "-s", f"tasks={task}", *how, "-o", root / name, "-q"]
        assert run([*map(str, arguments)]) == 0
    return root


def result(folder):
    found = json.loads(Path(folder, "results.json").read_text(encoding="utf-8"))
    return found["tasks"]["perplexity"]["results"]["model"]


@pytest.mark.parametrize(("name", "precision", "words"), [
    ("bf16", "bfloat16", "computed in bf16: scores are right to two or three digits"),
    ("int8", "int8", "linear layers computed in integers of 8 bits: scores are those of the rounded model"),
])  # fmt: skip
def test_results_say_what_was_computed_in(cli, runs, name, precision, words):
    whole, rounded = result(runs / "float32"), result(runs / name)
    assert (whole["precision"], rounded["precision"]) == ("float32", precision)
    assert not whole["notes"]
    assert rounded["notes"] == [words]
    scores = [each["scores"]["bits_per_byte"] for each in (whole, rounded)]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], rel=0.01)
    assert words in " ".join(cli("summary", runs / name).out.split())
    compared = " ".join(cli("compare", runs / "float32", runs / name).out.split())
    assert f"precision: {precision}, and float32 of float32" in compared


@pytest.mark.parametrize(("how", "words", "hint"), [
    ("int8", "runtime.precision: int8 rounds the linear layers of a model's body", "-s runtime.precision=bf16"),
    ("int7", "runtime.precision", "bf16"),
])  # fmt: skip
def test_what_cannot_be_is_refused(cli, tmp_path, how, words, hint):
    from tiny import byte_tokenizer, model

    tokenizer = byte_tokenizer(template=None)
    model("gpt2", vocab_size=len(tokenizer)).save_pretrained(tmp_path / "gpt2")
    tokenizer.save_pretrained(tmp_path / "gpt2")
    Path("texts.jsonl").write_text('{"text": "a river"}\n', encoding="utf-8")
    arguments = ("--task", "perplexity", "--data", "texts.jsonl", "-s", f"runtime.precision={how}", "-o", "out")
    outcome = cli("eval", "--model", tmp_path / "gpt2", *arguments)
    assert outcome.code == 2
    said = " ".join(outcome.err.split())
    assert words in said
    assert hint in said
    assert not Path("out/llmkit.json").exists()


def test_a_baseline_of_another_precision_is_compared_and_it_is_said(cli, chain, runs):
    task = json.dumps([{"type": "perplexity", "data": str(chain.corpus), "limit": 20}])
    command = ("eval", "--model", chain.base, "--baseline", runs / "bf16", "-s", f"tasks={task}", "-o", "out")
    outcome = cli(*command, "--max-regression", "0.05")
    assert outcome.code == 0, outcome.err
    words = "run otherwise: runtime.precision: bf16 there, float32 here"
    assert f"its model was {words}" in " ".join(outcome.err.split())
    found = json.loads(Path("out/results.json").read_text(encoding="utf-8"))["tasks"]["perplexity"]["results"]
    assert words in found["baseline"]["notes"]
    assert words not in found["model"]["notes"]
    compared = " ".join(cli("compare", runs / "float32", runs / "int8").out.split())
    assert "run otherwise: runtime.precision: float32 of float32, int8 of int8" in compared
