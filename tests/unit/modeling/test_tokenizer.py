from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llmkit.core.errors import DataError
from llmkit.modeling.tokenizer import (
    encode_documents,
    encode_with_ends,
    load_tokenizer,
    special_ids,
    tokenizer_digest,
    vocabulary_size,
)

END = "<|endoftext|>"
CORPUS = ["the cat sat on the mat </s> the end", "你好 世界 hello world", f"{END} end of text"] * 10


def byte_bpe(special=(END,)):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(CORPUS, trainer)
    return backend


def unigram():
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁", -1.0)] + [(c, -2.0) for c in "abcst</>"] + [("▁cat", -2.5)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.add_special_tokens(["<unk>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


def word_level():
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "cat": 2}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["<unk>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")


@pytest.fixture(scope="module")
def bpe():
    # GPT-2 names its EOS as the unknown token as well, though its model never writes one.
    return PreTrainedTokenizerFast(tokenizer_object=byte_bpe(), eos_token=END, unk_token=END)


@pytest.fixture(scope="module")
def plain():
    """The truth for text: the same merges and ids, but nothing in it is special."""
    content = json.loads(byte_bpe().to_str())
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from([END, "the cat", " ", "你好", "<|", "é\n", "|>"])).map("".join)))
def test_literal_special_tokens_are_text(bpe, plain, texts):
    encoded = encode_documents(bpe, texts)
    assert [ids.tolist() for ids in encoded] == [plain.encode(text, add_special_tokens=False).ids for text in texts]
    assert [bpe.decode(ids) for ids in encoded] == texts
    assert not any(bpe.eos_token_id in ids for ids in encoded)


def test_equals_the_one_by_one_encoding_of_transformers(bpe):
    text = f"the cat{END} sat"
    expected = bpe(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert encode_documents(bpe, [text])[0].tolist() == expected
    assert bpe.eos_token_id in bpe(text, add_special_tokens=False, split_special_tokens=False)["input_ids"]


def test_vocabulary_entries_that_spell_a_special_token_are_not_found_in_text():
    tokenizer = unigram()
    ids = encode_documents(tokenizer, ["cat </s> cat"])[0]
    assert tokenizer.convert_ids_to_tokens(ids) == ["▁cat", "▁", "<", "/", "s", ">", "▁cat"]
    assert encode_documents(word_level(), ["cat </s> dog"])[0].tolist() == [2, 0, 0]


def test_special_tokens_added_later_are_kept_out_too():
    tokenizer = word_level()
    assert encode_documents(tokenizer, ["<end> cat"])[0].tolist() == [0, 2]
    tokenizer.add_special_tokens({"pad_token": "<end>"})
    assert encode_documents(tokenizer, ["<end> cat"])[0].tolist() == [0, 2]
    tokenizer.add_special_tokens({"bos_token": "cat"})
    assert encode_documents(tokenizer, ["<end> cat"])[0].tolist() == [0, 0]


def test_no_special_tokens_padding_or_truncation_is_added(bpe):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=byte_bpe(), eos_token=END, pad_token=END)
    tokenizer(["the cat", "a"], padding="max_length", truncation=True, max_length=3)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    tokenizer.backend_tokenizer.enable_truncation(2)
    texts = ["the cat sat on the mat", "", "a"]
    encoded = encode_documents(tokenizer, texts)
    assert [tokenizer.decode(ids) for ids in encoded] == texts
    assert encoded[1].size == 0


def test_ids_take_two_bytes_where_they_fit(bpe):
    assert encode_documents(bpe, ["a", ""])[1].dtype == np.uint16
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 2**16 - 1}, unk_token="a"))
    assert encode_documents(PreTrainedTokenizerFast(tokenizer_object=backend), ["b"])[0].dtype == np.uint16
    backend = Tokenizer(models.WordLevel({"a": 0, "b": 2**16}, unk_token="a"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert encode_documents(tokenizer, ["b"])[0].tolist() == [2**16]
    assert encode_documents(tokenizer, ["b"])[0].dtype == np.uint32
    assert vocabulary_size(tokenizer) == 2**16 + 1  # ids have gaps: len() would say 2
    assert len(tokenizer) == 2


def test_ends_are_characters_of_the_text(bpe):
    text = f"the cat {END} 你"
    (ids, ends), (none, no_ends) = encode_with_ends(bpe, [text, ""])
    assert ids.tolist() == encode_documents(bpe, [text])[0].tolist()
    tokens = [bpe.decode([i]) for i in ids]
    assert (tokens[0], ends[0]) == ("the", 3)
    assert (tokens[1], ends[1]) == (" cat", 7)
    assert ends[-1] == len(text) == 23
    assert (np.diff(ends) >= 0).all()
    assert none.size == no_ends.size == 0
    # Re-encoded because of the literal special token, positions are still those of the text.
    assert encode_with_ends(unigram(), ["cat </s>"])[0][1].tolist() == [3, 4, 5, 6, 7, 8]


def test_special_ids_fall_back_to_eos(bpe):
    assert special_ids(bpe) == (0, 0, None)
    specials = ["<s>", END, "<pad>"]
    full = PreTrainedTokenizerFast(
        tokenizer_object=byte_bpe(specials), bos_token="<s>", eos_token=END, pad_token="<pad>"
    )
    assert special_ids(full) == (0, 1, 2)


def test_special_ids_without_any_says_how_to_add_one(tmp_path):
    byte_bpe().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="neither a BOS nor an EOS token") as caught:
        special_ids(load_tokenizer(tmp_path))
    assert f"{tmp_path}/tokenizer_config.json" in caught.value.hint


def test_loading_errors_are_data_errors(tmp_path, bpe):
    bpe.save_pretrained(tmp_path / "tokens")
    assert load_tokenizer(tmp_path / "tokens").get_vocab() == bpe.get_vocab()
    with pytest.raises(DataError, match=r"toknes' does not exist; did you mean 'tokens'\?"):
        load_tokenizer(tmp_path / "toknes")
    (tmp_path / "base.gguf").touch()
    with pytest.raises(DataError, match=r"file '.*/bsae.gguf' does not exist; did you mean 'base.gguf'\?"):
        load_tokenizer(tmp_path / "bsae.gguf")
    with pytest.raises(DataError, match=r"is a file, not a directory"):
        load_tokenizer(tmp_path / "tokens" / "tokenizer.json")
    with pytest.raises(DataError, match=r"holds no tokenizer\.json"):
        load_tokenizer(tmp_path)
    for damaged in ('{"version": ', '{"version": "1.0"}', "[]"):
        (tmp_path / "tokens" / "tokenizer.json").write_text(damaged)
        with pytest.raises(DataError, match=r"tokenizer\.json cannot be read"):
            load_tokenizer(tmp_path / "tokens")


def test_digest_ignores_what_does_not_change_ids(tmp_path, bpe):
    bpe.save_pretrained(tmp_path / "a")
    digest = tokenizer_digest(tmp_path / "a")
    again = load_tokenizer(tmp_path / "a")
    again.backend_tokenizer.enable_padding(length=5, pad_id=0, pad_token=END)  # another one would be added
    again.save_pretrained(tmp_path / "b")
    assert tokenizer_digest(tmp_path / "b") == digest
    assert tokenizer_digest(load_tokenizer(tmp_path / "b")) == digest
    content = json.loads((tmp_path / "a" / "tokenizer.json").read_text())
    reordered = dict(reversed(content.items()))
    (tmp_path / "a" / "tokenizer.json").write_text(json.dumps(reordered, indent=7))
    assert tokenizer_digest(tmp_path / "a") == digest
    assert len(digest) == 64


@pytest.mark.parametrize("change", ["merge", "token", "normalizer"])
def test_digest_notices_what_changes_ids(tmp_path, change):
    backend = byte_bpe()
    backend.save(str(tmp_path / "tokenizer.json"))
    digest = tokenizer_digest(tmp_path)
    content = json.loads(backend.to_str())
    if change == "merge":
        content["model"]["merges"][:2] = content["model"]["merges"][1::-1]
    elif change == "token":
        backend.add_tokens([AddedToken("cat")])
        content = json.loads(backend.to_str())
    else:
        content["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    assert tokenizer_digest(tmp_path) != digest


def test_digest_errors(tmp_path):
    with pytest.raises(DataError, match=r"holds no tokenizer\.json"):
        tokenizer_digest(tmp_path)
    for damaged in ("{", "[]", "{}"):
        (tmp_path / "tokenizer.json").write_text(damaged)
        with pytest.raises(DataError, match=r"tokenizer\.json cannot be read"):
            tokenizer_digest(tmp_path)
