from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
import transformers

from llmkit.core.registry import Family
from llmkit.modeling.heads import Answer, head_of, heads

NAMES = Family("head").members()
PAGE = (Path(__file__).parents[4] / "docs" / "heads.md").read_text(encoding="utf-8")


def config(arch, *classes, **fields):
    return transformers.AutoConfig.for_model(arch, architectures=list(classes) or None, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_is_one_of_transformers(name):
    head = Family("head").parse(name)
    known = head.architectures()
    assert all(arch in known for arch in head.examples.split(", "))
    assert all(isinstance(cls, str) for classes in known.values() for cls in classes)
    assert head.auto_model().__name__ == head.auto_class
    assert head.answer in get_args(Answer)
    assert head.objective is None or head.objective in Family("document_objective").members()


@pytest.mark.parametrize("name", NAMES)
def test_the_page_tells_of_the_head_and_its_fields(name):
    head = Family("head").parse(name)
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    examples = ", ".join(f"`{arch}`" for arch in head.examples.split(", "))
    assert row.endswith(f"| `{head.auto_class}` | {examples} |")
    assert all(f"`{field}`" in PAGE for field in type(head).model_fields)


@pytest.mark.parametrize(
    ("arch", "cls", "name"),
    [
        ("llama", "LlamaForCausalLM", "causal_lm"),
        ("gpt2", "GPT2LMHeadModel", "causal_lm"),  # in the tables of two heads
        ("bert", "BertForMaskedLM", "masked_lm"),
        ("bert", "BertForPreTraining", "pretraining"),
        ("xlm", "XLMWithLMHeadModel", "causal_lm"),  # of three
        ("t5", "T5ForConditionalGeneration", "sequence_to_sequence"),
        ("bart", "BartForConditionalGeneration", "sequence_to_sequence"),  # of three
        ("bart", "BartForCausalLM", "causal_lm"),
        ("llama", "LlamaForSequenceClassification", "sequence_classification"),
        ("bert", "BertForTokenClassification", "token_classification"),
        ("roberta", None, "causal_lm"),
        ("modernbert", "ModernBertModel", "embedding"),
        ("bert", "BertForQuestionAnswering", "question_answering"),
        ("modernbert", "Unheard", "masked_lm"),  # the first head that it can have
        ("canine", None, "sequence_classification"),
    ],
)
def test_the_head_of_a_config_is_that_of_its_class_else_the_first(arch, cls, name):
    assert head_of(config(arch, *([cls] if cls else []))).type_name == name


def test_every_class_of_several_heads_has_one_that_is_meant():
    serves = defaultdict(set)
    for head in heads():
        for classes in head.architectures().values():
            for cls in classes:
                serves[cls].add(head)
    shared = {cls: sorted(head.rank for head in found) for cls, found in serves.items() if len(found) > 1}
    assert len(shared) > 50
    assert not [cls for cls, ranks in shared.items() if ranks[0] == ranks[1]]


def test_padding_that_is_also_an_end_is_not_written_but_where_a_decoder_starts_from_it():
    ids = {"bos": 1, "eos": 2, "pad": 2, "sep": 4}
    written = {"bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 4}
    for name in set(NAMES) - {"sequence_to_sequence"}:
        head = Family("head").parse(name)
        assert head.token_ids("x", ids) == {**written, "pad_token_id": None}
        assert head.token_ids("x", ids | {"pad": 0})["pad_token_id"] == 0
    starts = {**written, "pad_token_id": 2, "decoder_start_token_id": 2}
    assert Family("head").parse("sequence_to_sequence").token_ids("x", ids) == starts


def test_a_decoder_keeps_what_it_starts_from():
    head = Family("head").parse("sequence_to_sequence")
    new, own = (SimpleNamespace(is_encoder_decoder=True), SimpleNamespace(is_encoder_decoder=True))
    own.decoder_start_token_id = 7
    for one in (new, own):
        head.configure(one, 3)
    assert (new.decoder_start_token_id, own.decoder_start_token_id) == (3, 7)
    plain = SimpleNamespace(is_encoder_decoder=False)
    head.configure(plain, 3)
    assert vars(plain) == {"is_encoder_decoder": False}


@pytest.mark.parametrize("name", ["causal_lm", "masked_lm", "pretraining", "sequence_to_sequence"])
def test_a_language_model_has_no_new_weights(name):
    head = Family("head").parse(name)
    assert not any(map(head.may_be_new, ["lm_head.weight", "cls.predictions.bias", "bert.pooler.dense.weight"]))
    assert not head.relabels(config("bert", id2label={0: "a", 1: "b"}))
