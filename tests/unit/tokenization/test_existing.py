"""A tokenizer as it is, or with tokens added: which rows of a model are new, which token ends documents."""

from __future__ import annotations

import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, BertTokenizer, PreTrainedTokenizerFast

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.tokenizer import encode_documents, load_tokenizer, tokenizer_digest
from llmkit.tokenization.trainers import TrainingText
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.tokenization.trainers.existing import Existing
from llmkit.tokenization.trainers.unigram import Unigram
from llmkit.tokenization.trainers.wordpiece import Wordpiece

TEXTS = ["the cat sat on the mat, the end", "春天来了，花开了。the 春天 of 1984 Cafés"] * 3
PARTS = {"bpe": Bpe(vocab_size=320), "wordpiece": Wordpiece(vocab_size=90), "unigram": Unigram(vocab_size=310)}


def made(part):
    return part.make(lambda: iter(TrainingText(text, "x", "en") for text in TEXTS), Console(quiet=True))


@pytest.fixture(scope="module", params=PARTS)
def base(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    made(PARTS[request.param]).save_pretrained(folder)
    return folder


def test_as_it_is(base):
    part = Existing(path=str(base))
    tokenizer = made(part)
    original = AutoTokenizer.from_pretrained(base)
    assert tokenizer.get_vocab() == original.get_vocab()
    expected = original(TEXTS, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert [ids.tolist() for ids in encode_documents(tokenizer, TEXTS)] == expected
    assert not part.needs_text()
    assert [file.name for file in part.reads()] == ["tokenizer.json", "tokenizer_config.json"]
    assert part.notes(tokenizer) == []


def test_added_tokens_are_the_rows_behind_the_last(base, tmp_path):
    size = len(AutoTokenizer.from_pretrained(base))
    (tmp_path / "words.txt").write_text("\ufeff春天来\nqubit\n\nqubit\n", encoding="utf-8")
    part = Existing(path=str(base), add_tokens=["CRISPR"], add_tokens_from=str(tmp_path / "words.txt"))
    tokenizer = made(part)
    assert tokenizer.convert_tokens_to_ids(["CRISPR", "春天来", "qubit"]) == [size, size + 1, size + 2]
    ids = encode_documents(tokenizer, ["a qubit 春天来了CRISPR"])[0].tolist()
    assert [i for i in ids if i >= size] == [size + 2, size + 1, size]
    rows = f"note: rows {size}..{size + 2} are new: a model needs {size + 3} embedding rows instead of {size}"
    assert part.notes(tokenizer) == [rows]
    assert part.reads()[-1] == tmp_path / "words.txt"
    tokenizer.save_pretrained(tmp_path / "more")
    assert tokenizer_digest(tmp_path / "more") != tokenizer_digest(base)
    again = Existing(path=str(tmp_path / "more"), add_tokens=["qubit"])
    assert again.notes(made(again)) == [f"note: the tokens to add were all there; the vocabulary stays at {size + 3}"]


def test_special_tokens_and_roles(base):
    original = AutoTokenizer.from_pretrained(base)
    part = Existing(path=str(base), add_special_tokens=["<|turn|>"], eos_token="<|turn|>", pad_token=original.pad_token)
    tokenizer = made(part)
    assert tokenizer.eos_token_id == len(original)
    assert tokenizer.pad_token_id == original.pad_token_id
    assert set(original.all_special_tokens) <= {*tokenizer.all_special_tokens, original.eos_token}
    assert len(original) not in encode_documents(tokenizer, ["a <|turn|> b"])[0]
    assert part.notes(tokenizer)[0].startswith(f"note: row {len(original)} is new: a model needs {len(original) + 1} ")
    with pytest.raises(ConfigError, match=r"tokenizer\.eos_token: the tokenizer has no token '<eos>'") as caught:
        made(Existing(path=str(base), eos_token="<eos>"))
    assert "tokenizer.add_special_tokens=['<eos>']" in caught.value.hint


def test_a_tokenizer_without_eos_is_told(tmp_path):
    made(PARTS["bpe"]).backend_tokenizer.save(str(tmp_path / "mine.json"))
    part = Existing(path=str(tmp_path / "mine.json"))
    tokenizer = made(part)
    assert tokenizer.eos_token is None
    assert part.notes(tokenizer) == ["note: tokenizer.eos_token may name the token that ends documents"]
    named = Existing(path=str(tmp_path / "mine.json"), eos_token="<|endoftext|>")
    assert made(named).eos_token_id == 0
    assert named.notes(made(named)) == []


def test_lists_that_are_not_there(base, tmp_path):
    with pytest.raises(DataError, match=r"tokenizer\.add_tokens_from: no such file"):
        Existing(path=str(base), add_tokens_from=str(tmp_path / "none.txt")).reads()
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError, match=r"latin\.txt cannot be read"):
        made(Existing(path=str(base), add_tokens_from=str(tmp_path / "latin.txt")))


def test_the_digest_outlives_loading_and_saving(base, tmp_path):
    digest = tokenizer_digest(base)
    for round_trip in range(2):
        load_tokenizer(base if round_trip == 0 else tmp_path / "0").save_pretrained(tmp_path / str(round_trip))
        assert tokenizer_digest(tmp_path / str(round_trip)) == digest


def test_the_digest_of_a_file_of_an_older_version(tmp_path):
    tokenizer = made(PARTS["bpe"])
    tokenizer.save_pretrained(tmp_path / "new")
    content = json.loads((tmp_path / "new/tokenizer.json").read_text())
    # As versions before 0.20 wrote it.
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    for name in ("type", "ignore_merges", "byte_fallback"):
        del content["model"][name]
    tokenizer.save_pretrained(tmp_path / "old")
    (tmp_path / "old/tokenizer.json").write_text(json.dumps(content))
    assert tokenizer_digest(tmp_path / "old") == tokenizer_digest(tmp_path / "new")


def test_the_file_is_right_where_the_class_builds_another(tmp_path):
    made(Wordpiece(vocab_size=90, lowercase=False)).save_pretrained(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    config = json.loads(file.read_text()) | {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    file.write_text(json.dumps(config))
    built = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(built, BertTokenizer)
    loaded = load_tokenizer(tmp_path)
    written = PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    assert loaded.tokenize("THE") == written.tokenize("THE") == ["[UNK]"]
    assert built.tokenize("THE") == ["the"]
    assert loaded.mask_token_id == 4
    # And where both are the same, the class stays.
    file.write_text(json.dumps(config | {"do_lower_case": False}))
    assert isinstance(load_tokenizer(tmp_path), BertTokenizer)


def byte_level(folder, *more, merges=(), gap=0):
    """Save a byte-level tokenizer: the 256 bytes, then, behind a gap in the ids, some more tokens."""
    vocabulary = {token: i for i, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    vocabulary |= {token: len(vocabulary) + gap + i for i, token in enumerate(more)}
    backend = Tokenizer(models.BPE(vocabulary, list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("field", ["add_tokens", "add_special_tokens"])
def test_an_id_that_is_taken_is_refused(tmp_path, field):
    path = byte_level(tmp_path, "ab", merges=[("a", "b")], gap=1)
    with pytest.raises(DataError, match="the new token '<new>' would get the id 257 of 'ab'"):
        made(Existing(path=path, **{field: ["<new>"]}))
    assert made(Existing(path=path, add_tokens=["ab"])).convert_tokens_to_ids("ab") == 257


@pytest.mark.parametrize("field", ["add_tokens", "add_special_tokens"])
def test_a_token_that_the_vocabulary_writes_bytes_with_is_refused(tmp_path, field):
    path = byte_level(tmp_path)
    for token, written in (("£", "A3"), ("Ġ", "20")):
        with pytest.raises(ConfigError, match=rf"tokenizer\.{field}: .* writes the bytes {written} as '{token}'"):
            made(Existing(path=path, **{field: [token]}))
    tokenizer = made(Existing(path=path, add_tokens=["£5", "a"]))
    assert encode_documents(tokenizer, ["a£5"])[0].tolist() == [*tokenizer.convert_tokens_to_ids(["a", "£5"])]


def test_a_role_is_no_token_of_ordinary_text(tmp_path):
    path = byte_level(tmp_path, "ab", "abc", "<end>", merges=[("a", "b"), ("ab", "c")])
    for token in ("a", "!", "ab", "abc"):
        with pytest.raises(ConfigError, match=f"tokenizer.pad_token: '{token}' is a token of ordinary text"):
            made(Existing(path=path, pad_token=token))
        with pytest.raises(ConfigError, match=f"tokenizer.add_special_tokens: '{token}' is a token of ordinary text"):
            made(Existing(path=path, add_special_tokens=[token]))
    tokenizer = made(Existing(path=path, eos_token="<end>", pad_token="<end>"))
    assert tokenizer.pad_token_id == 258
    assert 258 not in encode_documents(tokenizer, ["abc<end>"])[0]
    tokenizer.save_pretrained(tmp_path / "again")
    assert made(Existing(path=str(tmp_path / "again"), pad_token="<end>")).pad_token_id == 258
