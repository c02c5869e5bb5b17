from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.core.errors import DataError
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.text.utf8 import byte_characters
from tiny import byte_tokenizer


def tokenizer_of(model, *, pre=None, decoder=None, added=(), **roles):
    backend = Tokenizer(model)
    if pre is not None:
        backend.pre_tokenizer = pre
    if decoder is not None:
        backend.decoder = decoder
    backend.add_special_tokens([*roles.values(), *added])
    return PreTrainedTokenizerFast(tokenizer_object=backend, **roles)


def starts(tokenizer, tokens):
    found = vocabulary_of(tokenizer).starts_word
    return [bool(found[tokenizer.convert_tokens_to_ids(token)]) for token in tokens]


def test_roles_of_a_byte_level_tokenizer():
    found = vocabulary_of(byte_tokenizer())
    assert (found.size, found.bos, found.eos, found.pad) == (261, 256, 257, 258)
    assert (found.cls, found.sep, found.mask, found.unk) == (None, None, None, None)
    assert dict(found.ids) == {"<|bos|>": 256, "<|eos|>": 257, "<|pad|>": 258, "<|im_start|>": 259, "<|im_end|>": 260}
    assert found.special.tolist() == [256, 257, 258, 259, 260]
    assert found.ordinary.tolist() == list(range(256))
    with pytest.raises(TypeError):
        found.ids["x"] = 1


def test_a_document_starts_from_bos_else_cls_else_eos():
    tokenizer = byte_tokenizer()
    tokenizer.bos_token = None
    assert vocabulary_of(tokenizer).bos == 257
    tokenizer.cls_token = "<|im_start|>"
    assert vocabulary_of(tokenizer).bos == vocabulary_of(tokenizer).cls == 259


def test_tokens_are_found_by_their_content():
    backend = models.BPE({"a": 0}, [])
    found = vocabulary_of(tokenizer_of(backend, added=["[MASK]", "<cls>", "<sep>"]))
    assert (found.mask, found.cls, found.sep) == (1, 2, 3)


def test_words_of_wordpiece():
    pieces = {token: i for i, token in enumerate(["[UNK]", "play", "##ing", "##2", "，", "7"])}
    tokenizer = tokenizer_of(models.WordPiece(pieces, unk_token="[UNK]"), unk_token="[UNK]")
    assert starts(tokenizer, ["play", "##ing", "##2", "，", "7"]) == [True, False, False, True, True]


def test_words_of_byte_level_bpe():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = {**{c: i for i, c in enumerate(alphabet)}, "Ġthe": 300, "ing": 301, "Ċ": 302, ",": 303, "Ġ,": 304}
    chinese = "".join(piece for piece, _ in pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str("中"))
    tokens[chinese], tokens[chinese[1:]] = 305, 306
    tokenizer = tokenizer_of(
        models.BPE(tokens, []), pre=pre_tokenizers.ByteLevel(), decoder=decoders.ByteLevel(), eos_token="<|eos|>"
    )
    asked = ["Ġthe", "ing", "Ċ", ",", "Ġ,", "Ġ", "t", "7", chinese, chinese[1:]]
    assert starts(tokenizer, asked) == [True, False, True, True, True, True, False, False, True, False]
    assert starts(tokenizer, ["<|eos|>"]) == [True]


def test_words_of_byte_level_bpe_in_other_scripts():
    written = dict(zip(range(256), byte_characters(), strict=True))
    expected = {
        "ไทย".encode(): True,  # of three bytes, and before the Chinese block
        "ิ่".encode(): False,  # a vowel sign and a tone belong to the letter before
        "—".encode(): True,  # punctuation
        "한국".encode(): False,  # Hangul is written with spaces
        "ния".encode(): False,
        "१".encode(): False,
        "ह".encode(): False,
        "中".encode()[:2]: True,  # parts of characters, by what they may become
        "ก".encode()[:2]: True,
        "ไ".encode()[:2]: False,  # more digits, vowel signs and tones than letters begin so
        "한".encode()[:1]: False,
        "и".encode()[:1]: False,
        "😀".encode()[:2]: True,
        "中".encode()[1:] + "国".encode(): False,  # the end of a character
    }
    tokens = {"".join(written[byte] for byte in content): found for content, found in expected.items()}
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = tokenizer_of(models.BPE(vocabulary, []), pre=pre_tokenizers.ByteLevel(), decoder=decoders.ByteLevel())
    assert dict(zip(expected, starts(tokenizer, tokens), strict=True)) == expected


def test_words_of_sentencepiece():
    tokens = ["<unk>", "▁the", "ing", "▁", "中国", ".", "<0xE4>", "<0xB8>", "<0x41>", "<0x0A>"]
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    model = models.Unigram([(token, -1.0) for token in dict.fromkeys([*tokens, *names])], unk_id=0)
    tokenizer = tokenizer_of(model, pre=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace())
    assert starts(tokenizer, tokens[1:]) == [True, False, True, True, True, True, False, False, True]


def test_without_a_tokenizer_every_token_is_a_word():
    assert np.array_equal(Vocabulary(4).starts_word, [True] * 4)


def test_what_is_missing_is_named():
    vocabulary = Vocabulary(9, eos=3, ids={"<|fim_prefix|>": 4}, where="build/tokens")
    assert vocabulary.need("eos", "causal_lm") == 3
    assert vocabulary.token("<|fim_prefix|>", "fill_in_the_middle") == 4
    with pytest.raises(DataError) as caught:
        vocabulary.need("pad", "span_corruption")
    assert caught.value.message == "the tokenizer in 'build/tokens' has no PAD token, which span_corruption needs"
    assert caught.value.hint == (
        'set "pad_token" in its tokenizer_config.json to one of its tokens, or train one: llmkit tokenize'
    )
    assert caught.value.exit_code == 3
    with pytest.raises(DataError, match=r"has no CLS token, which next_sentence needs"):
        vocabulary.need("cls", "next_sentence")
