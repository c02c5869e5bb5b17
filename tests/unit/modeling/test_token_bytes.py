"""The bytes of tokens, of byte-level tokenizers and of those that write text as it is."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from llmkit.modeling.token_bytes import is_byte_level, token_bytes
from tiny import byte_tokenizer


def fast(model, *, pre=None, decoder=None):
    backend = Tokenizer(model)
    if pre is not None:
        backend.pre_tokenizer = pre
    if decoder is not None:
        backend.decoder = decoder
    return PreTrainedTokenizerFast(tokenizer_object=backend)


def unigram(*tokens):
    return fast(models.Unigram([(token, -1.0) for token in tokens], unk_id=0), pre=pre_tokenizers.Metaspace())


def test_the_bytes_of_byte_level_tokens_are_those_their_decoder_gives():
    tokenizer = byte_tokenizer()
    contents = token_bytes(tokenizer)
    assert sorted(contents[:256]) == [bytes([byte]) for byte in range(256)]
    for i in range(256):
        if contents[i][0] < 128:
            assert tokenizer.backend_tokenizer.decode([i]).encode() == contents[i]
    assert contents[tokenizer.eos_token_id] == b"<|eos|>"


def test_other_tokens_are_taken_as_they_are_written():
    assert token_bytes(unigram("<unk>", "▁a", "中")) == [b"<unk>", "▁a".encode(), "中".encode()]
    assert token_bytes(fast(models.WordPiece({"[UNK]": 0, "##able": 2}, unk_token="[UNK]"))) == [
        b"[UNK]",
        b"",
        b"##able",
    ]


def test_bytes_by_fallback_are_bytes_where_there_are_all():
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    assert token_bytes(unigram("<unk>", *names))[1 + 0xE4] == b"\xe4"
    assert token_bytes(unigram("<unk>", "<0xE4>"))[1] == b"<0xE4>"  # a token that looks like one


@pytest.mark.parametrize("where", ["pre", "decoder"])
def test_byte_level_tokenizers_are_told_by_either_part(where):
    part = {"pre": pre_tokenizers, "decoder": decoders}[where].ByteLevel()
    assert is_byte_level(fast(models.BPE({"a": 0}, []), **{where: part}))
    assert is_byte_level(byte_tokenizer())
    assert not is_byte_level(fast(models.BPE({"a": 0}, []), pre=pre_tokenizers.Whitespace()))
    assert not is_byte_level(unigram("<unk>"))
