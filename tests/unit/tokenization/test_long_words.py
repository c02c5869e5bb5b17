"""Words of enormous length are trained on in pieces; no other text is touched, and its merges stay the same."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from llmkit.core.console import Console
from llmkit.tokenization.trainers import TrainingText, _long_words
from llmkit.tokenization.trainers._long_words import MAX_WORD_CHARS, LongWords
from llmkit.tokenization.trainers._patterns import PATTERN_DIGITS, byte_level
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.tokenization.trainers.unigram import LINE_CHARS, Unigram
from llmkit.tokenization.trainers.wordpiece import Wordpiece

GPT2 = byte_level("gpt2", "pattern", "pattern")
GENOME = "".join(random.Random(1).choices("acgt", k=30_000))


def texts_of(*texts):
    return lambda: iter(TrainingText(text, "x", "en") for text in texts)


def parts(text, pre_tokenizer=GPT2):
    words = LongWords(pre_tokenizer)
    return list(words.cut([text])), words.count


def test_a_long_word_is_cut_by_hand():
    assert parts("a" * 1000) == (["a" * 1000], 0)
    assert parts("a" * 2500) == (["a" * 1000, "a" * 1000, "a" * 500], 1)
    text = f"It is {'b' * 1001}, then {'c' * 2001}."
    # The space before a word is a part of it, so the pieces end one letter earlier.
    assert parts(text) == (
        [f"It is {'b' * 999}", f"bb, then {'c' * 999}", "c" * 1000, "cc."],
        2,
    )


@pytest.mark.parametrize("unit", ["a", "7", "\u4e2d", "\u0e19\u0e49", "-", "=*", "_", " ", "\t", "\n", "\U0001f600"])
@pytest.mark.parametrize("pattern", PATTERN_DIGITS)
def test_no_word_is_longer_than_a_piece(unit, pattern):
    cut = byte_level(pattern, "pattern", "pattern")
    text = f"Some prose first. {unit * 5000} And some after it."
    found, _ = parts(text, cut)
    assert "".join(found) == text
    longest = max(last - first for part in found for _, (first, last) in cut.pre_tokenize_str(part))
    assert longest <= MAX_WORD_CHARS


words = st.text(alphabet="ab \n.,\u4e2d\u3002_7", max_size=30) | st.builds(
    lambda char, count: char * count, st.sampled_from("ab .\u4e2d7"), st.integers(900, 3000)
)


@settings(max_examples=200, deadline=None)
@given(st.lists(words, max_size=6).map("".join))
def test_exactly_the_long_words_are_cut(text):
    found, count = parts(text)
    long = [(a, b) for _, (a, b) in GPT2.pre_tokenize_str(text) if b - a > MAX_WORD_CHARS]
    ends, place = [], 0
    for part in found[:-1]:
        place += len(part)
        ends.append(place)
    assert "".join(found) == text
    assert count == len(long)
    assert ends == [place for a, b in long for place in range(a + MAX_WORD_CHARS, b, MAX_WORD_CHARS)]


def test_a_text_is_looked_at_by_regions(monkeypatch):
    # The pre-tokenizer makes an object of every word: never of a whole file at once.
    monkeypatch.setattr(_long_words, "_REGION_CHARS", 5000)
    sizes = []

    class Counting:
        def pre_tokenize_str(self, text):
            sizes.append(len(text))
            return pre_tokenizers.Whitespace().pre_tokenize_str(text)

    assert "".join(parts(GENOME, Counting())[0]) == GENOME
    assert sum(sizes) == len(GENOME)
    assert max(sizes) <= 5500


def test_ordinary_text_is_never_given_to_the_pre_tokenizer():
    prose = "It was the best of times, it was the worst of times; it was the age of wisdom. " * 200
    chinese = "\u6625\u5929\u6765\u4e86\uff0c\u82b1\u5f00\u4e86\u3002" * 2000
    assert parts(prose, None) == ([prose], 0)
    assert parts(chinese, None) == ([chinese], 0)


@pytest.mark.parametrize("part", [Bpe(vocab_size=400), Wordpiece(vocab_size=200)], ids=["bpe", "wordpiece"])
def test_training_sees_the_pieces_and_says_so(part, capsys):
    whole = part.make(texts_of(f"a long {GENOME} word"), Console())
    assert "1 word of more than 1,000 characters: trained on in pieces of that length" in capsys.readouterr().err
    start = len(" ") if isinstance(part, Bpe) else 0
    # The same as if the pieces had been texts of their own.
    first = MAX_WORD_CHARS - start
    cuts = [GENOME[:first], *(GENOME[i : i + MAX_WORD_CHARS] for i in range(first, len(GENOME), MAX_WORD_CHARS))]
    pieces = part.make(texts_of(f"a long {cuts[0]}", *cuts[1:-1], f"{cuts[-1]} word"), Console())
    assert capsys.readouterr().err.count("of more than") == 0
    assert whole.backend_tokenizer.to_str() == pieces.backend_tokenizer.to_str()


def test_a_megabyte_without_a_border_is_trained_on():
    # Uncut, merging a word takes the square of its length: this one would take minutes.
    text = "".join(random.Random(2).choices("acgt", k=1_000_000))
    assert len(Bpe(vocab_size=300).make(texts_of(text), Console(quiet=True))) == 300


def test_unigram_reads_no_longer_lines_than_its_limit():
    lines = list(Unigram()._lines(texts_of(f"{GENOME}\n{'ab ' * 3000}\nshort")))
    assert max(map(len, lines)) == LINE_CHARS
    assert "".join(lines[:15]) == GENOME
