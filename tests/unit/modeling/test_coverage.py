"""What tokenizers do not read of texts, counted by hand."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.coverage import Coverage, Unread
from llmkit.modeling.literal import LiteralEncoder
from llmkit.text.utf8 import byte_characters


def coverage(model, pre_tokenizer=None, normalizer=None):
    backend = Tokenizer(model)
    if pre_tokenizer is not None:
        backend.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizer
    return Coverage(LiteralEncoder.of(PreTrainedTokenizerFast(tokenizer_object=backend)))


def wordpiece(**more):
    vocab = {"[UNK]": 0, "the": 1, "cat": 2, "##s": 3, "cafe": 4}
    return coverage(models.WordPiece(vocab, unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer(), **more)


def bpe(vocab, *, unk=None, **more):
    return coverage(models.BPE({token: i for i, token in enumerate(vocab)}, [], unk_token=unk), **more)


def unigram(**more):
    vocab = [("<unk>", 0.0), ("▁", -2.0), ("▁the", -1.0), ("c", -3.0), ("a", -3.0), ("t", -3.0)]
    return coverage(models.Unigram(vocab, unk_id=0), pre_tokenizers.Metaspace(), **more)


@pytest.mark.parametrize(("found", "text", "unknown", "lost"), [
    (wordpiece(), "the cats  the\ncat", 0, 0),  # white space is no token, and not lost
    (wordpiece(), "the 中文 cat", 6, 0),  # two characters of three bytes
    (wordpiece(), "the dogs", 4, 0),  # the whole word is unknown
    (unigram(), "the cat", 0, 0),
    (unigram(), "the cät 中", 5, 0),  # ä has two bytes, 中 three
    (bpe("abc ", unk="c"), "ab xyz", 3, 0),
    (bpe("abc "), "ab xyz ba", 0, 3),  # without an unknown token they are dropped
    (bpe("abc "), "中a中b", 0, 6),
    (bpe("abc "), "", 0, 0),
], ids=range(9))  # fmt: skip
def test_unknown_and_lost_bytes(found, text, unknown, lost):
    assert found.measure([text]) == Unread(unknown, lost)
    ((ids, spans),) = found.literal.spans([text])
    assert found.of(text, ids, spans) == Unread(unknown, lost)


def test_texts_add_up():
    assert bpe("ab").measure(["axb", "中", "ab"]) == Unread(0, 4)


def test_what_a_normalizer_removes_is_lost_and_what_it_folds_is_not():
    ascii_only = normalizers.Replace(Regex("[^\\x00-\\x7f]"), "")
    assert wordpiece(normalizer=ascii_only).measure(["the中cat cat"]) == Unread(9, 0)  # within an unknown word
    assert unigram(normalizer=ascii_only).measure(["ca中t 中"]) == Unread(0, 6)  # the first one inside of a token
    folding = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    assert wordpiece(normalizer=folding).measure(["The CAT Café cafe\u0301 \u3000 the"]) == Unread(0, 0)
    assert wordpiece(normalizer=folding).measure(["the\u200b cat"]) == Unread(0, 3)  # a zero-width space
    nfc = normalizers.NFC()
    assert bpe("e\u0301", normalizer=nfc).measure(["e\u0301"]) == Unread(0, 3)  # é has no token, e and the accent have


def test_byte_level_reads_all_with_the_whole_alphabet():
    alphabet = sorted(byte_characters())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole = bpe(alphabet, pre_tokenizer=level)
    assert whole.reads_all
    assert whole.measure(["a 中\x00"]) == Unread(0, 0)
    character = byte_characters()["中".encode()[1]]
    lacking = bpe([c for c in alphabet if c != character], pre_tokenizer=level)
    assert not lacking.reads_all
    assert lacking.measure(["a 中b"]) == Unread(0, 3)  # a character that lacks a byte is lost as a whole


def test_the_words():
    assert Unread(0, 0).words(10) == ""
    assert Unread(123, 5).words(1000) == "12.3% of the bytes are unknown to the tokenizer, 0.5% lost by it"
    assert Unread(0, 5).words(1000) == "0.5% of the bytes are lost by the tokenizer"
    assert Unread(5, 0).words(1000) == "0.5% of the bytes are unknown to the tokenizer"
    assert Unread(3, 5).shares(1000) == {"unknown_share": 0.003, "lost_share": 0.005}
    assert not Unread(5, 5).is_too_much(1000)
    assert Unread(5, 6).is_too_much(1000)
