from __future__ import annotations

import json
import re

import pytest
import torch
import transformers

from llmkit.training.finish import save_model, training_metrics, write_card
from tiny import byte_tokenizer

BERT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64,
}  # fmt: skip
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 258}
LLAMA = {**BERT, "num_key_value_heads": 1}


@pytest.mark.parametrize(
    ("auto_class", "arch", "sizes", "tag", "says"),
    [
        ("AutoModelForCausalLM", "llama", LLAMA, "text-generation", r"<\|bos\|>"),
        ("AutoModelForMaskedLM", "bert", BERT, "fill-mask", r"\['.*'(, '.*'){4}\]"),
        ("AutoModelForPreTraining", "bert", BERT, "fill-mask", r"tensor\(\[\[0\.\d+, 0\.\d+\]\]"),
        ("AutoModelForSeq2SeqLM", "t5", T5, "text2text-generation", r"."),
    ],
)
def test_the_code_of_the_card_runs(tmp_path, capsys, auto_class, arch, sizes, tag, says):
    tokenizer = byte_tokenizer(template=None)
    tokenizer.add_special_tokens({"mask_token": "<|mask|>", "extra_special_tokens": ["<extra_id_0>"]})
    config = transformers.AutoConfig.for_model(
        arch, **sizes, vocab_size=len(tokenizer), bos_token_id=256, eos_token_id=257, pad_token_id=258
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(transformers, auto_class).from_config(config)
    save_model(tmp_path, model, tokenizer, context_length=64, end_ids=[257])
    assert (tmp_path / "generation_config.json").exists() is (arch != "bert")
    write_card(tmp_path, title="a model", facts={"parameters": "7"}, auto_class=auto_class)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"pipeline_tag: {tag}\n" in card
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL).group(1)
    capsys.readouterr()
    exec(compile(code.replace('"DIR"', repr(str(tmp_path))), "card", "exec"), {})
    assert re.search(says, capsys.readouterr().out)


def test_bits_per_byte_are_reported_only_where_there_are_any(tmp_path):
    step = {"step": 1, "tokens": 5, "loss": 3.0, "tokens_per_second": 10.0, "elapsed_s": 0.5}
    rows = [{"step": 0, "validation_loss": 4.0}, step, {"step": 1, "validation_loss": 3.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert training_metrics(tmp_path) == {
        "steps": 1, "tokens": 5, "loss": 3.0, "validation_loss_before": 4.0, "validation_loss": 3.5,
        "tokens_per_second": 10.0, "elapsed_s": 0.5,
    }  # fmt: skip
