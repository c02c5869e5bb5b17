from __future__ import annotations

import json
import re

import pytest
import torch
import transformers

from llmkit.core.registry import Family
from llmkit.modeling.heads.causal_lm import CausalLM
from llmkit.modeling.heads.sequence_classification import SequenceClassification
from llmkit.training.finish import save_model, training_metrics, write_card
from tiny import byte_tokenizer

BERT = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64,
}  # fmt: skip
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 258}
LLAMA = {**BERT, "num_key_value_heads": 1}


TINY = {"llama": LLAMA, "bert": BERT, "t5": T5}
NAMES = {"labels": ["bad", "good"]}


def says(capsys, folder, head, arch, **card):
    """What the card's code prints, of a tiny model whose label 0 always wins, by 9 to -9."""
    tokenizer = byte_tokenizer(template=None)
    tokenizer.add_special_tokens({"mask_token": "<|mask|>", "extra_special_tokens": ["<extra_id_0>"]})
    config = transformers.AutoConfig.for_model(
        arch, **TINY[arch], vocab_size=len(tokenizer), bos_token_id=256, eos_token_id=257, pad_token_id=258
    )
    head.configure(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = head.auto_model().from_config(config)
    if isinstance(getattr(model, "classifier", None), torch.nn.Linear):
        model.classifier.weight.data.zero_()
        model.classifier.bias.data.copy_(torch.tensor([9.0, -9.0])[: config.num_labels])
    save_model(folder, model, tokenizer, context_length=64, end_ids=[257])
    assert (folder / "generation_config.json").exists() is model.can_generate()
    write_card(folder, head, title="a model", facts={"parameters": "7"}, **card)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert f"pipeline_tag: {head.pipeline}\n" in text
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    capsys.readouterr()
    exec(compile(code.replace('"DIR"', repr(str(folder))), "card", "exec"), {})
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("head", "arch", "tag", "expected"),
    [
        ("causal_lm", "llama", "text-generation", r"<\|bos\|>.*"),
        ("masked_lm", "bert", "fill-mask", r"\['.*'(, '.*'){4}\]\n"),
        ("pretraining", "bert", "fill-mask", r"tensor\(\[\[0\.\d+, 0\.\d+\]\].*"),
        ("sequence_to_sequence", "t5", "text2text-generation", r".+"),
        ({"type": "sequence_classification", **NAMES}, "bert", "text-classification", r"bad\n"),
        ({"type": "sequence_classification", **NAMES}, "llama", "text-classification", r"(bad|good)\n"),
        (
            {"type": "sequence_classification", **NAMES, "problem_type": "multi_label_classification"},
            "bert",
            "text-classification",
            r"\['bad'\]\n",
        ),
        (
            {"type": "sequence_classification", "problem_type": "regression"},
            "bert",
            "text-classification",
            r"\[9\.0\]\n",
        ),
        (
            {"type": "token_classification", **NAMES},
            "bert",
            "token-classification",
            r"\[\('\.', 'bad'\), \('\.', 'bad'\), \('\.', 'bad'\)\]\n",
        ),
    ],
)
def test_the_code_of_the_card_says_what_it_should(tmp_path, capsys, head, arch, tag, expected):
    head = Family("head").parse(head)
    assert head.pipeline == tag
    assert re.fullmatch(expected, says(capsys, tmp_path, head, arch), re.DOTALL)


@pytest.mark.parametrize("name", Family("head").members())
def test_the_card_of_every_head_runs(tmp_path, capsys, name):
    head = Family("head").parse(name)
    arch = next(arch for arch in TINY if arch in head.architectures())
    assert says(capsys, tmp_path, head, arch).strip()


def test_only_a_model_that_writes_chats(tmp_path, capsys):
    """The tokenizer of an encoder may have a template, which its card must not use."""
    assert "apply_chat_template" in CausalLM().usage(chat=True)
    assert says(capsys, tmp_path, SequenceClassification(**NAMES), "bert", chat=True) == "bad\n"


def test_bits_per_byte_are_reported_only_where_there_are_any(tmp_path):
    step = {"step": 1, "tokens": 5, "loss": 3.0, "tokens_per_second": 10.0, "elapsed_s": 0.5}
    rows = [{"step": 0, "validation_loss": 4.0}, step, {"step": 1, "validation_loss": 3.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert training_metrics(tmp_path) == {
        "steps": 1, "tokens": 5, "loss": 3.0, "validation_loss_before": 4.0, "validation_loss": 3.5,
        "tokens_per_second": 10.0, "elapsed_s": 0.5,
    }  # fmt: skip


def test_lost_metrics_say_nothing(tmp_path):
    assert training_metrics(tmp_path) == {}
    (tmp_path / "metrics.jsonl").write_text('{"loss": 1}\n{"step": "1", "loss": 2}\n{"step": 1, "loss": NaN}\n[1]\n')
    assert training_metrics(tmp_path) == {}
