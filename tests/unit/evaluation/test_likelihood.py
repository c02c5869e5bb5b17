"""Contexts and continuations as ids: together, from the start that a tokenizer writes, and cut where asked."""

from __future__ import annotations

import pytest
from tokenizers import processors

from llmkit.evaluation.likelihood import PairEncoder, fitted
from llmkit.runtimes import Score
from tiny import byte_tokenizer


@pytest.fixture
def tokenizer():
    return byte_tokenizer()


def text_of(tokenizer, ids):
    return tokenizer.decode(ids)


def test_white_space_at_the_end_of_a_context_belongs_to_the_continuation(tokenizer):
    encoder = PairEncoder(tokenizer, tokenizer.bos_token_id)
    (made,) = encoder.encode([("Answer:\n ", " yes")])
    assert (text_of(tokenizer, made.context), text_of(tokenizer, made.target)) == ("Answer:", "\n  yes")


def test_no_context_is_the_start_token(tokenizer):
    bos = tokenizer.bos_token_id
    encoder = PairEncoder(tokenizer, bos)
    empty, blank, begun = encoder.encode([("", "a"), (" \n", "a"), ("", "<|bos|>a")])
    assert (empty.context, text_of(tokenizer, empty.target)) == ((bos,), "a")
    assert (blank.context, text_of(tokenizer, blank.target)) == ((bos,), " \na")
    assert (begun.context, text_of(tokenizer, begun.target)) == ((bos,), "a")


def test_a_start_that_the_tokenizer_writes_is_written_once_and_its_end_never(tokenizer):
    bos = tokenizer.bos_token_id
    ends = [("<|bos|>", bos), ("<|eos|>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing("<|bos|> $A <|eos|>", None, ends)
    plain, written = PairEncoder(tokenizer, bos).encode([("a", "b"), ("<|bos|>a", "b")])
    assert plain == written
    assert plain.context[0] == bos
    assert text_of(tokenizer, plain.target) == "b"


def test_equal_contexts_are_equal_ids(tokenizer):
    made = PairEncoder(tokenizer, tokenizer.bos_token_id).encode([("Q? A:", f" {answer}") for answer in ("x", "yy")])
    assert made[0].context == made[1].context


def test_what_does_not_fit_is_left_out_or_cut_at_the_beginning():
    request = Score((1, 2, 3), (4, 5))
    assert fitted(request, 4, cut=False) == (request, False)  # the last target takes no position
    assert fitted(request, 3, cut=False) == (None, False)
    assert fitted(request, 3, cut=True) == (Score((2, 3), (4, 5)), True)
    assert fitted(request, 2, cut=True) == (Score((3,), (4, 5)), True)
    assert fitted(request, 1, cut=True) == (None, False)
