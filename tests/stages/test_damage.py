"""Damaged artifacts and models from elsewhere: a cell of each class of `make campaign`, which tries all of them."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file


@pytest.fixture
def refused(cli, tmp_path):
    """Run a command that must be refused as damaged data: with words, the next line to type, and nothing left."""

    def run(*arguments, code=3):
        outcome = cli(*arguments)
        assert outcome.code == code, outcome.err
        assert "Traceback" not in outcome.err
        assert "error: " in outcome.err
        assert "  -> " in outcome.err
        assert not [*(tmp_path / "out").glob("*")]
        return outcome.err

    return run


# --- artifacts


def manifest_with(chain, tmp_path, kind, change):
    """Copy an artifact of the chain, and write something else for its manifest."""
    shutil.copytree(getattr(chain, kind), tmp_path / kind)
    file = tmp_path / kind / "llmkit.json"
    values = change(json.loads(file.read_text(encoding="utf-8"))) if callable(change) else change
    file.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")


@pytest.mark.parametrize(("change", "words"), [
    ("[]", "corpus/llmkit.json: not a manifest of this version of llmkit (a list: Input should be an object)"),
    ("null", "not a manifest of this version of llmkit (null: Input should be an object)"),
    ('{"stage": "cl', "corpus/llmkit.json cannot be read: Unterminated string"),
    ("[" * 100_000, "corpus/llmkit.json cannot be read: it is nested too deeply"),
    (lambda m: {**m, "outputs": {}}, "(outputs: Input should be a valid array)"),
    (lambda m: {**m, "stage": 7}, "(stage: Input should be a valid string)"),
    (lambda m: {**m, "kind": ""}, "(it names no stage or no kind)"),
    (lambda m: {**m, "config": {}}, "(config: it has no fingerprint)"),
    (lambda m: {**m, "schema": 2}, "(its schema is 2, and 1 is known)"),
    (lambda m: {k: v for k, v in m.items() if k != "metrics"}, "(metrics: Field required)"),
    (lambda m: {**m, "kept": "../texts.jsonl"}, "(outputs: '../texts.jsonl' is no path inside the artifact)"),
    (lambda m: {**m, "inputs": [{**m["inputs"][0], "path": "a\0b"}]}, "is no path)"),
])  # fmt: skip
def test_a_manifest_that_no_stage_wrote(refused, chain, tmp_path, change, words):
    manifest_with(chain, tmp_path, "corpus", change)
    for command in (["lineage", "corpus"], ["tokenize", "-i", "corpus", "-o", "out"]):
        assert words in refused(*command)


def test_what_to_do_about_a_damaged_manifest(refused, chain, tmp_path):
    manifest_with(chain, tmp_path, "corpus", lambda m: {**m, "seed": "x"})
    assert "-> mv corpus corpus.damaged, and run the command that made it again: llmkit clean ... -o corpus" in refused(
        "lineage", "corpus"
    )
    manifest_with(chain, tmp_path, "tokens", lambda m: {**m, "schema": 2})
    assert "-> install the version of llmkit that wrote it, or a newer one" in refused("lineage", "tokens")


def test_replacing_an_artifact_removes_nothing_outside_of_it(refused, chain, tmp_path):
    kept = tmp_path / "mine.txt"
    kept.write_text("mine", encoding="utf-8")
    entry = {"path": "../mine.txt", "bytes": 4, "digest": "", "payload": False}
    manifest_with(chain, tmp_path, "corpus", lambda m: {**m, "outputs": [*m["outputs"], entry]})
    command = ["clean", "-i", chain.root / "texts.jsonl", "-s", "steps=[]", "-o", "corpus", "--force"]
    assert "'../mine.txt' is no path inside the artifact" in refused(*command)
    assert kept.read_text(encoding="utf-8") == "mine"


def test_an_artifact_that_names_itself_as_its_input_is_walked_once(cli, chain, tmp_path):
    def itself(values):
        own = {"role": "data", "path": str(tmp_path / "corpus"), "kind": "corpus", "digest": values["id"]}
        return {**values, "inputs": [own]}

    manifest_with(chain, tmp_path, "corpus", itself)
    outcome = cli("lineage", "corpus", "--verify")
    assert outcome.code == 7
    assert "is named as made from itself" in outcome.err


def test_lineage_says_which_input_has_a_damaged_manifest(cli, chain, tmp_path):
    manifest_with(chain, tmp_path, "corpus", "[]")

    def moved(values):
        return {**values, "inputs": [{**values["inputs"][0], "path": str(tmp_path / "corpus")}]}

    manifest_with(chain, tmp_path, "tokens", moved)
    assert cli("lineage", "tokens").code == 0
    outcome = cli("lineage", "tokens", "--verify")
    assert outcome.code == 7
    assert "corpus/llmkit.json: not a manifest of this version of llmkit" in outcome.err


def test_results_that_were_edited_are_said_by_summary(refused, chain, tmp_path):
    manifest_with(chain, tmp_path, "corpus", lambda m: {**m, "metrics": {"documents_kept": "x"}})
    assert "corpus/llmkit.json cannot be read: it lacks 'documents_read'" in refused("summary", "corpus")


def test_a_folder_in_the_place_of_a_file_is_replaced_with_the_artifact(cli, chain, tmp_path):
    command = ["clean", "-i", chain.root / "texts.jsonl", "-s", "steps=[]", "-o", "corpus", "-q"]
    assert cli(*command).code == 0
    (tmp_path / "corpus" / "README.md").unlink()
    (tmp_path / "corpus" / "README.md").mkdir()
    outcome = cli(*command)
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "corpus" / "README.md").is_file()


# --- models from elsewhere


@pytest.fixture
def elsewhere(chain, tmp_path):
    """The chain's base model, as if it had been published: without what llmkit knows of it."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(chain.base, folder, ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    return folder


def set_config(folder, **values):
    """Change fields of config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def change_weights(folder, change):
    """Change the tensors of model.safetensors."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(("values", "words"), [
    ({"quantization_config": {"quant_method": "gptq"}}, "is quantized (gptq), and llmkit works with float weights"),
    ({"attn_implementation": "kernels-community/x"}, "attn_implementation asks for 'kernels-community/x'"),
    ({"hidden_act": "siluu"}, "hidden_act: unknown activation 'siluu'; did you mean 'silu'?"),
    ({"rope_parameters": {"rope_type": "novel"}}, "rope_parameters: unknown type 'novel'"),
    ({"pad_token_id": 400}, "pad_token_id: 400 is no row of the 400 of the embedding"),
    ({"num_hidden_layers": 10**6}, "num_hidden_layers: 1,000,000 is more than any model has"),
    ({"num_hidden_layers": 4000}, "num_hidden_layers: 4,000 layers, and 20 weights are there"),
    ({"intermediate_size": 10**9}, "it describes 192,000,021,152 weights (llama), and 33,440 are there"),
    ({"num_attention_heads": 0}, "num_attention_heads: expected at least 1, got 0"),
    ({"model_type": None}, "it names no architecture: model_type is null"),
    ({"model_type": "novel"}, "architecture 'novel' is unknown to transformers"),
    ({"model_type": "novel", "auto_map": {}}, "has an architecture, 'novel', that only code in its directory knows"),
])  # fmt: skip
def test_a_config_that_cannot_be_used_is_refused_by_run_and_plan(refused, chain, elsewhere, values, words):
    set_config(elsewhere, **values)
    run = ["finetune", "--data", chain.pairs, "--model", "elsewhere", "--max-steps", "1", "-o", "out"]
    assert words in refused(*run)
    assert words in refused("plan", "-s", "model.path=elsewhere", "-s", "max_steps=1")


def only(name):
    """Let the weights be in another file alone."""
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def index_of(name):
    """Let an index name a file."""

    def change(folder):
        (folder / "model.safetensors").unlink()
        index = {"weight_map": {"model.norm.weight": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")

    return change


UP = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(("change", "words"), [
    (only("pytorch_model.bin"), "is pickled (pytorch_model.bin), and reading a pickle can run any code"),
    (only("model.gguf"), "holds no model.safetensors, but model.gguf"),
    (index_of("../model.safetensors"), "it names '../model.safetensors', which is no *.safetensors beside it"),
    (index_of("model-1.safetensors"), "it names model-1.safetensors, which is not there"),
    (lambda f: change_weights(f, lambda w: w.update({UP: w[UP].to(torch.int8)})), "is quantized: " + UP),
    (lambda f: change_weights(f, lambda w: w.update({UP.replace("1", "2"): w[UP] + 1})),
     "no place for 1 weights that are there: model.layers.2.mlp.up_proj.weight"),
    (lambda f: change_weights(f, lambda w: w.pop(UP)), "lacks 1 weights of LlamaForCausalLM: " + UP),
    (lambda f: (f / "model.safetensors").write_bytes(b"<!doctype html>"), "model.safetensors cannot be read"),
    (lambda f: (f / "generation_config.json").write_text("[]"),
     "generation_config.json cannot be read: a JSON object was expected, not a list"),
    (lambda f: (f / "tokenizer_config.json").write_text("null"), "tokenizer_config.json cannot be read"),
    (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json cannot be read"),
])  # fmt: skip
def test_files_that_cannot_be_used_are_refused(refused, chain, elsewhere, change, words):
    change(elsewhere)
    task = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 2}}]"
    assert words in refused("eval", "--model", "elsewhere", "-s", task, "-o", "out")


def test_a_known_architecture_with_code_of_its_own_is_loaded_without_it(cli, chain, elsewhere):
    set_config(elsewhere, auto_map={"AutoConfig": "novel.NovelConfig"}, colour="red")
    task = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 2}}]"
    outcome = cli("eval", "--model", "elsewhere", "-s", task, "-o", "out")
    assert outcome.code == 0, outcome.err
