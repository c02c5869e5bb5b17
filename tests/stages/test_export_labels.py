"""export of models that do not write: their labels, tags and numbers are compared."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import pytest
import torch
import transformers

from llmkit.core.registry import Family
from llmkit.exporters.safetensors import Safetensors

pytestmark = pytest.mark.usefixtures("reload_here")

PROBE = ["-s", "parity_prompts=2"]
SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
T5 = {"d_model": 32, "d_ff": 64, "d_kv": 16, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
LABELS = {"type": "sequence_classification", "labels": ["a", "b", "c"]}
SEVERAL = {**LABELS, "problem_type": "multi_label_classification"}
NUMBER = {"type": "sequence_classification", "problem_type": "regression"}
TAGS = {**LABELS, "type": "token_classification"}
ANSWERS = {
    "one of three labels": ("label", "bert", LABELS, "logits within 0 ", ", 5 of 5 labels equal,"),
    "label of a decoder": ("label", "llama", LABELS, "logits within 0 ", ", 5 of 5 labels equal,"),
    "label of an encoder-decoder": ("label", "t5", LABELS, "logits within 0 ", ", 5 of 5 labels equal,"),
    "several labels": ("label", "bert", SEVERAL, "logits within 0 ", ", 15 of 15 labels equal,"),
    "number": ("number", "bert", NUMBER, "numbers within 0 ", "), in a fresh process"),
    "tags": ("token_labels", "bert", TAGS, "logits within 0 ", ", 480 of 480 labels of tokens equal,"),
}


def save_labeller(arch, spec, chain, folder):
    """A new model with a head over labels, whose scores are far apart, with the chain's tokenizer."""
    head = Family("head").parse(spec)
    config = transformers.AutoConfig.for_model(arch, vocab_size=400, **(T5 if arch == "t5" else SMALL))
    head.configure(config, 5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = head.auto_model().from_config(config)
        for name, weight in model.named_parameters():
            if head.may_be_new(name):
                weight.data.normal_()
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_of_answer(cli, chain, kind):
    answer, arch, spec, compared, chosen = ANSWERS[kind]
    outcome = cli("export", "--model", save_labeller(arch, spec, chain, Path("model")), *PROBE, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert compared in outcome.out
    assert chosen in outcome.out
    parity = json.loads(Path("out/parity.json").read_text())
    assert parity["answer"] == answer
    assert 0 == parity["max_logit_difference"] < parity["tolerance"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("one of three labels", ", 0 of 5 labels equal"),
        ("several labels", ", 0 of 15 labels equal"),
        ("tags", ", 0 of 480 labels of tokens equal"),
        ("number", ""),
    ],
)
def test_an_export_that_turns_every_answer_round(cli, chain, monkeypatch, kind, words):
    write, (_, arch, spec, *_) = Safetensors.write, ANSWERS[kind]

    def turn(self, model, tokenizer, directory):
        other = copy.deepcopy(model)
        other.classifier.weight.data *= -1
        other.classifier.bias.data *= -1
        write(self, other, tokenizer, directory)

    monkeypatch.setattr(Safetensors, "write", turn)
    outcome = cli("export", "--model", save_labeller(arch, spec, chain, Path("model")), *PROBE, "-o", "out")
    assert outcome.code == 7
    compared = "numbers" if kind == "number" else "logits"
    assert re.search(rf"{compared} differ by [\d.]+ \(at most [\d.]+ allowed\){words}\n", outcome.err)
    assert not Path("out/llmkit.json").exists()


def test_the_limit_of_a_number_is_by_its_size(cli, chain):
    """A regression may rate all texts alike; the deviation of its answers would leave no room for rounding."""
    folder = save_labeller("bert", NUMBER, chain, Path("model"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    model.classifier.weight.data.zero_()
    model.classifier.bias.data.fill_(-4)
    model.save_pretrained(folder)
    assert cli("export", "--model", folder, *PROBE, "-o", "out").code == 0
    parity = json.loads(Path("out/parity.json").read_text())
    assert (parity["logit_spread"], parity["tolerance"]) == (4, pytest.approx(0.0004))
