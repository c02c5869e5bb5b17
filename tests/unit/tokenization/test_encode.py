from __future__ import annotations

import numpy as np
import pytest
from batches import batch_of
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.literal import LiteralEncoder
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization import encode as module
from llmkit.tokenization.encode import Encoder, segments_by_offsets
from llmkit.tokenization.trainers._patterns import byte_level

TEXTS = [
    "It's a test. The test works! <|end|> is text.\n\nAnother paragraph, 1234 words.",
    "天下大势，分久必合，合久必分。话说三国！End. 完",
    "",
    " \n",
    "e\u0301 and é, ﬁ and Å. 🦊👩‍👩‍👧 done? Yes.",
    "½ cup. He is\u00a0on\u00a0a\u00a0b",  # under NFKC as many bytes as before
]
ANY_TEXT = st.lists(
    st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("ab .!。\n中e\u0301<|end|>"))),
    max_size=5,
)


def trained(pattern="gpt2", normalizer=None, alphabet=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = byte_level(pattern, "pattern", "pattern")
    if normalizer is not None:
        backend.normalizer = normalizer
    full = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|end|>"], initial_alphabet=full if alphabet is None else alphabet
    )
    backend.train_from_iterator(TEXTS[:1] * 3 if alphabet else TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>")


def word_pieces():
    vocab = {token: i for i, token in enumerate(["[UNK]", "it", "##s", "a", "test", ".", "天", "。", "the", "!"])}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")


TOKENIZERS = {
    "gpt2": trained(),
    "llama3": trained("llama3"),
    "nfc": trained(normalizer=normalizers.NFC()),
    "nfkc": trained("qwen2", normalizers.NFKC()),
    "word pieces": word_pieces(),
}


def check(tokenizer, texts, *, fast):
    """Ids are those of `encode_documents`; segments are those that the offsets of `tokenizers` give."""
    literal = LiteralEncoder.of(tokenizer)
    found = Encoder(literal, FastEncoder(literal) if fast else None).encode(batch_of(texts))
    ids = np.split(found.ids, np.cumsum(found.counts)[:-1])
    segments = np.split(found.segments, np.cumsum(found.num_segments)[:-1])
    for text, got, starts, (expected, ends) in zip(
        texts, ids, segments, literal.encode(texts, ends=True), strict=bool(texts)
    ):
        assert got.tolist() == expected.tolist() == encode_documents(tokenizer, [text])[0].tolist(), text
        assert starts.tolist() == segments_by_offsets(text, ends).tolist(), text
    assert found.ids.dtype == np.uint16
    return found


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_and_segments_are_those_of_tokenizers(name, fast):
    if name == "word pieces" and fast:
        with pytest.raises(ValueError, match="not byte-level"):
            FastEncoder(LiteralEncoder.of(TOKENIZERS[name]))
        return
    assert check(TOKENIZERS[name], TEXTS, fast=fast).lost_bytes == 0
    check(TOKENIZERS[name], [], fast=fast)
    check(TOKENIZERS[name], [""], fast=fast)


def test_unknown_text_is_counted_by_document():
    found = check(TOKENIZERS["word pieces"], ["the \U0001f600\U0001f600 test", "", "the"], fast=False)
    assert found.unread.tolist() == [[8, 0], [0, 0], [0, 0]]  # two characters of four bytes


@settings(max_examples=80, deadline=None)
@given(ANY_TEXT)
def test_any_text(texts):
    for name in ("gpt2", "llama3", "nfc", "nfkc"):
        check(TOKENIZERS[name], texts, fast=True)
    check(TOKENIZERS["word pieces"], texts, fast=False)


@settings(max_examples=80, deadline=None)
@given(ANY_TEXT)
def test_decoding_gives_the_text_back(texts):
    found = check(TOKENIZERS["gpt2"], texts, fast=True)
    for text, ids in zip(texts, np.split(found.ids, np.cumsum(found.counts)[:-1]), strict=bool(texts)):
        assert decoders.ByteLevel().decode(TOKENIZERS["gpt2"].convert_ids_to_tokens(ids.tolist())) == text


@pytest.mark.parametrize("name", ["gpt2", "nfkc", "word pieces"])
@pytest.mark.parametrize("fast", [True, False])
def test_long_documents_in_pieces(monkeypatch, name, fast):
    monkeypatch.setattr(module, "GROUP_BYTES", 16)
    check(TOKENIZERS[name], [*TEXTS, " ".join(TEXTS), *TEXTS], fast=fast and name != "word pieces")


def test_a_document_that_may_not_be_cut_stays_whole(monkeypatch):
    monkeypatch.setattr(module, "GROUP_BYTES", 16)
    tokenizer = trained()
    tokenizer.add_tokens(["a test. The"])
    found = check(tokenizer, TEXTS, fast=False)
    assert tokenizer.convert_tokens_to_ids("a test. The") in found.ids


def test_bytes_the_vocabulary_lacks_are_counted():
    tokenizer = trained(alphabet=["a"])
    found = check(tokenizer, ["a test", "a 天 test。 The test", "aa"], fast=False)
    assert found.lost_bytes == 6  # two characters of three bytes
    assert check(trained(), ["a 天 test。"], fast=False).lost_bytes == 0
    # A normalizer may change the number of bytes without losing any.
    assert check(TOKENIZERS["nfkc"], ["e\u0301 ﬁ"], fast=True).lost_bytes == 0


def test_an_id_outside_the_vocabulary_is_never_written():
    literal = LiteralEncoder.of(TOKENIZERS["gpt2"])
    small = LiteralEncoder(literal.pipeline, literal.special, literal.vocab_size)
    encoder = Encoder(small, FastEncoder(small))
    encoder.fast.encode = lambda document: np.array([literal.vocab_size], np.uint32)
    with pytest.raises(AssertionError, match="not in the vocabulary"):
        encoder.encode(batch_of(["a"]))


def encoder_of(tokenizer, **settings):
    return Encoder(LiteralEncoder.of(tokenizer, **settings))


def test_a_text_of_as_many_bytes_as_its_changed_form_goes_by_offsets():
    tokenizer = trained("gpt2", normalizers.NFKC())
    text = "½ cup. He is\u00a0on\u00a0a\u00a0b"
    assert len(normalizers.NFKC().normalize_str(text).encode()) == len(text.encode())
    for fast in (True, False):
        check(tokenizer, [text, "ASCII. Is it."], fast=fast)
    encoder = encoder_of(tokenizer)
    encoder._repair = None  # texts that no normalizer changes do without
    assert encoder.encode(batch_of(["Plain. Text.", "é. Yes."])).segments.size == 4


@pytest.mark.parametrize("normalizer", [normalizers.Lowercase(), normalizers.Replace("ab", "ba")])
def test_other_normalizers_go_by_offsets(normalizer):
    tokenizer = trained("gpt2", normalizer)
    assert encoder_of(tokenizer)._token_bytes is None
    check(tokenizer, ["A test. The İ works. ab", "plain. text"], fast=False)


def incomplete(**settings):
    """`a`, `b`, `.`, a space, and what stands for the other bytes."""
    backend = Tokenizer(models.BPE({"<unk>": 0, "a": 1, "b": 2, ".": 3, "Ġ": 4}, [], **settings))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def test_an_unknown_token_is_not_lost():
    text = "abx. ab. 天a"
    found = check(incomplete(unk_token="<unk>"), [text, "xxxxx. ab"], fast=False)
    assert found.lost_bytes == 0
    assert check(incomplete(), [text], fast=False).lost_bytes == 4


def test_blanks_that_an_added_token_takes_along_are_not_lost():
    tokenizer = trained()
    tokenizer.add_tokens([AddedToken("cup", lstrip=True, rstrip=True, normalized=False)])
    assert check(tokenizer, ["a   cup   of it. A  cup  b"], fast=False).lost_bytes == 0


def test_a_byte_that_only_a_special_token_has_is_lost():
    tokenizer = trained()
    tokenizer.add_special_tokens({"pad_token": "!"})
    assert check(tokenizer, ["a! b"], fast=False).lost_bytes == 1
    assert encoder_of(tokenizer, allow_special=True).encode(batch_of(["a! b"])).lost_bytes == 0


def test_special_tokens_that_reach_over_blanks_keep_a_document_whole(monkeypatch):
    backend = trained().backend_tokenizer
    backend.add_special_tokens([AddedToken("<|turn|>", rstrip=True, normalized=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|turn|>")
    text = "works <|turn|> a test"
    whole = LiteralEncoder.of(tokenizer, allow_special=True).encode([text])[0][0]
    monkeypatch.setattr(module, "GROUP_BYTES", 8)
    assert encoder_of(tokenizer, allow_special=True).encode(batch_of([text])).ids.tolist() == whole.tolist()
