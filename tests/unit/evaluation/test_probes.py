"""What is asked: rows of text as the model reads them, texts with its own tokens in them, and chats if it has any."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from llmkit.evaluation.probes import CHATS, PROSE, TEXTS, probes
from llmkit.runtimes import Embed, Generate, Logits

WORDS = ["<unk>", "<end>", "<s>", "the", "river", "über"]


@pytest.fixture
def tokenizer():
    """Words; a text is put between <s> and <end>."""
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A <end>", special_tokens=[("<s>", 2), ("<end>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="<end>", bos_token="<s>")


def draw(tokenizer, answer="tokens", *, positions=64, start=2, held_out=("the über river",), **fields):
    known = {"vocab_size": 6, "eos_token_id": 1, "is_encoder_decoder": False, **fields}
    config = SimpleNamespace(**known)
    config.get_text_config = lambda: config
    return probes(
        config, SimpleNamespace(answer=answer), tokenizer, positions=positions, prompts=2, new_tokens=3, seed=0,
        held_out=held_out, start=start,
    )  # fmt: skip


def test_a_row_of_text_begins_with_the_start_and_counts_what_is_scored(tokenizer):
    row = draw(tokenizer).rows[-1]
    assert (row.ids, row.num_bytes) == ((2, 3, 5, 4), len("the über river".encode()))
    without = draw(tokenizer, start=None).rows[-1]
    assert (without.ids, without.num_bytes) == ((3, 5, 4), len(" über river".encode()))


def test_a_text_for_a_head_has_the_tokens_that_belong_around_it(tokenizer):
    assert draw(tokenizer, "label").rows[-1].ids == (2, 3, 5, 4, 1)
    assert draw(tokenizer, "label", positions=4).rows[-1].ids == (2, 3, 5, 1)


def test_long_texts_are_cut_and_several_are_taken(tokenizer):
    rows = draw(tokenizer, held_out=["the river " * 500, "river", "über"]).rows
    texts = [row for row in rows if row.num_bytes]
    assert [len(row.ids) for row in texts] == [64, 2]
    assert texts[0].num_bytes == len("the river " * 32) - len(" river") - 1
    assert all(row.num_bytes for row in draw(tokenizer, held_out=()).rows[-2:])


def test_what_a_large_vocabulary_takes_is_bounded(tokenizer):
    rows = draw(tokenizer, positions=4096, vocab_size=2**20, held_out=["the river " * 500]).rows
    assert max(len(row.ids) for row in rows if row.num_bytes) == 32
    assert len(rows[2].ids) == 160


def test_of_text_its_first_half_is_gone_on_with(tokenizer):
    asked = draw(tokenizer)
    kinds = [type(request) for request in asked.requests]
    assert kinds == [Logits] * 4 + [Generate] * 4
    assert asked.requests[-1] == Generate((2, 3), budget=3, exact=True)


def test_texts_have_the_tokenizers_own_tokens_in_them(tokenizer):
    tokenizer.add_tokens(["<think>"])
    asked = draw(tokenizer)
    assert asked.texts == (*TEXTS, *(f"a{token}b {token} 中" for token in ("<unk>", "<end>", "<s>", "<think>")))
    assert asked.chats == ()
    tokenizer.chat_template = "{{ messages }}"
    assert draw(tokenizer).chats == CHATS
    assert draw(tokenizer, "label").chats == ()


def test_vectors_are_asked_of_texts_as_well(tokenizer):
    asked = draw(tokenizer, "vector")
    assert [one.text for one in asked.requests if isinstance(one, Embed)] == [*TEXTS, *PROSE]
    assert asked.kept is None
