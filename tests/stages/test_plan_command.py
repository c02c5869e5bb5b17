"""plan, through the command line: what a run takes, without weights and without data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import PreTrainedModel

CUT = ["-s", "overlength=truncate"]
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
        (["model.path=nowhere"], 3, "model: no such directory: nowhere"),
        (["model=t5-mini"], 2, "'t5' is not a causal language model"),
        (["model=llama-7m", "optimizer=adamx"], 2, "unknown optimizer 'adamx'"),
    ],
)
def test_what_cannot_be_planned(cli, sets, code, words):
    outcome = cli("plan", *(part for item in sets for part in ("-s", item)), "-s", "max_steps=1")
    assert outcome.code == code
    assert words in outcome.err


def test_a_plan_of_clean(cli, chain):
    outcome = cli("plan", "--stage", "clean", "-i", chain.root / "texts.jsonl", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    num_bytes = (chain.root / "texts.jsonl").stat().st_size
    assert (found["stage"], found["files"], found["bytes"], found["tasks"]) == ("clean", 1, num_bytes, 1)
    assert found["passes"] == ["normalize, length, compare for exact_duplicates",
                               "drop what exact_duplicates decided, write"]  # fmt: skip
    shown = cli("plan", "--stage", "clean", "-i", chain.root / "texts.jsonl").out
    assert "about 1, 8.39 MB each at most" in shown
    assert "pass 2  drop what exact_duplicates decided, write" in shown


@pytest.mark.parametrize("kind", ["corpus", "texts.jsonl"])
def test_a_plan_of_tokenize(cli, chain, kind):
    outcome = cli("plan", "--stage", "tokenize", "-i", chain.root / kind, "-s", "tokenizer.vocab_size=400", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    manifest = json.loads((chain.corpus / "llmkit.json").read_text(encoding="utf-8"))
    raw = ["read raw text"] if kind == "texts.jsonl" else []
    assert (found["stage"], found["files"], found["passes"]) == ("tokenize", 1, [*raw, "train the tokenizer", "encode"])
    if not raw:
        assert found["text_bytes"] == manifest["metrics"]["bytes_kept"]
    made = sum(path.stat().st_size for path in chain.tokens.rglob("*.arrow"))
    assert made <= found["output"] <= found["disk"]


def test_a_plan_of_finetune(cli, chain, monkeypatch):
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    arguments = ["plan", "--stage", "finetune", "-s", f"model={chain.base}", *SIZES, "--json"]
    found = cli(*arguments, "--data", chain.pairs, "-s", "max_steps=4")
    assert (found.code, found.err) == (0, "")
    short = cli(
        *arguments, "--data", chain.pairs, "-s", "max_steps=4", "-s", "context_length=48", "-s", "batch_tokens=192"
    )
    assert short.code == 3 and "are longer than context_length 48: " in short.json["message"]
    short = cli(
        *arguments,
        "--data",
        chain.pairs,
        "-s",
        "max_steps=4",
        "-s",
        "context_length=48",
        "-s",
        "batch_tokens=192",
        *CUT,
    )
    assert short.code == 0 and "warning: " in short.err and "were left out" in short.err
    manifest = json.loads((chain.model / "llmkit.json").read_text(encoding="utf-8"))
    assert found.json["parameters"] == manifest["metrics"]["parameters"]
    assert (found.json["steps"], found.json["objective"], found.json["vocab_size"]) == (4, "sft", 400)
    without = cli(*arguments, "-s", "max_epochs=1")
    assert (without.code, without.json["steps"]) == (0, None)
    assert "warning: rows are counted when they are encoded" in without.err


@pytest.mark.parametrize("more", [
    ["-s", "template=phi3"],
    ["-s", "template=phi3", "--lora"],
    ["-s", "objective={type: fill_in_the_middle, max_per_block: 2}", "--lora"],
])  # fmt: skip
def test_rows_that_the_vocabulary_gets_are_counted(cli, chain, more):
    data = chain.root / "texts.jsonl" if "template=phi3" not in more else chain.pairs
    arguments = ["finetune", "--data", data, "--model", chain.base, *SIZES, "-s", "validation_fraction=0.1",
                 "-s", "max_steps=1", "-s", "samples.count=0", *CUT, *more]  # fmt: skip
    found = cli("plan", *arguments, "--json")
    assert found.code == 0, found.err
    done = cli(*arguments, "-o", "model")
    assert done.code == 0, done.err
    metrics = json.loads(Path("model/llmkit.json").read_text(encoding="utf-8"))["metrics"]
    assert found.json["new_rows"] > 0
    assert found.json["parameters"] == metrics["parameters"]
    assert f"{found.json['trained']:,}" in done.err or "--lora" not in more
    assert f", {found.json['new_rows']:,} new" in cli("plan", *arguments).out


def test_a_step_of_rows_of_several_widths_is_no_larger_than_the_longest_rows(cli, chain):
    """16 rows a step of at most 24 tokens, where batch_tokens says 16,384: that many are never there at once."""
    from transformers import AutoTokenizer

    rows = [{"text": "a b " * (number % 4 + 1), "label": "xy"[number % 2]} for number in range(40)]
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tokenizer = AutoTokenizer.from_pretrained(chain.base)
    longest = max(len(tokenizer(row["text"])["input_ids"]) for row in rows)
    arguments = ["--data", "labels.jsonl", "--model", chain.base, "-s", "objective=classification", "-s",
                 "batch_rows=16", "-s", "context_length=64", "-s", "max_epochs=1", "--json"]  # fmt: skip
    found = cli("plan", "finetune", *arguments)
    assert found.code == 0, found.err
    assert 16 * longest <= found.json["micro_batch_tokens"] <= 16 * (longest + 2), "with what is put around each"
    wide = cli("plan", "finetune", *arguments, "-s", "micro_batch_tokens=32").json
    assert wide["micro_batch_tokens"] < found.json["micro_batch_tokens"]
    assert wide["memory"]["activations"] < found.json["memory"]["activations"]


@pytest.mark.parametrize("limit", ["max_steps=4", "max_epochs=1.5"])
def test_a_plan_of_finetune_counts_as_the_run_does(cli, chain, limit):
    arguments = ["--data", chain.pairs, "--model", chain.base, *SIZES, "-s", "validation_fraction=0.1", "-s", limit]
    found = cli("plan", "finetune", *arguments, "--json")
    assert found.code == 0, found.err
    folder = chain.model
    if limit != "max_steps=4":  # which the chain has run
        folder = Path("model")
        assert cli("finetune", *arguments, "-o", folder).code == 0
    metrics = json.loads((folder / "llmkit.json").read_text(encoding="utf-8"))["metrics"]
    planned = {name: found.json[name] for name in ("steps", "tokens", "rows", "parameters")}
    assert planned == {name: metrics[name] for name in planned}
    assert found.json["seconds"] > 0


def test_rows_that_are_not_there_yet_are_not_counted(cli, chain):
    found = cli("plan", "-r", "quickstart/finetune", "--model", chain.base, "--json")
    assert (found.code, found.json["stage"], found.json["steps"]) == (0, "finetune", None)
    assert "warning: not there yet, and not counted: " in found.err
    assert "/build/pairs" in found.err


def test_a_recipe_of_your_own_says_what_is_planned(cli, chain):
    Path("finetune.yaml").write_text(f"data: [{chain.pairs}]\nmodel: {chain.base}\nmax_steps: 2\ncontext_length: 64\n")
    schema = "# yaml-language-server: $schema=docs/reference/schema/finetune.json\n"
    Path("mine.yaml").write_text(schema + Path("finetune.yaml").read_text())
    for name in ("finetune.yaml", "mine.yaml"):
        found = cli("plan", "-r", name, "-s", "batch_tokens=64", "--json")
        assert (found.code, found.json["stage"], found.json["steps"]) == (0, "finetune", 2), found.err


def test_a_shipped_recipe_says_what_is_planned(cli, chain):
    text = chain.root / "texts.jsonl"
    assert cli("plan", "-r", "chinese", "-i", text, "--json").json["stage"] == "clean"
    assert cli("plan", "-r", "tokenize/t5-unigram", "-i", text, "--json").json["stage"] == "tokenize"
    assert cli("plan", "-r", "quickstart/pretrain", "--json").json["stage"] == "pretrain"
    wrong = cli("plan", "-r", "chinese", "-i", text, "--stage", "tokenize")
    assert wrong.code == 2
    assert "no recipe 'chinese' for tokenize" in wrong.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["clen"], 2, "unknown stage 'clen'; did you mean 'clean'?"),
        (["clean", "--stage", "tokenize"], 2, "plan: clean and --stage tokenize are two stages"),
        (["--stage", "clen"], 2, "unknown stage 'clen'; did you mean 'clean'?"),
        (["--stage", "clean", "-i", "nowhere.jsonl"], 3, "nowhere.jsonl"),
        (
            ["--stage", "clean", "-i", "here.jsonl", "-s", "steps=[shuffle, length]"],
            2,
            "steps.0: shuffle has to be",
        ),
        (["--stage", "clean", "--data", "x"], 2, "data: unknown field; valid: "),
        (["--stage", "tokenize", "-i", "half"], 3, "half is unfinished"),
        (["--stage", "finetune", "-s", "model=nowhere", "-s", "max_steps=1"], 3, "'nowhere' does not exist"),
    ],
)
def test_what_no_stage_can_plan(cli, tmp_path, arguments, code, words):
    (tmp_path / "here.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "half/.partial").mkdir(parents=True)
    outcome = cli("plan", *arguments)
    assert outcome.code == code
    assert words in outcome.err
