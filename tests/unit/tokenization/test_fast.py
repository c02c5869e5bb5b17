from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from batches import batch_of
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.literal import LiteralEncoder
from llmkit.tokenization.fast import CHECK_EVERY, MAX_CHECKED_BYTES, Check
from llmkit.tokenization.trainers._patterns import byte_level

TEXT = "It's a test of <|end|> tokens, 12 of them. 春天来了，花开了。"


def trained(pre_tokenizer=None, normalizer=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer or byte_level("gpt2", "pattern", "pattern")
    if normalizer is not None:
        backend.normalizer = normalizer
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|end|>"], initial_alphabet=alphabet)
    backend.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")


@pytest.fixture(scope="module")
def literal():
    return LiteralEncoder.of(trained())


class Wrong(FastEncoder):
    """gigatoken, but texts with a certain word end with one more token."""

    word = b"wrong"

    def encode(self, document):
        ids = super().encode(document)
        return np.append(ids, ids[-1:]) if self.word in document else ids


@pytest.mark.parametrize("pattern", ["gpt2", "llama3", "qwen2", "o200k", "deepseek3"])
def test_the_probes_agree_for_every_preset(pattern):
    tokenizer = trained(byte_level(pattern, "pattern", "pattern"))
    tokenizer.add_tokens(["of them", "花"])
    literal = LiteralEncoder.of(tokenizer)
    check = Check(literal, FastEncoder(literal))
    check.probes()
    check.texts([TEXT, *TEXT.split()])
    assert check.documents > 20
    assert check.differences == []


def test_special_tokens_are_text(literal):
    ids = FastEncoder(literal).encode(b"a<|end|>b")
    assert literal.special["<|end|>"] not in ids
    assert ids.tolist() == literal.encode(["a<|end|>b"])[0][0].tolist()


def test_what_gigatoken_cannot_do_is_said(literal):
    def refused(tokenizer, words):
        with pytest.raises(ValueError, match=words):
            FastEncoder(LiteralEncoder.of(tokenizer) if isinstance(tokenizer, PreTrainedTokenizerFast) else tokenizer)

    refused(replace(literal, allow_special=True), "special tokens are looked for")
    refused(trained(pre_tokenizers.ByteLevel(add_prefix_space=True)), "puts a space before")
    refused(trained(normalizer=normalizers.Lowercase()), "changes the text before")
    odd = [pre_tokenizers.Split(Regex("a+"), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    refused(trained(pre_tokenizers.Sequence(odd)), "Unknown pre_tokenizer")
    refused(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a"))), "not byte-level BPE")
    dropping = json.loads(literal.pipeline)
    dropping["model"]["dropout"] = 0.1
    refused(replace(literal, pipeline=json.dumps(dropping)), "at random")


def test_added_tokens_that_gigatoken_does_not_find_are_refused():
    def with_token(content, normalizer=None, **settings):
        tokenizer = trained(normalizer=normalizer)
        tokenizer.add_tokens([AddedToken(content, **settings)])
        return LiteralEncoder.of(tokenizer)

    with pytest.raises(ValueError, match="the added token 'test' is not found"):
        FastEncoder(with_token("test", single_word=True))
    with pytest.raises(ValueError, match="the added token 'ﬁ' is not found"):
        FastEncoder(with_token("ﬁ", normalizers.NFKC(), normalized=True))
    for literal in (
        with_token("ﬁ", normalizers.NFC(), normalized=True),
        with_token("ﬁ", normalizers.NFKC(), normalized=False),
    ):
        check = Check(literal, FastEncoder(literal))
        check.texts([TEXT, "a ﬁt", "fit"])
        assert check.differences == []


def test_special_tokens_that_text_is_made_of_are_refused():
    tokenizer = trained()
    merged = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"][0]
    tokenizer.add_special_tokens({"pad_token": "".join(merged)})
    with pytest.raises(ValueError, match="a part in a merge"):
        FastEncoder(LiteralEncoder.of(tokenizer))


def test_texts_that_a_normalizer_would_change_are_not_taken():
    fast = FastEncoder(LiteralEncoder.of(trained(normalizer=normalizers.NFC())))
    assert fast.takes("é".encode())
    assert not fast.takes("e\u0301".encode())
    assert FastEncoder(LiteralEncoder.of(trained())).takes("e\u0301".encode())
    check = Check(LiteralEncoder.of(trained(normalizer=normalizers.NFC())), fast)
    check.texts(["e\u0301", "plain"])
    assert (check.documents, check.differences) == (1, [])


def run(literal, texts, *, unusual=(), word=b"wrong"):
    fast = Wrong(literal)
    fast.word = word
    check = Check(literal, fast)
    encoded = [fast.encode(text.encode()) for text in texts]
    counts = np.array([len(ids) for ids in encoded])
    check.batch(batch_of(texts), np.concatenate(encoded), counts, unusual)
    return check


def test_the_first_documents_and_one_in_a_thousand_are_checked(literal):
    texts = [f"text {i}" for i in range(2 * CHECK_EVERY + 1)]
    assert run(literal, texts).documents == 8 + 2
    for place, found in ((0, True), (7, True), (8, False), (CHECK_EVERY, True), (CHECK_EVERY + 1, False)):
        changed = [*texts[:place], "a wrong text", *texts[place + 1 :]]
        assert run(literal, changed).differences == (["a wrong text"] if found else []), place


def test_a_check_goes_on_counting_over_batches(literal):
    check = Check(literal, FastEncoder(literal))
    for start in range(0, 2000, 500):
        texts = [f"text {i}" for i in range(start, start + 500)]
        encoded = [check.fast.encode(text.encode()) for text in texts]
        check.batch(batch_of(texts), np.concatenate(encoded), np.array([len(ids) for ids in encoded]), ())
    assert check.documents == 8 + 1


def test_the_surroundings_of_special_tokens_are_checked(literal):
    far = ["fine"] * 10
    check = run(literal, [*far, "some text, then <|end|> and wrong", "wrong without one"])
    assert check.differences == ["some text, then <|end|> and wrong"]
    assert run(literal, [*far, "wrong" + " " * 100 + "<|end|>"]).differences == []


def test_unusual_characters_are_checked_where_they_stand(literal):
    texts = ["fine"] * 10 + ["wrong", "Ω wrong", "wrong"]
    at = len("".join(texts[:11]).encode()) + 1
    assert run(literal, texts, unusual=[at]).differences == ["Ω wrong"]


def test_of_long_documents_the_beginning_is_checked(literal):
    long = "word " * MAX_CHECKED_BYTES
    assert run(literal, ["wrong " + long]).differences == [("wrong " + long)[:200]]
    assert run(literal, [long + "wrong"]).differences == []
    assert run(literal, [long]).num_bytes == MAX_CHECKED_BYTES
