"""Tokenizers made elsewhere: every format gives the ids of the one it was written from."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.borrow import load, locate, tokenizer_files
from llmkit.tokenization.byte_ranks import read_ranks, to_model
from llmkit.tokenization.trainers import TrainingText
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.tokenization.trainers.unigram import Unigram

TEXTS = ["the cat sat on the mat, the end\n", "春天来了，花开了。the 春天 of 1984", "    return x + 1234567\n\n"] * 3
PROBES = [*TEXTS[:3], "", "🦊 unseen Ω\x00 text", "<|endoftext|> literal", "don't 12 345"]


def texts():
    return iter(TrainingText(text, "x", "en") for text in TEXTS)


def ids(tokenizer, probes=PROBES):
    return [found.tolist() for found in encode_documents(tokenizer, probes)]


@pytest.fixture(scope="module")
def bpe():
    return Bpe(vocab_size=350).make(texts, Console(quiet=True))


@pytest.fixture
def pair(bpe, tmp_path):
    model = json.loads(bpe.backend_tokenizer.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = "\n".join(" ".join(merge) for merge in model["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    return tmp_path


def test_directories_and_json(bpe, tmp_path):
    bpe.save_pretrained(tmp_path / "dir")
    for place in ("dir", "dir/tokenizer.json"):
        found = load(locate(str(tmp_path / place)))
        assert ids(found) == ids(bpe)
        assert found.eos_token == "<|endoftext|>"
    (tmp_path / "dir/tokenizer.json").rename(tmp_path / "alone.json")
    found = load(tmp_path / "alone.json")
    assert (ids(found), found.eos_token) == (ids(bpe), None)


def test_vocab_and_merges(bpe, pair):
    for place in (pair, pair / "vocab.json", pair / "merges.txt"):
        found = load(place)
        assert ids(found) == ids(bpe)
        assert (found.eos_token_id, found.bos_token_id) == (0, 0)
    (pair / "merges.txt").unlink()
    with pytest.raises(DataError, match=r"vocab\.json needs merges\.txt beside it"):
        load(pair / "vocab.json")


def test_sentencepiece_model(tmp_path):
    content = Unigram(vocab_size=330).train(texts)
    (tmp_path / "spiece.model").write_bytes(content)
    expected = sentencepiece.SentencePieceProcessor(model_proto=content).encode(PROBES)
    assert ids(load(tmp_path)) == ids(load(tmp_path / "spiece.model")) == expected
    (tmp_path / "spiece.model").write_bytes(b"not one")
    with pytest.raises(DataError, match=r"spiece\.model is not a SentencePiece model"):
        load(tmp_path)


MERGED = [b"th", b"the", b" the", b"12", b"23", b"123", b"\xe6\x98", b"\xe6\x98\xa5", b"aa", b"aaa", b"ab", b"abab"]
RANKS = {bytes([byte]): i for i, byte in enumerate([*range(128, 256), *range(128)])}
RANKS |= {token: 256 + i for i, token in enumerate(MERGED)}
RANK_FILE = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in RANKS.items())


def merge_by_rank(word, ranks):
    """The algorithm of tiktoken, as its educational module has it."""
    if word in ranks:
        return [ranks[word]]
    parts = [bytes([byte]) for byte in word]
    while True:
        pairs = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not pairs:
            return [ranks[part] for part in parts]
        i = min(pairs)[1]
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["th", "e", " ", "the", "1", "2", "3", "春", "a", "b", "aa", "花", "\n"])).map("".join))
def test_ranks_merge_as_in_tiktoken(text):
    tokenizer = RANKED
    words = tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str(text)
    expected = [i for _, (a, b) in words for i in merge_by_rank(text[a:b].encode(), RANKS)]
    assert ids(tokenizer, [text]) == [expected]
    assert tokenizer.decode(expected) == text


@pytest.fixture(scope="module", autouse=True)
def _ranked(tmp_path_factory):
    global RANKED  # noqa: PLW0603
    file = tmp_path_factory.mktemp("ranks") / "cl100k_base.tiktoken"
    file.write_bytes(RANK_FILE)
    RANKED = load(file)


def test_tiktoken_files(tmp_path):
    # Llama 3 calls its file tokenizer.model.
    (tmp_path / "tokenizer.model").write_bytes(RANK_FILE)
    with pytest.raises(ConfigError, match=r"tokenizer\.pattern: .*tokenizer\.model is a tiktoken file") as caught:
        load(tmp_path)
    assert "tokenizer.pattern=llama3" in caught.value.hint
    assert ids(load(tmp_path, "llama3")) == ids(RANKED)
    # Groups of three digits there, single ones here: 123 is a token and no word any more.
    (tmp_path / "qwen.tiktoken").write_bytes(RANK_FILE)
    assert ids(RANKED, ["123"]) == [[RANKS[b"123"]]]
    assert ids(load(tmp_path / "qwen.tiktoken"), ["123"]) == [[RANKS[b"1"], RANKS[b"2"], RANKS[b"3"]]]


def test_ranks_that_no_token_has_are_filled():
    ranks = {token: rank + (rank >= 258) for token, rank in RANKS.items()}
    model = to_model(ranks)
    assert model.token_to_id("<|unused_258|>") == 258
    assert model.id_to_token(259) == "Ġthe"
    content = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    assert read_ranks(content, "f") == ranks


def test_the_gap_of_p50k_is_its_end_of_text(tmp_path):
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {i.to_bytes(3, "big"): i + (i >= 50256) for i in range(256, 50280)}
    content = b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    (tmp_path / "p50k_base.tiktoken").write_bytes(content)
    tokenizer = load(tmp_path)
    assert (tokenizer.eos_token, tokenizer.eos_token_id) == ("<|endoftext|>", 50256)
    tokenizer.add_tokens(["<new>"])
    assert tokenizer.convert_tokens_to_ids("<new>") == 50281
    assert 50256 not in ids(tokenizer, ["a<|endoftext|>"])[0]


def test_rank_files_that_are_damaged():
    with pytest.raises(DataError, match=r"f:2: not a line of a tiktoken file"):
        read_ranks(b"IQ== 0\nIg== x\n", "f")
    with pytest.raises(DataError, match=r"f has no rank for 255 of the 256 bytes, such as 0x00"):
        read_ranks(b"IQ== 0\n", "f")
    assert read_ranks(RANK_FILE, "f") == RANKS
    # A token that no two tokens make is still found where it is a whole word.
    assert to_model(RANKS | {b"xyz": 900}).tokenize("xyz")[0].id == 900


def test_what_is_not_there(tmp_path, monkeypatch):
    (tmp_path / "build/tokens").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"tokenizer 'build/toknes' does not exist; did you mean 'tokens'\?"):
        locate("build/toknes")
    with pytest.raises(DataError, match=r"tokenizer '/none/of/this' does not exist"):
        locate("/none/of/this")
    with pytest.raises(
        DataError, match=r"'buidl': no such directory or file; did you mean 'build'\?, and the hub"
    ) as caught:
        locate("buidl")
    assert "hf download buidl" in caught.value.hint
    with pytest.raises(DataError, match=r"'some/name': no such directory or file, and the hub does not give it"):
        locate("some/name")
    for ask in (tokenizer_files, load):
        with pytest.raises(DataError, match=r"tokens' holds no tokenizer"):
            ask(tmp_path / "build/tokens")


@pytest.mark.parametrize("content", ["{", "[]", '{"version": "1.0"}', '{"a": 1}'])
def test_damaged_json(content, tmp_path):
    (tmp_path / "mine.json").write_text(content)
    with pytest.raises(DataError, match=r"mine\.json cannot be read as a tokenizer\.json"):
        load(tmp_path / "mine.json")


def test_unknown_formats(tmp_path):
    (tmp_path / "words.txt").write_text("the\ncat\n")
    with pytest.raises(DataError, match=r"words\.txt' is not a tokenizer of a known format"):
        load(tmp_path / "words.txt")


def test_the_files_that_count(bpe, tmp_path):
    bpe.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"gigabytes")
    assert [file.name for file in tokenizer_files(tmp_path)] == ["tokenizer.json", "tokenizer_config.json"]
    assert [file.name for file in tokenizer_files(tmp_path / "tokenizer.json")] == [
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    (tmp_path / "llmkit.json").write_text("{}")
    assert tokenizer_files(tmp_path) == [tmp_path]


def test_the_files_that_count_are_those_that_are_read(bpe, pair, tmp_path):
    for name in ("vocab.json", "merges.txt"):
        assert tokenizer_files(pair / name) == [pair / "vocab.json", pair / "merges.txt"]
    (pair / "merges.txt").unlink()
    assert tokenizer_files(pair / "vocab.json") == [pair / "vocab.json"]
    bpe.save_pretrained(tmp_path / "saved")
    (tmp_path / "saved/config.json").write_text("{}")  # names the class that is loaded
    files = tokenizer_files(tmp_path / "saved/tokenizer.json")
    assert [file.name for file in files] == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    (tmp_path / "saved/llmkit.json").write_text("{}")
    assert tokenizer_files(tmp_path / "saved/tokenizer.json") == [tmp_path / "saved"]
