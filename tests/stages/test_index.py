"""index and search through the command line: what goes in is found, whoever kills the run, and nothing else is said."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_interrupt import strike

from headed import BODY, SENTIMENT, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.retrieval import Retriever
from texts import sentences

PAGES = [
    {"text": "The harbour of Oslo freezes in winter. Ships wait outside. 港口在冬天结冰。", "url": "u/1"},
    {"text": "Lima lies by the sea. It seldom rains there.", "url": "u/2"},
    {"text": "天下大势，分久必合，合久必分。曹操字孟德，沛国谯县人。", "url": "u/3"},
]


def search(cli, *words):
    outcome = cli("search", *words, "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json["passages"]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in ("llmkit.json", "inputs.jsonl")
    }


def test_documents_are_found_with_their_places_in_english_and_chinese(cli, jsonl):
    data = jsonl("pages.jsonl", PAGES)
    outcome = cli("index", "-i", data, "-s", "max_words=8", "-o", "idx")
    assert outcome.code == 0, outcome.err
    assert "inputs.0: documents from 'text'" in outcome.err
    assert "passages  9 of 3 rows" in outcome.out
    assert "none: found by words alone" in outcome.out
    (first, *_) = search(cli, "idx", "Is LIMA by the sea?")
    assert (first["text"], first["ranks"], first["meta"]) == ("Lima lies by the sea.", {"words": 1}, {"url": "u/2"})
    for passage in search(cli, "idx", "孟德是谁"):
        text = PAGES[2]["text"]
        assert passage["text"] == text[passage["start"] : passage["end"]]
        assert passage["file"] == "pages.jsonl"
    shown = cli("search", "idx", "港口 结冰", "-k", "1")
    assert shown.out == "[1] pages.jsonl, row 1, characters 59 to 67 (words 1)\n    港口在冬天结冰。\n"
    assert cli("lineage", "idx", "--verify").code == 0
    assert "passages" in cli("summary", "idx").out
    assert read_manifest(Path("idx")).metrics["passages"] == 9
    again = cli("index", "-i", data, "-s", "max_words=8", "-o", "idx", "--json")
    assert again.json["status"] == "up to date"


def test_a_corpus_rows_and_triples(cli, jsonl, tmp_path):
    assert cli("clean", "-i", jsonl("pages.jsonl", PAGES), "-s", "steps=[]", "-o", "corpus").code == 0
    (tmp_path / "cities.csv").write_text("city,country,people\nOslo,Norway,709000\nLima,,10092000\n")
    facts = [{"subject": "曹操", "relation": "字", "object": "孟德"}, {"subject": "", "relation": "字", "object": "x"},
             {"head": 1}]  # fmt: skip
    outcome = cli("index", "-i", "corpus", "-i", "cities.csv", "-i", jsonl("facts.jsonl", facts), "-o", "idx")
    assert outcome.code == 0, outcome.err
    assert "inputs.1: rows of a table, all columns of each" in outcome.err
    assert "inputs.2: triples of 'subject', 'relation', 'object'" in outcome.err
    assert "6 of 8 rows, 2 without words" in outcome.out
    (row, *_) = search(cli, "idx", "10092000")
    assert (row["text"], row["kind"], row["file"]) == ("city: Lima; people: 10092000", "row", "cities.csv")
    found = search(cli, "idx", "孟德是谁的字？")
    triple = next(one for one in found if one["kind"] == "triple")
    assert (triple["text"], triple["ranks"]["entities"]) == ("曹操 字 孟德", 1)
    document = next(one for one in found if one["kind"] == "document")
    assert document["document"] == json.loads(cli("search", "idx", "谯县", "--json").out)["passages"][0]["document"]
    assert "corpus" in cli("lineage", "idx").out
    from datasets import load_dataset

    assert load_dataset("idx", split="train", cache_dir="cache").num_rows == 6


@pytest.fixture
def vectors(cli, jsonl, tmp_path):
    model = save_headed(tmp_path / "model", BODY)
    data = jsonl("texts.jsonl", sentences(40, seed=5))
    outcome = cli("index", "-i", data, "--model", model, "-s", "max_words=8", "-o", "idx")
    assert outcome.code == 0, outcome.err
    assert "16 dimensions" in outcome.out
    return model


def test_vectors_are_the_models_and_the_nearest_come_first(cli, vectors):
    from llmkit.runtimes import Embed
    from llmkit.runtimes.transformers import Transformers

    retriever = Retriever.open("idx")
    texts = retriever.table["text"].to_pylist()
    running = Transformers().load(str(vectors))
    expected = np.array(running.answer([Embed(text) for text in [*texts, "the sea"]]))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.load("idx/vectors.npy"), expected[:-1], atol=1e-5)
    cosines = expected[:-1] @ expected[-1]
    found = retriever.search("the sea", 4, by="vectors")
    assert [one.score for one in found] == pytest.approx(sorted(cosines)[::-1][:4], abs=1e-5)
    assert found[0].text == texts[int(cosines.argmax())]
    both = retriever.search("the sea", 4)
    assert {way for one in both for way in one.ranks} == {"words", "vectors"}
    assert [one.score for one in both] == sorted((one.score for one in both), reverse=True)


@pytest.mark.parametrize("name", ["vectors.npy", "data-00000.parquet", "bm25/data.csc.index.npy"])
def test_flipped_bytes_are_found_by_the_search_that_reads_them(cli, vectors, name):
    file = Path("idx", name)
    content = bytearray(file.read_bytes())
    content[len(content) * 3 // 4] ^= 16
    file.write_bytes(content)
    outcome = cli("search", "idx", "the sea")
    assert (outcome.code, outcome.out) == (3, "")
    assert f"index: idx is damaged: {name} is not what was written" in outcome.err
    assert "llmkit lineage idx --verify" in outcome.err
    if name == "vectors.npy":
        assert search(cli, "idx", "the sea", "--by", "words")


def test_a_question_that_is_not_utf8_is_refused(cli, vectors):
    outcome = cli("search", "idx", "x\udcff")
    assert (outcome.code, "QUESTION is not UTF-8 (character 2)" in outcome.err) == (2, True), outcome.err
    for locale in ("C", "C.UTF-8"):
        piped = subprocess.run(
            [sys.executable, "-m", "llmkit", "search", "idx"], input=b"x\xff", capture_output=True, check=False,
            env={**os.environ, "LC_ALL": locale},
        )  # fmt: skip
        assert (piped.returncode, b"stdin is not UTF-8" in piped.stderr) == (2, True), piped.stderr


def test_the_model_may_move_and_no_other_takes_its_place(cli, vectors, tmp_path):
    shutil.move(vectors, tmp_path / "moved")
    gone = cli("search", "idx", "sea")
    assert gone.code == 3
    assert "the model that made the vectors is not at" in gone.err
    assert "llmkit search idx --model DIR" in gone.err
    assert search(cli, "idx", "sea", "--by", "words") is not None
    assert search(cli, "idx", "sea", "--model", "moved")
    other = save_headed(tmp_path / "other", BODY, hidden_act="relu")
    refused = cli("search", "idx", "sea", "--model", other)
    assert refused.code == 3
    assert "is not the one that made the vectors" in refused.err


@pytest.mark.parametrize(
    "place",
    ["000002.tmp", *(pytest.param(name, marks=pytest.mark.slow)
                     for name in ("000001.parquet", "words/000000.tmp", "bm25/vocab.index.json"))],
)  # fmt: skip
def test_a_killed_run_goes_on_to_the_same_bytes(cli, jsonl, tmp_path, monkeypatch, place):
    monkeypatch.setattr("llmkit.retrieval.building.WINDOW_ROWS", 8)
    model = save_headed(tmp_path / "model", BODY)
    data = jsonl("texts.jsonl", [*sentences(20, seed=5), "曹操字孟德。"])
    command = ["index", "-i", str(data), "--model", str(model)]
    script = "import llmkit.retrieval.building as building\nbuilding.WINDOW_ROWS = 8\n"
    killed = strike(command, place, 1, signal.SIGKILL, prelude=script)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not Path("out/llmkit.json").exists()
    assert cli(*command, "-o", "out").code == 0
    assert cli(*command, "-o", "straight").code == 0
    assert digests("out") == digests("straight")
    assert read_manifest(Path("out")).id == read_manifest(Path("straight")).id


def test_bad_input_is_told_in_words(cli, jsonl, tmp_path):
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "broken.jsonl").write_text("{broken\n{worse\n")
    cases = [
        (("index", "-i", "empty.jsonl", "-o", "out"), 3, "the input has no rows"),
        (("index", "-i", "gone.jsonl", "-o", "out"), 3, "no such file"),
        (("index", "-i", "broken.jsonl", "-o", "out"), 3, "2 of 2 rows unreadable"),
        (("index", "-i", jsonl("dots.jsonl", ["...", "!"]), "-o", "out"), 3, "none of the 2 rows has a word"),
        (("index", "-i", "dots.jsonl", "-s", "overlap=150", "-o", "out"), 2, "more than half of each passage"),
        (("index", "-i", jsonl("pages.jsonl", PAGES), "--model", "none", "-o", "out"), 3, "no such directory: none"),
        (("index", "-i", "pages.jsonl", "--model", save_headed(tmp_path / "head", SENTIMENT), "-o", "out"), 3,
         "does not answer embed requests"),
        (("index", "-i", "pages.jsonl", "-s", "inputs.0.text_field=txt", "-o", "out"), 3,
         "no column 'txt'; did you mean 'text'?"),
        (("search", "pages.jsonl", "x"), 3, "pages.jsonl"),
        (("search", "pages.jsonl", "x"), 3, "-> llmkit index -i pages.jsonl -o DIR makes one"),
        (("search", "head", "x"), 3, "-> llmkit index -i TEXTS --model head -o DIR makes one"),
        (("search", "gone", "x"), 3, "no such directory: gone"),
    ]  # fmt: skip
    for command, code, words in cases:
        outcome = cli(*command)
        assert (outcome.code, words in outcome.err, "Traceback" in outcome.err) == (code, True, False), outcome.err
        assert not Path("out").exists() or not any(Path("out").iterdir())


def test_searches_that_find_nothing_or_ask_nothing(cli, jsonl, monkeypatch):
    data = jsonl("pages.jsonl", PAGES)
    assert cli("index", "-i", data, "-o", "idx").code == 0
    nothing = cli("search", "idx", "zyzzyva")
    assert (nothing.code, nothing.out) == (0, "")
    assert "nothing found: no passage has a word of the question" in nothing.err
    assert search(cli, "idx", "zyzzyva") == []
    for words, said in (("--by", "vectors"), "by vectors: the index in 'idx' has no vectors"), (
        ("--model", "m"), "--model: the index in 'idx' has no vectors"
    ):  # fmt: skip
        outcome = cli("search", "idx", "sea", *words)
        assert (outcome.code, said in outcome.err) == (2, True), outcome.err
    piped = subprocess.run(
        [sys.executable, "-m", "llmkit", "search", "idx"], input="Lima\n", capture_output=True, text=True, check=False
    )
    assert (piped.returncode, "Lima lies by the sea." in piped.stdout) == (0, True)
    empty = subprocess.run(
        [sys.executable, "-m", "llmkit", "search", "idx"], input=" \n", capture_output=True, text=True, check=False
    )
    assert empty.returncode == 2
    assert "QUESTION: there is nothing to look for" in empty.stderr
    assert cli("clean", "-i", data, "-o", "corpus").code == 0
    wrong = cli("search", "corpus", "sea")
    assert wrong.code == 3
    assert "corpus holds a corpus, not an index" in wrong.err
    assert "-> llmkit index -i corpus -o DIR makes one" in wrong.err
    asked = cli("predict", "idx", "-i", data, "-o", "labels")
    assert (asked.code, "-> passages are found by llmkit search idx" in asked.err) == (3, True), asked.err


def test_broken_rows_are_counted_or_stop_the_run(cli, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a boat"}\n{broken\n{"text": "the sea"}\n')
    outcome = cli("index", "-i", "rows.jsonl", "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    assert "rows.jsonl:2: invalid JSON" in outcome.err
    metrics = outcome.json["metrics"]
    assert [metrics[name] for name in ("rows_read", "rows_failed", "passages")] == [3, 1, 2]
    strict = cli("index", "-i", "rows.jsonl", "-o", "strict", "--strict")
    assert strict.code == 3
    assert "rows.jsonl:2: invalid JSON" in strict.err


def test_what_a_model_does_not_read_of_a_passage_is_said(cli, jsonl, tmp_path):
    model = save_headed(tmp_path / "model", BODY)
    outcome = cli("index", "-i", jsonl("long.jsonl", ["word " * 60, "short"]), "--model", model, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "1 of 2 passages are longer than what the model reads" in outcome.err
    assert "-s max_words=100" in outcome.err
