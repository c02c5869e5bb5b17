"""finetune of a model without chat tokens: a shipped template by name, whose tokens become trained rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from llmkit.data.chat import CONVERSATION
from llmkit.stages.finetune import STAGE
from llmkit.training.preparation import _facts
from tiny import byte_tokenizer, model


@pytest.fixture
def finetune(cli, jsonl):
    """Fine-tune a tiny GPT-2 without chat tokens; its embedding may have more rows than the tokenizer has tokens."""

    def run(*more, rows=261, out="tuned"):
        tokenizer = byte_tokenizer(template=None)  # of 261 tokens; the last two stand for any others
        start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        assert (start, end) == (259, 260)
        content = json.loads(tokenizer.backend_tokenizer.to_str())
        names = {"<|im_start|>": "<|a|>", "<|im_end|>": "<|b|>"}
        for token in content["added_tokens"]:
            token["content"] = names.get(token["content"], token["content"])
        tokenizer.save_pretrained("base")
        Path("base/tokenizer.json").write_text(json.dumps(content))
        settings = json.loads(Path("base/tokenizer_config.json").read_text())
        Path("base/tokenizer_config.json").write_text(
            json.dumps(settings).replace("<|im_start|>", "<|a|>").replace("<|im_end|>", "<|b|>")
        )
        model("gpt2", vocab_size=rows, n_positions=64).save_pretrained("base")
        path = jsonl("pairs.jsonl", [{"prompt": f"What is {i}?", "completion": f"It is {i}."} for i in range(12)])
        options = ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "--max-steps", 2]
        options += ["-s", "validation_fraction=0", "-s", "optimizer.lr=0.01", "-s", "schedule.warmup_steps=0"]
        return cli("finetune", "--data", path, "--model", "base", *options, "-o", out, "--json", *more)

    return run


def embedding(folder):
    return load_file(Path(folder) / "model.safetensors")["transformer.wte.weight"]


def test_its_tokens_become_trained_rows(finetune):
    outcome = finetune("-s", "template=chatml")
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.err.split())
    assert "the tokenizer gets the chat template 'chatml', and the tokens <|im_start|> <|im_end|>" in told
    assert "the tokenizer has 2 added tokens that the model has no rows for: it gets them" in told
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained("tuned")
    assert tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [261, 262]
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False).startswith("<|bos|><|im_")
    before, after = embedding("base"), embedding("tuned")
    assert after.shape[0] == 263
    assert (after[261:] - before.mean(dim=0)).abs().amax(dim=1).gt(1e-3).all()  # they began there, and were trained
    assert 262 in json.loads(Path("tuned/generation_config.json").read_text())["eos_token_id"]


@pytest.mark.parametrize("rows", [261, 272])
def test_an_adapter_trains_the_rows_of_its_tokens_though_the_model_has_them(finetune, rows):
    outcome = finetune("--lora", "-s", "template=llama3", rows=rows)
    assert outcome.code == 0, outcome.err
    assert "3 new rows of the vocabulary" in " ".join(outcome.err.split())
    indices = json.loads(Path("tuned/adapter_config.json").read_text())["trainable_token_indices"]
    lists = indices.values() if isinstance(indices, dict) else [indices]
    assert all(list(one) == [261, 262, 263] for one in lists)
    weights = load_file("tuned/adapter_model.safetensors")
    (trained,) = (tensor for name, tensor in weights.items() if "wte" in name)
    mean = embedding("base")[:261].mean(dim=0)
    assert trained.shape[0] == 3
    assert not torch.allclose(trained, mean.expand_as(trained), atol=1e-4)
    assert torch.allclose(trained, mean.expand_as(trained), atol=0.1)


def test_none_is_given_without_a_name_and_a_wrong_name_is_told_the_right_one(finetune):
    outcome = finetune()
    assert outcome.code == 3
    assert "the tokenizer has no chat template, and the default one needs" in outcome.json["message"]
    assert "-s template=chatml adds these tokens" in outcome.json["hint"]
    outcome = finetune("-s", "template=chatlm")
    assert outcome.code == 2
    assert outcome.json["message"] == "template: the model has no chat template 'chatlm'; did you mean 'chatml'?"


def test_with_lora_the_model_is_asked_whether_it_stops_though_its_new_rows_are_wrapped(finetune):
    outcome = finetune("-s", "template=chatml", "-s", "validation_fraction=0.3", "--lora")
    assert outcome.code == 0, outcome.err
    assert "could not be found out" not in outcome.err
    stops = json.loads(Path("tuned/llmkit.json").read_text())["metrics"]["stops"]
    assert 0 <= stops["ended"] <= stops["prompts"]
    assert stops["prompts"] > 0


def test_all_of_a_conversation_learned_has_no_answers_to_ask_for_and_no_false_warning(finetune):
    outcome = finetune("-s", "template=chatml", "-s", "validation_fraction=0.3", "-s", "objective.train_on=all")
    assert outcome.code == 0, outcome.err
    assert "stops" not in json.loads(Path("tuned/llmkit.json").read_text())["metrics"]
    for false in ("do not end with a token", "ask what others ask", "has not learned to stop"):
        assert false not in outcome.err


def test_the_card_says_that_a_shipped_template_took_the_place_of_the_models_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    byte_tokenizer().save_pretrained("own")

    def said(template):
        config = STAGE.config.model_validate({"data": ["x"], "model": "own", "template": template})
        return _facts(config, CONVERSATION, Path("own"))["chat template"]

    assert said(None) == "the model's own"
    assert said("llama3") == "llama3, instead of the model's own"
