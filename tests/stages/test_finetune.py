"""finetune, through the command line: chat messages in, a model with its template and stop tokens out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest


def pair(question, answer):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


@pytest.fixture
def finetune(cli, chain, training_options):
    """Fine-tune the base model for one step on examples in `pairs/`, with more options."""

    def run(*more, data="pairs"):
        arguments = ["--model", chain.base, *training_options, "--max-steps", 1, "-s", "validation_fraction=0", *more]
        return cli("finetune", "--data", data, *arguments, "-o", "out")

    return run


@pytest.fixture
def examples(cli, jsonl):
    """Make an examples artifact of the given rows in `pairs/`."""

    def make(rows):
        source = f"inputs=[{{type: files, path: {jsonl('rows.jsonl', rows)}, messages_field: messages}}]"
        assert cli("clean", "-s", source, "-o", "pairs", "-s", "steps=[]").code == 0

    return make


def test_transformers_loads_the_model_with_its_template(chain):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(chain.model), AutoTokenizer.from_pretrained(chain.model)
    text = tokenizer.apply_chat_template(pair("Q", "A")["messages"], tokenize=False)
    assert text == "<|endoftext|><|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
    stops = [tokenizer.convert_tokens_to_ids(token) for token in ("<|endoftext|>", "<|im_end|>")]
    assert model.generation_config.eos_token_id == stops == [0, 3]
    card = (chain.model / "README.md").read_text(encoding="utf-8")
    assert "apply_chat_template" in card


def test_lineage_has_the_examples_and_the_base(chain):
    inputs = {item.role: item.digest for item in read_manifest(chain.model).inputs}
    assert inputs == {"data": read_manifest(chain.pairs).id, "model": read_manifest(chain.base).id}


def test_two_runs_give_the_same_model(cli, chain, stage_commands):
    assert cli(*stage_commands["finetune"], "-o", "again").code == 0
    assert read_manifest(Path("again")).id == read_manifest(chain.model).id


def test_targets_are_counted_and_what_cannot_be_used_is_said(finetune, examples):
    long = "word " * 100
    rows = [pair("Hi", "yes"), pair(long, "lost"), pair("Tell me", "go on: " + long), pair("Say", "<|im_end|>")]
    examples(rows)
    outcome = finetune("--json", "-s", "overlength=truncate")
    assert outcome.code == 0
    metrics = outcome.json["metrics"]
    assert (metrics["rows"], metrics["truncated"]) == (1, 0)
    assert (metrics["left_out_long"], metrics["left_out_literal_special"]) == (2, 1)
    fits = "an answer that does not fit into context_length 64 with its question"
    assert f"warning: 2 rows were left out: {fits}" in outcome.err
    assert "warning: 1 rows were left out: a message holds a special token literally" in outcome.err


def test_targets_are_the_answers_tokens_and_the_end_of_turn(finetune, examples, chain):
    from transformers import AutoTokenizer

    examples([pair("Hi", "yes"), pair("How?", "春天来了")])
    metrics = finetune("--json").json["metrics"]
    tokenizer = AutoTokenizer.from_pretrained(chain.base)
    assert metrics["targets"] == sum(len(tokenizer(answer)["input_ids"]) + 1 for answer in ("yes", "春天来了"))


def test_no_row_left_is_an_error(finetune, examples):
    examples([pair("word " * 100, "lost")])
    outcome = finetune("-s", "overlength=truncate")
    assert outcome.code == 3
    assert "error: data: no row is left to train on (1 have an answer that does not fit into" in outcome.err
    assert "raise context_length" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_a_context_beyond_the_models_positions_is_an_error(finetune, chain):
    outcome = finetune("-s", "context_length=128", data=chain.pairs)
    assert outcome.code == 2
    assert f"error: context_length: 128 is over the 64 positions of the model in {chain.base}" in outcome.err


def test_a_tokenizer_without_chat_tokens_is_an_error(cli, chain, model_options, training_options):
    cli("tokenize", "-i", chain.corpus, "--vocab-size", 300, "-s", "tokenizer.special_tokens=[]", "-o", "tokens")
    cli("pretrain", "--data", "tokens", *model_options, *training_options, "--max-steps", 1, "-o", "base")
    outcome = cli(
        "finetune", "--data", chain.pairs, "--model", "base", *training_options, "--max-steps", 1, "-o", "out"
    )
    assert outcome.code == 3
    assert "the tokenizer has no chat template, and the default one needs <|im_start|> and <|im_end|>" in outcome.err


def test_an_objective_of_documents_is_refused(finetune, chain):
    outcome = finetune("-s", "objective=causal_lm", data=chain.pairs)
    assert outcome.code == 2
    assert (
        "error: objective: causal_lm reads packed documents, not rows; llmkit pretrain --model DIR goes on"
        in outcome.err
    )


def test_a_model_directory_made_elsewhere_is_taken(cli, chain, finetune, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for part in (AutoModelForCausalLM, AutoTokenizer):
        part.from_pretrained(chain.base).save_pretrained(tmp_path / "foreign")
    assert finetune("--model", "foreign", data=chain.pairs).code == 0
    tree = cli("lineage", "out", "--json").json["lineage"]
    (model,) = (item for item in tree["inputs"] if item["role"] == "model")
    assert (model["kind"], model["path"]) == ("files", str(tmp_path / "foreign"))
    listed = [json.loads(line)["name"] for line in Path("out/inputs.jsonl").read_text().splitlines()]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(listed)
