"""What a trainer says of its special tokens before there is a tokenizer is what the tokenizer then has."""

from __future__ import annotations

import pytest

from llmkit.core.console import Console
from llmkit.core.registry import Family
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.tokenization.trainers import TrainingText
from texts import sentences


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "bpe", "vocab_size": 300},
        {"type": "bpe", "vocab_size": 300, "special_tokens": ["[MASK]", "<|fim_prefix|>"]},
        {"type": "wordpiece", "vocab_size": 200, "special_tokens": ["[X]"]},
        {"type": "unigram", "vocab_size": 400, "special_tokens": ["<chat>"], "sentinels": 7},
    ],
)
def test_specials_are_those_of_the_tokenizer(spec):
    part = Family("tokenizer").parse(spec)
    said = part.specials()
    made = part.make(lambda: (TrainingText(text, "s", "en") for text in sentences(50)), Console(quiet=True))
    vocabulary = vocabulary_of(made)
    roles = {role: getattr(made, f"{role}_token") for role in ("bos", "eos", "pad", "unk", "cls", "sep", "mask")}
    assert dict(said.roles) == {role: token for role, token in roles.items() if token is not None}
    assert set(said.tokens) == set(vocabulary.ids)
    assert part.known_size() >= vocabulary.size


def test_a_tokenizer_that_is_taken_says_nothing_before_it_is_read():
    assert Family("tokenizer").parse({"type": "existing", "path": "x"}).specials() is None
