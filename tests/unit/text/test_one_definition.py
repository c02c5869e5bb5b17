"""Everybody who cuts text into words asks the table, and nobody builds it before there is text."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.cleaning import features, preview_text
from llmkit.cleaning.features import Features
from llmkit.cleaning.steps.word_list import WordList
from llmkit.metrics.rouge import tokenize
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.text.characters import MARK, SCRIPTS, UNSPACED, WORD, flags_of, script_class
from llmkit.text.utf8 import byte_characters
from llmkit.text.words import count_words

NO_SPACES = [script_class(name) for name in SCRIPTS if name in {"Han", "Kana", "Thai", "Lao", "Khmer", "Tibetan"}]
CHARACTERS = st.one_of(
    st.from_regex(f"[{''.join(NO_SPACES)}]", fullmatch=True),
    st.characters(max_codepoint=0x33FF, exclude_categories=["Cs", "Zs", "Cc"]),
    st.characters(exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]),
)


def is_character(char: str) -> bool:
    return flags_of(char) & (UNSPACED | MARK) == UNSPACED


def in_word(char: str) -> bool:
    return flags_of(char) & WORD != 0 and char != "_"


def begins(char: str) -> bool:
    return not flags_of(char) & MARK and (is_character(char) or not flags_of(char) & WORD)


@settings(deadline=None)  # the first call compiles
@given(CHARACTERS)
def test_two_of_a_kind_are_two_words_without_spaces_and_one_with_them(char):
    twice = char * 2
    if is_character(char):
        assert Features(twice).tokens.kinds.tolist() == [features.CHARACTER] * 2
        assert count_words(twice) == 2
        assert preview_text._token().findall(twice) == [char, char]
    elif in_word(char) and not flags_of(char) & MARK:
        assert Features(twice).tokens.kinds.tolist() == [features.WORD]
        assert count_words(twice) == 1
    else:
        assert count_words(twice) == (char == "_")
    if unicodedata.normalize("NFKC", twice).lower() == twice:
        assert len(tokenize(twice)) == (2 if is_character(char) else char.isalnum())


@given(CHARACTERS)
def test_a_listed_word_ends_at_a_character_that_is_part_of_no_word(char):
    joined = in_word(char) or char in "\u200c\u200d"
    assert WordList(words=["ab"]).find(f"{char}ab") == ([] if joined else [(1, 3)])
    assert WordList(words=["ab"]).find(f"ab{char}") == ([] if joined else [(0, 2)])


@settings(deadline=None, max_examples=30)
@given(st.sets(CHARACTERS, min_size=20, max_size=60), st.sampled_from("a中"))
def test_tokens_begin_words_where_their_first_characters_do(chars, after):
    tokens = {f"{char}{after}": begins(char) for char in chars if char not in "<#"}
    written = byte_characters()
    spelled = {"".join(written[byte] for byte in token.encode()): found for token, found in tokens.items()}
    for expected, byte_level in ((tokens, False), (spelled, True)):
        backend = Tokenizer(models.BPE({token: i for i, token in enumerate(expected)}, []))
        if byte_level:
            backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
        found = vocabulary_of(PreTrainedTokenizerFast(tokenizer_object=backend)).starts_word
        assert dict(zip(expected, found.tolist(), strict=True)) == expected


def test_importing_those_who_ask_does_not_build_the_table():
    code = """
import importlib
from llmkit.core.registry import Family
from llmkit.text.characters import character_table, unspaced_class
for family in ("step", "metric", "source", "tokenizer", "document_objective"):
    for member in Family(family).members():
        Family(family).load(member)
for module in ("cleaning.preview_text", "modeling.vocabulary", "tokenization.plan", "cli.main", "stages.clean"):
    importlib.import_module(f"llmkit.{module}")
print(character_table.cache_info().misses, unspaced_class.cache_info().misses)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
