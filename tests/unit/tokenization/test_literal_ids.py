"""Literal ids of tokenizers with settings that come from their training."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.literal import LiteralEncoder, merges_without

TEXT = "abc abc <end> abab"


def tokenizer(*, dropout=None, **roles):
    vocabulary = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {"ab": 256, "abc": 257, "<end>": 258}
    backend = Tokenizer(models.BPE(vocabulary, [("a", "b"), ("ab", "c")], dropout=dropout))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def test_merges_are_not_dropped_at_random():
    expected = LiteralEncoder.of(tokenizer(eos_token="<end>")).encode([TEXT])[0][0].tolist()
    literal = LiteralEncoder.of(tokenizer(eos_token="<end>", dropout=0.9))
    for _ in range(5):
        assert literal.encode([TEXT])[0][0].tolist() == expected
        assert literal._renamed.encode(TEXT, add_special_tokens=False).ids == expected


@pytest.mark.parametrize(("token", "left"), [("a", 1), ("ab", 0), ("abc", 1), ("!", 2)])
def test_a_special_token_with_a_part_in_merges(token, left):
    made = tokenizer(pad_token=token)
    literal = LiteralEncoder.of(made)
    assert len(literal.without_special()["model"]["merges"]) == left
    assert made.pad_token_id not in literal.encode([TEXT + "!"])[0][0]


def test_the_parts_of_a_merge_are_known_with_a_prefix():
    model = {"continuing_subword_prefix": "##", "merges": [["a", "##b"], ["##c", "##d"]]}
    assert merges_without(model, {"ab"}) == [("##c", "##d")]
    assert merges_without(model, {"##cd"}) == [("a", "##b")]
    assert len(merges_without(model, {"a##b"})) == 2
