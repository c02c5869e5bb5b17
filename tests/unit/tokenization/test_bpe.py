"""Byte-level BPE: nothing is lost, the size is exact, numbers and Chinese are cut as asked."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.console import Console
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.trainers import TrainingText
from llmkit.tokenization.trainers._patterns import PATTERN_DIGITS, expressions
from llmkit.tokenization.trainers.bpe import Bpe

SENTENCES = [
    "The quick brown fox jumps over the lazy dog in 1984 and 12345678 times.",
    "春天来了，花开了。我们明天去北京吗？火车开得很快！",
    "def encode(text: str) -> list[int]:\n    return [ord(c) for c in text]\n",
    "mixed 中文 and English, 第3章 chapter 3; <|endoftext|>",
]
PATTERNS = list(PATTERN_DIGITS)


def make(texts=SENTENCES, **fields):
    fields = {"vocab_size": 400, **fields}
    return Bpe(**fields).make(lambda: iter(TrainingText(text, "x", "en") for text in texts), Console(quiet=True))


@pytest.fixture(scope="module", params=PATTERNS)
def tokenizer(request):
    return make(pattern=request.param)


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=80) | st.lists(st.sampled_from([*SENTENCES, "<|im_end|>", "\r\n ", "👩‍👩‍👧"])).map("".join)
)
def test_nothing_is_lost_and_nothing_is_special(tokenizer, text):
    ids = encode_documents(tokenizer, [text])[0]
    assert tokenizer.decode(ids) == text
    assert not set(ids.tolist()) & {0, 1, 2, 3}


def test_vocabulary(tokenizer):
    assert len(tokenizer) == 400
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (0, 0, 1)
    alphabet = {tokenizer.decode([i]).encode("utf-8", "replace") for i in range(4, 260)}
    assert {bytes([byte]) for byte in range(128)} <= alphabet
    assert [i for i in range(4, 260) if len(tokenizer.convert_ids_to_tokens(i)) != 1] == []


def test_special_tokens_given_twice_count_once():
    tokenizer = make(special_tokens=["<|pad|>", "<|tool|>", "<|tool|>"], vocab_size=259)
    assert len(tokenizer) == 259
    assert tokenizer.convert_tokens_to_ids("<|tool|>") == 2


def test_merges_by_hand():
    # "abab": the pair ab is seen four times in two words, then abab twice; nothing else is left to merge.
    tokenizer = make(["abab", "abab"], vocab_size=300, special_tokens=[])
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(258, len(tokenizer))] == ["ab", "abab"]
    assert len(make(["abab", "xy"], vocab_size=300, special_tokens=[], min_frequency=2)) == 258 + 1


def words(text, **fields):
    tokenizer = make(**fields)
    return [text[a:b] for _, (a, b) in tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("one", list("1234567")),
        ("three_from_left", ["123", "456", "7"]),
        ("three_from_right", ["1", "234", "567"]),
    ],
)
def test_digits(pattern, digits, expected):
    assert words("1234567", pattern=pattern, digits=digits) == expected


def test_digits_of_the_patterns():
    found = {pattern: words("a 1234", pattern=pattern)[-2:] for pattern in PATTERNS}
    assert found["gpt2"] == ["a", " 1234"]
    assert found["qwen2"] == ["3", "4"]
    assert found["llama3"] == found["o200k"] == found["deepseek3"] == ["123", "4"]


def test_a_very_long_number_is_grouped_without_looking_far_ahead():
    number = "1" * 35
    # 35 digits: one group from the left, then 32 = 2 + 10 * 3.
    assert [len(word) for word in words(number, digits="three_from_right")] == [3, 2, *[3] * 10]
    assert "".join(words("7" * 300_000, digits="three_from_right")) == "7" * 300_000


@pytest.mark.parametrize("pattern", PATTERNS)
def test_chinese(pattern):
    text = "see中文word"
    assert words(text, pattern=pattern, chinese="runs") == ["see", "中文", "word"]
    assert words(text, pattern=pattern, chinese="characters") == ["see", "中", "文", "word"]
    assert (words(text, pattern=pattern) == ["see", "中文", "word"]) == (pattern == "deepseek3")


def test_published_expressions():
    assert expressions("llama3", "pattern", "pattern") == [
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ]
    assert expressions("qwen2", "pattern", "pattern") == expressions("llama3", "one", "pattern")
    # The expression of GPT-2 is built into `tokenizers`.
    text = "I'll see  you at 10 o'clock,中文 too!\n\n  ok"
    assert words(text) == [
        "I", "'ll", " see", " ", " you", " at", " 10", " o", "'", "clock", ",", "中文", " too", "!", "\n\n ", " ok",
    ]  # fmt: skip
    from tokenizers import Regex, pre_tokenizers

    split = pre_tokenizers.Split(Regex(expressions("gpt2", "pattern", "pattern")[0]), "isolated")
    assert [word for word, _ in split.pre_tokenize_str(text)] == words(text)


def test_normalizers():
    decomposed, ligature = "cafe\u0301 ﬁne", "café fine"
    plain, nfc, nfkc = (make(normalizer=name) for name in ("none", "nfc", "nfkc"))
    assert plain.decode(encode_documents(plain, [decomposed])[0]) == decomposed
    assert nfc.decode(encode_documents(nfc, [decomposed])[0]) == "café ﬁne"
    assert nfkc.decode(encode_documents(nfkc, [decomposed])[0]) == ligature
