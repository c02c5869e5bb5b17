from __future__ import annotations

import ast
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import llmkit
from llmkit.data.artifacts import Corpus, Examples, Export, Model, Predictions, Scores, Tokens

ROOT = Path(llmkit.__file__).parent
CLASSES = (Corpus, Examples, Tokens, Model, Scores, Export, Predictions)
ELSEWHERE = {
    "core/found.py": "bookkeeping of any data set that `datasets` has saved",
    "data/sources/_formats/__init__.py": "bookkeeping of any data set that `datasets` has saved",
    "data/sources/hf.py": "bookkeeping of any data set that `datasets` has saved",
    "training/resume.py": "state.json of a checkpoint",
}


def names():
    """Return every name and pattern that a class has, and that of the files it makes names for.

    The names that transformers gives are everybody's, and `rejected` is a word.
    """
    found = {Corpus.shard_name(0), "tokens.json", *Model.KEPT.logs, Model.KEPT.folder}
    for artifact in CLASSES:
        found |= {v for k, v in vars(artifact).items() if k.isupper() and isinstance(v, str) and k != "KIND"}
        found |= {*getattr(artifact, "PAYLOAD", ()), artifact.CARD, artifact.REPORT}
    return found - {*Model.PAYLOAD, "tensorboard", "rejected"}


def known_to(source: str, wanted: set[str]) -> set[str]:
    """Return the names among the strings of a module, docstrings left out."""
    tree = ast.parse(source)
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in docstrings)
    return {node.value for node in strings if isinstance(node.value, str)} & wanted


def test_nobody_else_knows_the_names():
    wanted = names()
    assert {"README.md", "report.html", "tokens.json", "dataset_dict.json", "data-*.parquet", "results.json"} <= wanted
    assert {"metrics.jsonl", "parity.json", "*/data-*.arrow", "checkpoints"} <= wanted
    assert known_to('"""README.md"""\npath / "report.html"', wanted) == {"report.html"}
    found = {
        path.relative_to(ROOT).as_posix(): known
        for path in ROOT.rglob("*.py")
        if "data/artifacts" not in path.as_posix() and (known := known_to(path.read_text(encoding="utf-8"), wanted))
    }
    assert {path: known for path, known in found.items() if path not in ELSEWHERE} == {}
    assert set(found) == set(ELSEWHERE)


def test_kinds_are_told_apart():
    assert [artifact.KIND for artifact in CLASSES] == [
        "corpus",
        "examples",
        "tokens",
        "model",
        "eval",
        "export",
        "predictions",
    ]
    assert Model.KINDS == ("model", "export")


def test_a_corpus_is_read_in_the_order_of_its_shards(tmp_path):
    for number in (10, 2, 100_000):
        table = pa.table({"id": [f"{number}a", f"{number}b"], "text": ["x", "y"]})
        pq.write_table(table, tmp_path / Corpus.shard_name(number))
    (tmp_path / "rejected").mkdir()
    pq.write_table(table, tmp_path / "rejected" / "sample.parquet")
    corpus = Corpus(tmp_path)
    assert [path.name for path in corpus.files()] == ["data-00002.parquet", "data-00010.parquet", "data-100000.parquet"]
    assert [row["id"] for row in corpus.rows()] == ["2a", "2b", "10a", "10b", "100000a", "100000b"]
    assert next(corpus.rows(["text"])) == {"text": "x"}


@pytest.mark.parametrize(
    ("name", "is_shard"),
    [
        ("data-00000.parquet", True),
        ("sample.parquet", False),
        ("data-00000.parquet.tmp", False),
        ("report.json", False),
    ],
)
def test_the_data_is_told_by_its_name(name, is_shard):
    assert Corpus.is_shard(name) == is_shard


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_facts_of_tokens(tmp_path, vocab_size, dtype):
    tokens = Tokens(tmp_path)
    assert not tokens.is_there()
    splits = {"train": {"documents": 1, "tokens": 2, "bytes": 3}}
    fractions = {"validation_fraction": 0.1, "test_fraction": 0.2}
    tokens.write_facts(vocab_size=vocab_size, tokenizer_digest="d", splits=splits, fractions=fractions)
    assert tokens.is_there()
    written = {"vocab_size": vocab_size, "dtype": dtype, "tokenizer_digest": "d", "splits": splits, **fractions}
    assert Tokens(tmp_path).facts == written
    assert list(json.loads((tmp_path / "tokens.json").read_text())) == list(written), "the order is part of the id"
    (tmp_path / "train").mkdir()
    assert (tokens.has("train"), tokens.has("validation")) == (True, False)
    assert [Tokens.shard_name(i, 12) for i in (0, 11)] == ["data-00000-of-00012.arrow", "data-00011-of-00012.arrow"]


def test_samples_come_back_by_the_name_of_their_task(tmp_path):
    scores = Scores(tmp_path)
    scores.write_samples("generation-2", [{"n": 3}])
    scores.write_samples("generation", [{"n": 1, "text": "甲\u2028乙"}, {"n": 2}])
    scores.write_samples("answers", [{"n": 4}])
    assert [sample["n"] for sample in scores.samples("generation")] == [1, 2]
    assert [sample["n"] for sample in scores.samples("generation-2")] == [3]
    assert [*scores.samples("answers")] == [{"n": 4}]
    assert [*scores.samples("perplexity")] == []


def test_what_an_exporter_has_written(tmp_path):
    for name in ("run.json", "lock", "model.safetensors", "sub/part.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    export = Export(tmp_path)
    assert [path.name for path in export.files()] == ["model.safetensors", "part.bin"]
    export.write_parity({"passed": True})
    assert json.loads((tmp_path / "parity.json").read_text()) == {"passed": True}
