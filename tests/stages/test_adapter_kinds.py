"""finetune with (IA)^3, virtual tokens, rounded bases and `merge`, through the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmkit.core.manifest import read_manifest
from llmkit.modeling.load import load_model

OPTIONS = ["-s", "optimizer.lr=0.05", "-s", "schedule.type=constant", "-s", "schedule.warmup_steps=0"]
ROOM = ["-s", "context_length=60", "-s", "batch_tokens=240"]
"""Of the base's 64 positions four are for virtual tokens."""
KINDS = {
    "ia3": ["-s", "adapter=ia3"],
    "prompt": ["-s", "adapter={type: prompt, tokens: 4}", *ROOM],
    "prefix": ["-s", "adapter={type: prefix, tokens: 4}", *ROOM],
    "dora": ["--lora", "-s", "adapter.r=4", "-s", "adapter.dora=true", "-s", "optimizer.lr=0.01"],
}
TEXTS = ["a clear morning", "a dark evening", "the old harbour", "the new bridge"]


@pytest.fixture
def finetune(cli, chain, training_options):
    """Fine-tune the chain's base for two steps, with more options."""

    def run(*more, data=None, out="out"):
        arguments = ["--model", chain.base, *training_options, "--max-steps", 2, "-s", "batch_rows=4"]
        return cli("finetune", "--data", data or chain.pairs, *arguments, *OPTIONS, *more, "-o", out)

    return run


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 25)[None]).logits


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=pytest.mark.slow) if k in ("dora", "ia3") else k for k in KINDS]
)
def test_a_conversation_is_learned_and_every_command_uses_what_is_left(finetune, cli, chain, kind):
    outcome = finetune(*KINDS[kind], "-s", "validation_fraction=0.3", "--json")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["validation_loss"] < metrics["validation_loss_before"]
    assert metrics["adapter"]["type"] == ("lora" if kind == "dora" else kind)
    assert ("rows with virtual tokens before them share no block: 4 rows a step" in outcome.err) == (
        kind in ("prompt", "prefix")
    )
    assert not torch.allclose(logits(load_model("out")), logits(load_model(chain.base)), atol=1e-4)
    tasks = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 4}}]"
    assert cli("eval", "--model", "out", "-s", tasks, "-o", "scores", "-q").code == 0
    exported = cli("export", "--model", "out", "-s", "parity_prompts=1", "-s", "parity_new_tokens=2", "-o", "merged")
    if kind in ("prompt", "prefix"):
        assert exported.code == 2
        assert (
            f"model: out is an adapter of the kind {kind}: its virtual tokens are no weights of a model" in exported.err
        )
        assert "comes of training with --lora" in exported.err
    else:
        assert exported.code == 0, exported.err
        torch.testing.assert_close(logits(load_model("merged")), logits(load_model("out")), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["ia3", "prompt", "prefix"])
@pytest.mark.parametrize("objective", ["classification", "token_classification"])
def test_labels_are_learned_with_a_head_that_is_saved(finetune, cli, jsonl, kind, objective):
    rows = [{"text": text, "label": label} for text in TEXTS for label in ("x", "y")]
    if objective == "token_classification":
        rows = [{"words": text.split(), "tags": ["O", "B-A", "O"]} for text in TEXTS]
    data = jsonl("rows.jsonl", rows)
    outcome = finetune(*KINDS[kind], "-s", f"objective={objective}", "-s", "validation_fraction=0", data=data)
    assert outcome.code == 0, outcome.err
    assert "score whole" in outcome.err
    model = load_model("out")
    assert sorted(model.config.label2id) == (["x", "y"] if objective == "classification" else ["B-A", "O"])
    texts = jsonl("texts.jsonl", [{"text": text} for text in TEXTS])
    predicted = cli("predict", "--model", "out", "-i", texts, "-o", "labels", "-q")
    assert predicted.code == 0, predicted.err


def test_virtual_tokens_are_trained_alone_and_kept_in_a_small_checkpoint(finetune, chain):
    assert finetune(*KINDS["prompt"]).code == 0
    metrics = read_manifest(Path("out")).metrics
    assert metrics["trained_parameters"] == 4 * 32
    (checkpoint,) = Path("out/checkpoints").iterdir()
    assert load_file(checkpoint / "model.safetensors").keys() == {"virtual_tokens.weight"}
    assert load_file("out/adapter_model.safetensors").keys() == {"prompt_embeddings"}
    assert not Path("out/config.json").exists()


@pytest.mark.parametrize("stage", ["finetune", "pretrain"])
def test_nothing_is_trained_on_from_virtual_tokens(finetune, cli, chain, stage):
    assert finetune(*KINDS["prompt"]).code == 0
    data = chain.pairs if stage == "finetune" else chain.tokens
    outcome = cli(stage, "--model", "out", "--data", data, "--max-steps", 1, "-o", "next")
    assert outcome.code == 2
    assert "and cannot be merged" in outcome.err


@pytest.mark.parametrize("kind", ["ia3", pytest.param("dora", marks=pytest.mark.slow)])
def test_merge_leaves_a_plain_model_that_answers_as_the_adapter_would(finetune, kind):
    assert finetune(*KINDS[kind], out="apart").code == 0
    outcome = finetune(*KINDS[kind], "-s", "merge=true", out="whole")
    assert outcome.code == 0, outcome.err
    assert Path("whole/config.json").is_file()
    assert not Path("whole/adapter_config.json").exists()
    torch.testing.assert_close(logits(load_model("whole")), logits(load_model("apart")), atol=1e-5, rtol=0)
    assert "AutoModelForCausalLM.from_pretrained" in Path("whole/README.md").read_text(encoding="utf-8")
    longer = finetune(*KINDS[kind], "-s", "merge=true", "--max-steps", 3, out="whole")
    assert longer.code == 0, longer.err
    assert read_manifest(Path("whole")).metrics["steps"] == 3


@pytest.mark.parametrize(("options", "words"), [
    (["-s", "merge=true"], "merge is for adapters: full leaves a whole model as it is"),
    ([*KINDS["prefix"], "-s", "merge=true"], "the virtual tokens of prefix are no weights of a model"),
    (["-s", "adapter={type: ia3, targets: [k_porj]}"], "the model has no matrix 'k_porj'; did you mean 'k_proj'?"),
    (["-s", "adapter={type: prompt, tokens: 4}"],
     "context_length: 64 and 4 virtual tokens are over the model's 64 positions"),
    (["-s", "adapter={type: prompt, tokens: 0}"], "adapter.tokens: should be greater than or equal to 1, not 0"),
    (["--lora", "-s", "adapter.quantize=3bit"], "adapter.quantize"),
])  # fmt: skip
def test_what_cannot_be_is_refused(finetune, options, words):
    outcome = finetune(*options)
    assert outcome.code == 2
    assert words in outcome.err


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_rounded_base_is_read_again_and_the_difference_told(finetune, chain, bits):
    lora = ["--lora", "-s", "adapter.r=4", "-s", f"adapter.quantize={bits}", "-s", "validation_fraction=0.3"]
    outcome = finetune(*lora, out="apart")
    assert outcome.code == 0, outcome.err
    assert f"beside weights in {bits[0]} bits" in outcome.err
    assert "beside the rounded weights" in outcome.err
    assert f"beside those of {chain.base}, which the adapter is used and merged with" in " ".join(outcome.err.split())
    assert finetune(*lora, "-s", "merge=true", out="whole").code == 0
    torch.testing.assert_close(logits(load_model("whole")), logits(load_model("apart")), atol=1e-5, rtol=0)
    before, after = (load_file(Path(path, "model.safetensors")) for path in (chain.base, "whole"))
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    delta = load_file("apart/adapter_model.safetensors")
    up, down = (delta[f"base_model.model.model.layers.0.mlp.up_proj.lora_{side}.weight"] for side in "BA")
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(after[name] - before[name], 32 / 4 * up @ down, atol=1e-5, rtol=0)


def test_a_missing_library_ends_with_the_line_to_type(finetune, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    outcome = finetune("--lora", "-s", "adapter.quantize=4bit")
    assert outcome.code == 4
    assert 'pip install "llmkit[quantized]"' in outcome.err


def test_plan_counts_rounded_weights_as_what_they_take(cli, chain):
    found = {}
    for bits in (None, "8bit"):
        more = [] if bits is None else ["-s", f"adapter.quantize={bits}"]
        lora = ["-s", "adapter.type=lora", "-s", f"model={chain.base}", "-s", "max_steps=2"]
        outcome = cli("plan", "--stage", "finetune", *lora, "-s", "context_length=64", *more, "--json")
        assert outcome.code == 0, outcome.err
        found[bits] = outcome.json
    weights = [found[bits]["memory"]["weights"] for bits in (None, "8bit")]
    rounded = 2 * (4 * 32 * 32 + 3 * 32 * 64)
    rows = 2 * (4 * 32 + 2 * 64 + 32)
    assert weights[0] - weights[1] == 3 * rounded - 4 * rows
