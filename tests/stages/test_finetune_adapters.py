"""finetune with adapters, through the command line: what is left, and that the other commands take it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmkit.core.manifest import read_manifest
from llmkit.modeling.load import load_model

LORA = ["--lora", "-s", "adapter.r=4", "-s", "optimizer.lr=0.01"]
CONSTANT = ["-s", "schedule.type=constant", "-s", "schedule.warmup_steps=0"]
TEXTS = ["a clear morning", "a dark evening", "the old harbour", "the new bridge"]


@pytest.fixture
def finetune(cli, chain, training_options):
    """Fine-tune the chain's base for two steps, with more options."""

    def run(*more, data=None, model=None, out="out"):
        arguments = ["--model", model or chain.base, *training_options, "--max-steps", 2]
        return cli("finetune", "--data", data or chain.pairs, *arguments, *more, "-o", out)

    return run


@pytest.fixture(scope="module")
def adapter(chain, tmp_path_factory):
    """One adapter on the chain's base; read it, never write."""
    from llmkit.cli.main import run

    out = tmp_path_factory.mktemp("adapter") / "lora"
    options = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "-s", "log_every=1"]
    arguments = ["--data", chain.pairs, "--model", chain.base, *options, "--max-steps", 2, *LORA, "-o", out, "-q"]
    assert run(["finetune", *map(str, arguments)]) == 0
    return out


@pytest.fixture
def own(adapter, tmp_path):
    """A copy of the adapter, to be changed."""
    return shutil.copytree(adapter, tmp_path / "own")


def logits(model):
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 25)[None]).logits


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_and_transformers_load_what_is_left(adapter, chain):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(chain.base)
    before = logits(base)
    theirs = logits(PeftModel.from_pretrained(base, adapter).eval())
    torch.testing.assert_close(logits(load_model(adapter)), theirs, atol=1e-5, rtol=0)
    assert not torch.allclose(theirs, before, atol=1e-4)
    assert AutoTokenizer.from_pretrained(adapter).chat_template
    assert load_model(adapter).generation_config.eos_token_id == [0, 3]
    card = (adapter / "README.md").read_text(encoding="utf-8")
    assert 'PeftModel.from_pretrained(base, "DIR")' in card
    assert "library_name: peft" in card


def test_manifest_says_what_is_trained_of_which_base(adapter, chain):
    manifest = read_manifest(adapter)
    metrics = manifest.metrics
    # Rank 4 beside q, k, v, o of 32 x 32 and gate, up, down of 64 x 32, in 2 layers.
    assert metrics["trained_parameters"] == 2 * (4 * 4 * (32 + 32) + 3 * 4 * (64 + 32))
    assert metrics["parameters"] == read_manifest(chain.base).metrics["parameters"]
    assert metrics["adapter"]["r"] == 4
    assert metrics["base"]["path"] == str(chain.base)
    assert {item.role: item.digest for item in manifest.inputs}["model"] == read_manifest(chain.base).id


def test_a_checkpoint_holds_what_is_trained_alone(adapter):
    (checkpoint,) = (adapter / "checkpoints").iterdir()
    weights = load_file(checkpoint / "model.safetensors")
    assert all("lora_" in name for name in weights)
    assert sum(tensor.numel() for tensor in weights.values()) == read_manifest(adapter).metrics["trained_parameters"]


def test_eval_and_export_take_the_directory(adapter, cli, chain, reload_here):
    tasks = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 4}}]"
    assert cli("eval", "--model", adapter, "-s", tasks, "-o", "scores", "-q").code == 0
    assert (
        cli("export", "--model", adapter, "-s", "parity_prompts=1", "-s", "parity_new_tokens=2", "-o", "merged").code
        == 0
    )
    torch.testing.assert_close(logits(load_model("merged")), logits(load_model(adapter)), atol=1e-5, rtol=0)


def test_a_finished_run_is_extended_to_where_a_long_one_ends(finetune):
    assert finetune(*LORA, "--max-steps", 2, *CONSTANT).code == 0
    assert finetune(*LORA, "--max-steps", 4, *CONSTANT).code == 0
    assert finetune(*LORA, "--max-steps", 4, *CONSTANT, out="long").code == 0
    one, other = (load_file(Path(out, "adapter_model.safetensors")) for out in ("out", "long"))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


@pytest.mark.parametrize("kind", ["head", "layers"])
def test_head_and_layers_leave_whole_models_with_the_rest_as_it_was(finetune, chain, kind):
    more = ["-s", "adapter.last=1"] if kind == "layers" else []
    outcome = finetune("-s", f"adapter.type={kind}", *more, "-s", "optimizer.lr=0.01", "--json")
    assert outcome.code == 0
    before, after = (load_file(Path(out, "model.safetensors")) for out in (chain.base, "out"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    if kind == "head":  # tied: the output layer is the embedding
        assert changed == {"model.embed_tokens.weight"}
    else:
        assert changed and all(name.startswith(("model.layers.1.", "model.norm.")) for name in changed)
    trained = sum(before[name].numel() for name in changed)
    assert outcome.json["metrics"]["trained_parameters"] == trained
    (checkpoint,) = Path("out/checkpoints").iterdir()
    assert load_file(checkpoint / "model.safetensors").keys() == changed


@pytest.mark.parametrize("objective", ["classification", "token_classification"])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_new_heads_are_saved_with_the_adapter(finetune, cli, jsonl, objective, reload_here, capsys):
    rows = [{"text": text, "label": label} for text in TEXTS for label in ("x", "好 😀")]
    if objective == "token_classification":
        rows = [{"words": text.split(), "tags": ["O", "B-A", "O"]} for text in TEXTS]
    data = jsonl("rows.jsonl", rows)
    outcome = finetune(*LORA, "-s", f"objective={objective}", "-s", "validation_fraction=0", data=data)
    assert outcome.code == 0, outcome.err
    assert "score whole" in outcome.err
    model = load_model("out")
    labels = ["x", "好 😀"] if objective == "classification" else ["B-A", "O"]
    assert sorted(model.config.label2id) == labels
    saved = load_file("out/adapter_model.safetensors")
    assert torch.equal(model.score.weight, saved["base_model.model.score.weight"])
    assert cli("export", "--model", "out", "-o", "merged").code == 0
    assert model.config.architectures == load_model("merged").config.architectures == [type(model).__name__]
    (code,) = re.findall(r"```python\n(.*?)```", Path("out/README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(code.replace('"DIR"', '"out"'), {})
    shown = capsys.readouterr().out
    assert any(label in shown for label in labels)


def test_added_tokens_get_rows_that_are_trained(finetune, chain, tmp_path):
    from transformers import AutoTokenizer

    grown = shutil.copytree(chain.base, tmp_path / "grown", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
    tokenizer = AutoTokenizer.from_pretrained(grown)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(grown)
    outcome = finetune(*LORA, model=grown)
    assert outcome.code == 0, outcome.err
    assert "2 new rows of the vocabulary" in outcome.err
    model = load_model("out")
    size = len(tokenizer)
    assert model.get_input_embeddings().weight.shape[0] == model.config.vocab_size == size
    delta = load_file("out/adapter_model.safetensors")
    rows = next(tensor for name, tensor in delta.items() if "trainable_tokens_delta" in name)
    assert torch.equal(model.get_output_embeddings().weight[-2:], rows)
    assert f"base.resize_token_embeddings({size})" in Path("out/README.md").read_text(encoding="utf-8")


def test_a_whole_model_is_trained_on_from_the_merged_one_and_an_adapter_is_not(finetune, adapter, own):
    outcome = finetune(*LORA, model=adapter)
    assert outcome.code == 2
    assert "is an adapter itself, and lora needs a whole model" in outcome.err
    assert f"llmkit export --model {adapter} -o MERGED" in outcome.err
    assert finetune("-s", "optimizer.lr=1e-9", model=own).code == 0
    torch.testing.assert_close(logits(load_model("out")), logits(load_model(adapter)), atol=1e-5, rtol=0)


def test_a_base_that_moved_with_its_adapter_is_found_and_one_that_is_gone_is_not(cli, own, chain, tmp_path):
    config = json.loads((own / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = "gone/base"
    (own / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (own / "llmkit.json").unlink()
    outcome = cli("export", "--model", own, "-o", "merged")
    assert outcome.code == 3
    assert "is nothing without its base, and 'gone/base' is not there" in outcome.err
    assert "hf download gone/base --local-dir gone/base" in outcome.err
    shutil.copytree(chain.base, tmp_path / "base")
    load_model(own)


def test_a_base_that_has_changed_is_refused(cli, own, changed, tmp_path):
    config = json.loads((own / "adapter_config.json").read_text(encoding="utf-8"))
    other = changed(lambda weights: weights["model.norm.weight"].mul_(2))
    config["base_model_name_or_path"] = str(other)
    (own / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (own / "llmkit.json").unlink()
    outcome = cli("pretrain", "--model", own, "--data", "x", "--max-steps", 1, "-o", "out")
    assert outcome.code == 3
    with pytest.raises(Exception, match="was not trained on the model that is now in"):
        load_model(own)


@pytest.mark.parametrize(("change", "words"), [
    (lambda config: config.update(peft_type="LOHA"), "of a type that llmkit does not know: LOHA"),
    (lambda config: config.update(r=0), "adapter_config.json cannot be read: r: expected at least 1, got 0"),
    (lambda config: config.update(r=8), "is not of this base"),
    (lambda config: config.update(target_modules=["nothing"]), "is not of this base"),
    (lambda config: config.pop("peft_type"), "adapter_config.json cannot be read: it lacks 'peft_type'"),
])  # fmt: skip
def test_a_damaged_config_is_told(cli, own, change, words):
    config = json.loads((own / "adapter_config.json").read_text(encoding="utf-8"))
    change(config)
    (own / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (own / "llmkit.json").unlink()
    outcome = cli("export", "--model", own, "-o", "merged")
    assert outcome.code == 3
    assert words in outcome.err


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_made_elsewhere_is_taken(cli, chain, tmp_path, reload_here):
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(chain.base)
    base.name_or_path = str(chain.base)
    model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)).eval()
    model.save_pretrained(tmp_path / "theirs")
    torch.testing.assert_close(logits(load_model(tmp_path / "theirs")), logits(model), atol=1e-5, rtol=0)
    outcome = cli("export", "--model", "theirs", "-o", "merged", "-s", "parity_prompts=1", "-s", "parity_new_tokens=2")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize(("options", "words"), [
    (["--lora", "-s", "adapter.r=0"], "adapter.r: should be greater than or equal to 1, not 0"),
    (["-s", "adapter=lorra"], "unknown adapter 'lorra'; did you mean 'lora'?"),
    (["--lora", "-s", "adapter.targets=[q_porj]"], "the model has no matrix 'q_porj'; did you mean 'q_proj'?"),
    (["-s", "adapter={type: layers, last: 9}"], "adapter.last: 9 layers of a model that has 2"),
])  # fmt: skip
def test_what_cannot_be_trained_so_is_refused(finetune, options, words):
    outcome = finetune(*options)
    assert outcome.code == 2
    assert words in outcome.err
