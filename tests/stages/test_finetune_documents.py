"""finetune on documents, through the command line: raw text, corpora and tokens, with and without an adapter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from headed import save_headed
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Tokens
from llmkit.modeling.load import load_model
from llmkit.modeling.tokenizer import load_tokenizer
from texts import sentences

SENTINELS = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]
FIM = ["-s", "objective.type=fill_in_the_middle", "-s", "objective.max_per_block=2", "-s", "objective.fim_rate=1"]
LORA = ["--lora", "-s", "adapter.r=4", "-s", "optimizer.lr=0.01"]
CONSTANT = ["-s", "schedule.type=constant", "-s", "schedule.warmup_steps=0"]


@pytest.fixture
def tune(cli, chain, training_options):
    """Fine-tune the chain's base on documents for three steps, with more options."""

    def run(data, *more, model=None, out="out"):
        arguments = ["--model", model or chain.base, *training_options, *CONSTANT, "--max-steps", 3]
        return cli("finetune", "--data", data, *arguments, "-s", "validation_fraction=0.1", *more, "-o", out)

    return run


@pytest.fixture
def sources(tmp_path):
    """A folder of code files."""
    folder = tmp_path / "src"
    folder.mkdir()
    for number, text in enumerate(sentences(40, seed=7)):
        (folder / f"part{number:02}.py").write_text(f"def part{number}():\n    # {text}\n    return {number}\n")
    return folder


def weights(out="out", name="model.safetensors"):
    return load_file(Path(out, name))


def test_code_is_filled_in_by_a_lora_adapter_whose_sentinels_are_trained_rows(tune, sources, chain):
    outcome = tune(sources, *FIM, *LORA)
    assert outcome.code == 0, outcome.err
    assert f"the tokenizer gets {', '.join(SENTINELS)}, which fill_in_the_middle needs" in outcome.err
    assert "3 new rows of the vocabulary" in outcome.err
    assert "documents" in outcome.out
    tokenizer, base = load_tokenizer(Path("out")), load_model(chain.base)
    ids, size = tokenizer.convert_tokens_to_ids(SENTINELS), len(base.get_input_embeddings().weight)
    assert ids == [size, size + 1, size + 2]
    merged = load_model("out")
    rows = merged.get_input_embeddings().weight
    start = base.get_input_embeddings().weight.mean(0)
    assert len(rows) == size + 3
    assert all(not torch.allclose(rows[i], start, atol=1e-4) for i in ids)
    assert torch.equal(rows[:size], base.get_input_embeddings().weight)
    metrics = read_manifest(Path("out")).metrics
    assert metrics["documents"] + metrics["validation_documents"] == 40
    assert metrics["validation_loss"] < metrics["validation_loss_before"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_peft_loads_what_is_left_and_answers_the_same(tune, sources, chain):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert tune(sources, *FIM, *LORA).code == 0
    base = AutoModelForCausalLM.from_pretrained(chain.base)
    base.resize_token_embeddings(len(load_tokenizer(Path("out"))), mean_resizing=False)
    theirs = PeftModel.from_pretrained(base, "out").eval()
    ids = torch.tensor([[5, 6, len(base.get_input_embeddings().weight) - 1, 7]])
    with torch.no_grad():
        torch.testing.assert_close(load_model("out")(ids).logits, theirs(ids).logits, atol=1e-5, rtol=0)


def test_sentinels_within_the_rows_that_a_model_has_to_spare_are_trained_as_well(tune, sources, chain, tmp_path):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(chain.base)
    size = len(model.get_input_embeddings().weight)
    model.resize_token_embeddings(size + 8, mean_resizing=False)
    model.save_pretrained(tmp_path / "padded")
    load_tokenizer(chain.base).save_pretrained(tmp_path / "padded")
    assert tune(sources, *FIM, *LORA, model=tmp_path / "padded").code == 0
    before, after = (load_model(path).get_input_embeddings().weight for path in (tmp_path / "padded", "out"))
    changed = [i for i in range(len(before)) if not torch.equal(before[i], after[i])]
    assert changed == [size, size + 1, size + 2]


def test_text_a_corpus_and_tokens_give_the_same_model(tune, chain, cli):
    objective = ["-s", "objective=causal_lm"]
    same = ["-s", "validation_fraction=0.1", "-s", "test_fraction=0"]
    assert cli("tokenize", "-i", chain.corpus, "--tokenizer", chain.base, *same, "-o", "tokens").code == 0
    for name, data in (("of-corpus", chain.corpus), ("of-tokens", "tokens")):
        assert tune(data, *objective, out=name).code == 0
    one, other = weights("of-corpus"), weights("of-tokens")
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())
    before = weights(chain.base)
    assert any(not torch.equal(one[name], before[name]) for name in before)


def test_all_weights_learn_what_pretrain_teaches_them(tune, chain, cli, training_options):
    optimizer = ["-s", "optimizer={type: adamw, lr: 0.001, weight_decay: 0.1}"]
    assert tune(chain.tokens, "-s", "objective=causal_lm", *optimizer).code == 0
    arguments = ["--model", chain.base, *training_options, *CONSTANT, *optimizer, "--max-steps", 3]
    assert cli("pretrain", "--data", chain.tokens, *arguments, "-o", "onward").code == 0
    one, other = weights("out"), weights("onward")
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())


def test_merge_leaves_a_plain_model_of_documents_that_answers_as_the_adapter_would(tune, sources):
    assert tune(sources, *FIM, *LORA, out="apart").code == 0
    outcome = tune(sources, *FIM, *LORA, "-s", "merge=true")
    assert outcome.code == 0, outcome.err
    assert Path("out/model.safetensors").is_file() and not Path("out/adapter_config.json").exists()
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        found, expected = (load_model(name).eval()(ids).logits for name in ("out", "apart"))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_an_encoder_goes_on_with_masks_and_lora(tune, jsonl, tmp_path):
    body = save_headed(tmp_path / "body", {"type": "masked_lm"})
    data = jsonl("reviews.jsonl", [{"review": text} for text in sentences(60, seed=3)])
    more = ["-s", "columns.text=review", "-s", "context_length=32", "-s", "batch_tokens=128"]
    outcome = tune(data, "-s", "objective={type: masked_lm, mask_fraction: 0.3}", *LORA, *more, model=body)
    assert outcome.code == 0, outcome.err
    assert read_manifest(Path("out")).metrics["adapter"]["r"] == 4
    assert not Path("out/generation_config.json").exists()
    before, after = load_model(body), load_model("out")
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert not torch.allclose(before(ids).logits, after(ids).logits, atol=1e-5)


def test_a_model_without_limits_takes_the_default_epochs_and_its_positions(cli, chain):
    data = ["--data", chain.corpus, "--model", chain.base, "-s", "objective=causal_lm"]
    found = cli("finetune", *data, "-s", "samples.count=0", "-o", "out")
    assert found.code == 0, found.err
    steps = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    assert max(row["epoch"] for row in steps if "epoch" in row) == pytest.approx(3, abs=1)


def test_generation_still_stops_where_the_model_did(tune, chain):
    assert tune(chain.corpus, "-s", "objective=causal_lm", *LORA, model=chain.model).code == 0
    ends = json.loads(Path("out/generation_config.json").read_text())["eos_token_id"]
    assert ends == load_model(chain.model).generation_config.eos_token_id
    assert Path("out/chat_template.jinja").exists()


def test_a_preview_marks_what_is_learned(tune, sources, jsonl, tmp_path):
    shown = tune(sources, *FIM, "--preview", 2)
    assert shown.code == 0, shown.err
    assert "model: " in shown.out
    assert all(token in shown.out for token in SENTINELS)
    assert not Path("out").exists()
    body = save_headed(tmp_path / "body", {"type": "masked_lm"})
    data = jsonl("rows.jsonl", ["the and the and the"])
    masked = tune(data, "-s", "objective={type: masked_lm, mask_fraction: 0.5}", "-s", "context_length=16",
                  "-s", "batch_tokens=64", "--preview", 1, "--json", model=body)  # fmt: skip
    pieces = masked.json["blocks"][0]["seen"]["input_ids"]
    assert {mark for _, mark in pieces} <= {"", "the", "and"}
    assert sum(1 for _, mark in pieces if mark) >= 1


def test_a_plan_counts_the_tokens(cli, chain):
    data = ["--data", chain.corpus, "--model", chain.base, "-s", "objective=causal_lm", "-s", "adapter=lora"]
    sizes = ["-s", "validation_fraction=0.1", "-s", "context_length=64", "-s", "batch_tokens=512"]
    found = cli("plan", "--stage", "finetune", *data, *sizes, "--json")
    assert found.code == 0, found.err
    plan = found.json
    same = ["-s", "validation_fraction=0.1", "-s", "test_fraction=0"]
    assert cli("tokenize", "-i", chain.corpus, "--tokenizer", chain.base, *same, "-o", "tokens").code == 0
    assert plan["tokens_per_epoch"] == Tokens("tokens").facts["splits"]["train"]["tokens"]
    assert plan["epochs"] == pytest.approx(3, abs=0.1)
    assert "LoRA" in plan["adapter"]


def test_preflight_links_tokens_and_knows_the_sentinels(cli, chain, tmp_path, sources):
    tokenize, finetune = tmp_path / "tokenize.yaml", tmp_path / "finetune.yaml"
    tokenize.write_text(f"inputs: [{chain.corpus}]\ntokenizer: {chain.base}\n")
    finetune.write_text(
        f"data: [build/tokens]\nmodel: {chain.base}\nobjective: fill_in_the_middle\nadapter: lora\ncontext_length: 64\n"
        "batch_tokens: 256\nmax_steps: 2\n"
    )
    found = cli("preflight", "-r", tokenize, "-o", "build/tokens", "-r", finetune)
    assert found.code == 0, found.out + found.err
    code = cli("preflight", "-r", finetune, "--data", sources)
    assert code.code == 0, code.out + code.err
    rows = cli("preflight", "-r", finetune, "--data", chain.pairs)
    assert rows.code == 3
    assert "holds examples, not tokens or a corpus" in rows.out + rows.err


def test_a_name_on_the_hub_is_planned_and_shown_with_documents(cli, chain, sources, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    snapshots = tmp_path / "cache/models--org--name/snapshots"
    shutil.copytree(chain.base, snapshots / "main", ignore=shutil.ignore_patterns("llmkit.json", "check*"))
    of = ["finetune", "--data", sources, "--model", "org/name", *FIM, "-s", "context_length=64", "--json"]
    shown = cli(*of, "--preview", 1)
    assert shown.code == 0, shown.err
    assert len(shown.json["blocks"]) == 1
    planned = cli("plan", *of)
    assert planned.code == 0, planned.err
    assert planned.json["steps"] > 0


@pytest.mark.parametrize(("adapter", "warned"), [("head", False), ("layers", True)])
def test_rows_that_an_adapter_leaves_as_they_are_are_told_and_no_others(tune, sources, chain, adapter, warned):
    assert load_model(chain.base).config.tie_word_embeddings
    outcome = tune(sources, *FIM, "-s", f"adapter={adapter}")
    assert outcome.code == 0, outcome.err
    assert ("leaves the 3 new rows of the embedding as they are" in outcome.err) == warned


def test_what_documents_do_not_have_is_refused(tune, chain, cli, jsonl):
    rows = tune(chain.pairs, "-s", "packing=pad")
    assert rows.code == 2
    assert "packing is for documents: how rows lie sft says" in rows.err
    columns = tune(chain.corpus, "-s", "objective=causal_lm", "-s", "columns.label=n")
    assert columns.code == 2
    assert "columns.label: documents have a text alone" in columns.err
    examples = tune(chain.pairs, "-s", "objective=causal_lm")
    assert examples.code == 3
    assert "holds examples, not" in examples.err
    unread = tune(jsonl("odd.jsonl", [{"body": "x"}]), "-s", "objective=causal_lm")
    assert unread.code == 3
    assert "-s data.0.text_field=COLUMN" in unread.err
    cli("tokenize", "-i", chain.corpus, "--vocab-size", 300, "-o", "other")
    foreign = tune("other", "-s", "objective=causal_lm")
    assert foreign.code == 3
    assert "the model was trained with another tokenizer than the one in" in foreign.err


def test_no_document_to_train_on_is_an_error(tune, jsonl):
    outcome = tune(
        jsonl("one.jsonl", ["a single text"]), "-s", "objective=causal_lm", "-s", "validation_fraction=0.999"
    )
    assert outcome.code == 3
    assert "data: 1 documents gave none to train on" in outcome.err
    assert "-> lower validation_fraction" in outcome.err
