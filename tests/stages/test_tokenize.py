"""tokenize, through the command line: the tokens are `tokenizers`' own, literal, split by content, and repeatable."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus
from llmkit.data.split import split_of

FRACTIONS = {"validation_fraction": 0.1, "test_fraction": 0.1}
SPLIT = ["-s", "validation_fraction=0.1", "-s", "test_fraction=0.1"]


@pytest.fixture
def corpus(cli, jsonl):
    """Make a corpus of the given texts in `corpus/`."""

    def make(texts):
        assert cli("clean", "-i", jsonl("texts.jsonl", texts), "-o", "corpus", "-s", "steps=[]").code == 0
        return "corpus"

    return make


def test_tokens_load_from_disk_and_are_the_tokenizers_own(chain):
    import datasets
    from tokenizers import Tokenizer

    found = datasets.load_from_disk(str(chain.tokens))
    assert isinstance(found, datasets.DatasetDict)
    tokenizer = Tokenizer.from_file(str(chain.tokens / "tokenizer.json"))
    expected = {"train": [], "validation": [], "test": []}
    for row in Corpus(chain.corpus).rows():
        ids = tokenizer.encode(row["text"], add_special_tokens=False).ids
        size = len(row["text"].encode("utf-8"))
        expected[split_of(row["text"], **FRACTIONS)].append((row["id"], row["source"], size, ids))
    for split, rows in expected.items():
        assert len(rows) > 10
        got = [(row["id"], row["source"], row["num_bytes"], row["input_ids"]) for row in found[split].to_list()]
        assert got == rows
    assert str(found["train"].features["input_ids"].feature.dtype) == "uint16"


def test_counts_are_those_of_the_rows(chain):
    import datasets

    found = datasets.load_from_disk(str(chain.tokens))
    counts = json.loads((chain.tokens / "tokens.json").read_text(encoding="utf-8"))
    assert counts["vocab_size"] == 400
    assert counts["splits"] == {
        split: {
            "documents": len(rows),
            "tokens": sum(map(len, rows["input_ids"])),
            "bytes": sum(rows["num_bytes"]),
            "unknown_bytes": 0,
            "lost_bytes": 0,
        }
        for split, rows in found.items()
    }
    assert read_manifest(chain.tokens).metrics["splits"] == counts["splits"]


def test_segments_start_at_sentences(cli, corpus):
    import datasets
    from tokenizers import Tokenizer

    corpus(["One two. Three four! 春天来了。花开了？End", "plain"])
    assert cli("tokenize", "-i", "corpus", "-o", "tokens", "--vocab-size", 262, "-s", "validation_fraction=0").code == 0
    tokenizer = Tokenizer.from_file("tokens/tokenizer.json")
    row = next(row for row in datasets.load_from_disk("tokens")["train"] if len(row["segments"]) > 1)
    bounds = [*row["segments"], len(row["input_ids"])]
    parts = [tokenizer.decode(row["input_ids"][a:b]).strip() for a, b in pairwise(bounds)]
    assert parts == ["One two.", "Three four!", "春天来了。", "花开了？", "End"]


def test_only_the_train_split_is_trained_on(chain):
    from llmkit.core.console import Console
    from llmkit.tokenization.trainers import TrainingText
    from llmkit.tokenization.trainers.bpe import Bpe

    texts = [row["text"] for row in Corpus(chain.corpus).rows()]
    train = [text for text in texts if split_of(text, **FRACTIONS) == "train"]
    assert 0 < len(train) < len(texts)
    again = Bpe(vocab_size=400).make(lambda: (TrainingText(text, "", "") for text in train), Console(quiet=True))
    stored = json.loads((chain.tokens / "tokenizer.json").read_text(encoding="utf-8"))
    assert json.loads(again.backend_tokenizer.to_str())["model"] == stored["model"]


def test_two_runs_give_the_same_artifact(cli, chain):
    assert cli("tokenize", "-i", chain.corpus, "--vocab-size", 400, *SPLIT, "-o", "again").code == 0
    assert read_manifest(Path("again")).id == read_manifest(chain.tokens).id


def test_special_tokens_in_text_are_text(cli, corpus):
    import datasets
    from transformers import AutoTokenizer

    literal = "a page about <|endoftext|> and <|im_end|> tokens"
    corpus([literal, *(f"number {i} of several" for i in range(30))])
    outcome = cli("tokenize", "-i", "corpus", "-o", "tokens", "--vocab-size", 300, "-s", "validation_fraction=0")
    assert outcome.code == 0
    tokenizer = AutoTokenizer.from_pretrained("tokens")
    special = {tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>")}
    assert special == {0, 1, 2, 3}
    rows = [row for part in datasets.load_from_disk("tokens").values() for row in part]
    texts = [tokenizer.decode(row["input_ids"]) for row in rows]
    assert literal in texts
    assert not special & {i for row in rows for i in row["input_ids"]}


def test_text_the_training_never_saw_survives(cli, chain, corpus):
    import datasets
    from transformers import AutoTokenizer

    texts = ["emoji 🦊 and Ελληνικά", "tabs\tand\r\n odd \x00 bytes", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢"]
    corpus(texts)
    arguments = ["--tokenizer", chain.base, "-s", "validation_fraction=0", "-s", "test_fraction=0", "-o", "tokens"]
    assert cli("tokenize", "-i", "corpus", *arguments).code == 0
    tokenizer = AutoTokenizer.from_pretrained("tokens")
    rows = datasets.load_from_disk("tokens")["train"]
    assert [tokenizer.decode(row["input_ids"], clean_up_tokenization_spaces=False) for row in rows] == [
        row["text"] for row in Corpus("corpus").rows()
    ]


def test_the_tokenizer_of_a_model_gives_the_tokens_it_was_trained_on(cli, chain):
    assert cli("tokenize", "-i", chain.corpus, "--tokenizer", chain.base, *SPLIT, "-o", "tokens").code == 0
    for split in ("train", "validation", "test"):
        ours, theirs = (Path(path) / split / "data-00000-of-00001.arrow" for path in ("tokens", chain.tokens))
        assert ours.read_bytes() == theirs.read_bytes()
    roles = {item["role"] for item in cli("lineage", "tokens", "--json").json["lineage"]["inputs"]}
    assert roles == {"inputs", "tokenizer"}


def test_two_corpora_follow_each_other(cli, chain, corpus):
    import datasets

    corpus(["one more document", "and another one"])
    arguments = ["-i", "corpus", "-i", chain.corpus, "--tokenizer", chain.base, "-o", "tokens"]
    assert cli("tokenize", *arguments, "-s", "validation_fraction=0", "-s", "test_fraction=0").code == 0
    rows = datasets.load_from_disk("tokens")["train"]
    ids = [row["id"] for path in (Path("corpus"), chain.corpus) for row in Corpus(path).rows()]
    assert rows["id"][:] == ids


def test_a_small_text_gives_fewer_tokens_and_says_so(cli, corpus):
    corpus(["tiny"])
    arguments = ["--vocab-size", 5000, "-s", "validation_fraction=0", "-s", "test_fraction=0"]
    outcome = cli("tokenize", "-i", "corpus", "-o", "tokens", *arguments)
    assert outcome.code == 0
    # 256 bytes, 4 specials, and the merges of one word of four letters.
    assert "note: the text gave only 263 of 5,000 tokens" in outcome.out


def test_a_split_without_documents_is_not_written(cli, corpus):
    corpus(["one", "two", "three"])
    arguments = ["--vocab-size", 300, "-s", "validation_fraction=0", "-s", "test_fraction=0"]
    assert cli("tokenize", "-i", "corpus", "-o", "tokens", *arguments).code == 0
    assert json.loads(Path("tokens/dataset_dict.json").read_text()) == {"splits": ["train"]}


def test_no_training_document_is_an_error(cli, corpus):
    texts = [text for text in (f"text {i}" for i in range(40)) if split_of(text, **FRACTIONS) == "test"]
    corpus(texts)
    outcome = cli("tokenize", "-i", "corpus", "-o", "tokens", "--vocab-size", 300, *SPLIT)
    assert outcome.code == 3
    assert "error: the train split is empty" in outcome.err
    assert not Path("tokens/llmkit.json").exists()


def test_a_special_token_of_one_character_is_refused(cli, chain):
    outcome = cli("tokenize", "-i", chain.corpus, "-s", "tokenizer.special_tokens=[a]", "-o", "out")
    assert outcome.code == 2
    assert "tokenizer.special_tokens: special token 'a' needs two characters or more" in outcome.err


NO_HELD_OUT = ["-s", "validation_fraction=0", "-s", "test_fraction=0"]


def shards(directory):
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(Path(directory).rglob("*.arrow"))}


def test_the_encoder_is_chosen_checked_and_recorded(cli, chain):
    arguments = ["-i", chain.corpus, "--tokenizer", chain.base, *SPLIT]
    assert cli("tokenize", *arguments, "-o", "auto").code == 0
    details = read_manifest(Path("auto")).details["encoder"]
    assert details["name"] == "gigatoken"
    assert details["documents_checked"] > 20
    assert details["differences"] == []
    # The same artifact, whichever encoder: nothing is to be done.
    outcome = cli("tokenize", *arguments, "-o", "auto", "-s", "encoder=tokenizers")
    assert outcome.code == 0
    assert "up to date" in outcome.out
    assert cli("tokenize", *arguments, "-o", "plain", "-s", "encoder=tokenizers").code == 0
    assert read_manifest(Path("plain")).details["encoder"]["documents_checked"] == 0
    assert read_manifest(Path("plain")).id == read_manifest(Path("auto")).id
    assert shards("plain") == shards("auto")


def test_raw_text_is_read_as_clean_reads_it(cli, jsonl, corpus):
    texts = ["First text. It has two sentences.", "第二篇。也有两句。", "third"]
    corpus(texts)
    arguments = ["--vocab-size", 300, *NO_HELD_OUT]
    assert cli("tokenize", "-i", "corpus", "-o", "cleaned", *arguments).code == 0
    assert cli("tokenize", "-i", "texts.jsonl", "-o", "raw", *arguments).code == 0
    assert shards("raw") == shards("cleaned")
    assert read_manifest(Path("raw")).metrics == read_manifest(Path("cleaned")).metrics
    lineage = cli("lineage", "raw", "--json").json["lineage"]["inputs"]
    assert [item["kind"] for item in lineage] == ["files"]


def test_raw_text_and_corpora_keep_their_order(cli, jsonl, corpus):
    import datasets

    corpus(["in the middle"])
    jsonl("a.jsonl", ["first", "second"])
    jsonl("b.jsonl", ["last"])
    inputs = ["-i", "a.jsonl", "-i", "corpus", "-i", "b.jsonl"]
    assert cli("tokenize", *inputs, "-o", "tokens", "--vocab-size", 300, *NO_HELD_OUT).code == 0
    assert datasets.load_from_disk("tokens")["train"]["source"][:] == ["a", "a", "texts", "b"]


def test_broken_rows_are_named_and_counted(cli, jsonl, tmp_path):
    path = jsonl("rows.jsonl", ["one", "two"])
    path.write_text(path.read_text() + '{"text": "cut o\n{"words": 1}\n')
    arguments = ["-i", path, "-o", "tokens", "--vocab-size", 300, *NO_HELD_OUT]
    outcome = cli("tokenize", "--max-failed", 0.9, *arguments)
    assert outcome.code == 0
    assert "rows.jsonl:3" in outcome.err
    assert "rows.jsonl:4" in outcome.err
    metrics = read_manifest(Path("tokens")).metrics
    assert (metrics["documents_failed"], metrics["splits"]["train"]["documents"]) == (2, 2)


def test_labelled_rows_are_refused(cli, jsonl):
    messages = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
    path = jsonl("chat.jsonl", [{"messages": messages}])
    outcome = cli("tokenize", "-s", f"inputs=[{{type: files, path: {path}, messages_field: messages}}]", "-o", "out")
    assert outcome.code == 2
    assert "gives labelled rows, not text" in outcome.err
    assert "llmkit finetune" in outcome.err


def test_an_empty_corpus_is_an_error(cli, tmp_path):
    Path("empty.jsonl").write_text("")
    outcome = cli("tokenize", "-i", "empty.jsonl", "-o", "tokens", "--vocab-size", 300)
    assert outcome.code == 3
    assert not Path("tokens/llmkit.json").exists()


def test_special_tokens_may_be_allowed(cli, jsonl):
    import datasets

    path = jsonl("texts.jsonl", ["a<|endoftext|>b"])
    arguments = ["-i", path, "--vocab-size", 300, *NO_HELD_OUT]
    assert cli("tokenize", *arguments, "-o", "text").code == 0
    assert cli("tokenize", *arguments, "-s", "allow_special=true", "-o", "special").code == 0
    ids = [datasets.load_from_disk(name)["train"][0]["input_ids"] for name in ("text", "special")]
    assert 0 not in ids[0]
    assert ids[1].count(0) == 1
    assert len(ids[1]) == 3


@pytest.fixture
def saved(tmp_path):
    """Save a byte-level tokenizer with chosen properties."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def save(name, alphabet=None, filler=0, **roles):
        letters = sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet is None else alphabet
        vocab = {token: i for i, token in enumerate(["<end>", *letters, *(f"filler{i}" for i in range(filler))])}
        backend = Tokenizer(models.BPE(vocab, []))
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(name)
        return name

    return save


def test_a_tokenizer_without_eos_is_noted(cli, jsonl, saved):
    path = jsonl("texts.jsonl", ["some text"])
    without, with_eos = saved("without"), saved("with", eos_token="<end>")
    assert "has no EOS token" in cli("tokenize", "-i", path, "--tokenizer", without, "-o", "a", *NO_HELD_OUT).out
    assert "has no EOS token" not in cli("tokenize", "-i", path, "--tokenizer", with_eos, "-o", "b", *NO_HELD_OUT).out


def test_lost_bytes_are_counted(cli, jsonl, saved):
    path = jsonl("texts.jsonl", ["abc中", "cab"])
    tokenizer = saved("small", alphabet=["a", "b", "c"], eos_token="<end>")
    outcome = cli("tokenize", "-i", path, "--tokenizer", tokenizer, "-o", "tokens", *NO_HELD_OUT)
    assert outcome.code == 0
    assert "note: 3 bytes of text have no token" in outcome.out
    assert "note: 33.3% of the bytes are lost by the tokenizer; training gives no bits per byte" in outcome.out
    assert read_manifest(Path("tokens")).metrics["bytes_lost"] == 3
    counts = json.loads(Path("tokens/tokens.json").read_text(encoding="utf-8"))["splits"]["train"]
    assert (counts["unknown_bytes"], counts["lost_bytes"]) == (0, 3)


@pytest.mark.parametrize(("size", "dtype"), [(2**16, "uint16"), (2**16 + 1, "uint32")])
def test_a_large_vocabulary_takes_four_bytes(cli, jsonl, saved, size, dtype):
    import datasets

    path = jsonl("texts.jsonl", ["some text"])
    tokenizer = saved("large", filler=size - 257, eos_token="<end>")
    assert cli("tokenize", "-i", path, "--tokenizer", tokenizer, "-o", "tokens", *NO_HELD_OUT).code == 0
    assert json.loads(Path("tokens/tokens.json").read_text())["dtype"] == dtype
    assert str(datasets.load_from_disk("tokens")["train"].features["input_ids"].feature.dtype) == dtype


def test_workers_and_ray_give_the_same_bytes(cli, chain, monkeypatch):
    from llmkit.data import corpus
    from llmkit.tokenization import plan

    monkeypatch.setattr(corpus, "ROWS_PER_WRITE", 16)  # small row groups
    monkeypatch.setattr(plan, "TASK_BYTES", 3000)
    assert cli("clean", "-i", chain.root / "texts.jsonl", "-o", "corpus", "-s", "steps=[]").code == 0
    assert len(plan.cut_pieces([Path("corpus")])) > 4
    arguments = ["-i", "corpus", "--tokenizer", chain.base, *SPLIT]
    for name in ("workers=1", "workers=2", "engine=ray"):
        assert cli("tokenize", *arguments, "-s", name, "-o", name).code == 0
        assert shards(name) == shards("workers=1")
        assert read_manifest(Path(name)).details["encoder"]["name"] == "gigatoken"
    assert len({read_manifest(Path(name)).id for name in ("workers=1", "workers=2", "engine=ray")}) == 1


@pytest.mark.parametrize(
    ("fraction", "why"),
    [("0", "validation_fraction is 0"), ("0.001", "too few documents for validation_fraction 0.001")],
)
def test_no_validation_split_is_said_here_and_where_it_is_missed(cli, fraction, why, tmp_path):
    rows = "".join(json.dumps({"text": f"A few words of text, number {i}."}) + "\n" for i in range(20))
    (tmp_path / "few.jsonl").write_text(rows)
    split = ["-s", f"validation_fraction={fraction}", "-s", "test_fraction=0"]
    outcome = cli("tokenize", "-i", tmp_path / "few.jsonl", "-o", "tokens", "--vocab-size", 300, *split, "--json")
    assert f"no validation split ({why}): pretrain has nothing to validate on" in outcome.json["notes"]
    sizes = "hidden_size: 8, intermediate_size: 16, num_hidden_layers: 1, num_attention_heads: 2"
    model = f"model={{arch: llama, config: {{{sizes}}}}}"
    train = ["--data", "tokens", "--max-steps", 1, "-s", model, "-s", "context_length=16", "-s", "batch_tokens=16"]
    outcome = cli("pretrain", *train, "-o", "model")
    said = "no validation split: nothing says how the model does on text that it has not seen"
    assert outcome.code == 0
    assert said in outcome.err
    assert f"  note: {said}\n" in outcome.out
    outcome = cli("pretrain", *train, "-o", "again", "--json")
    assert outcome.json["notes"] == [said]
