"""predict through the command line: any rows in, the same rows with a model's answers out, in their order."""

from __future__ import annotations

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers

from headed import BODY, NAMES, POSITIONS, READER, SENTIMENT, STARS, TOPICS, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.prediction.outputs import distinct
from texts import sentences

TEXTS = sentences(30, seed=3)


@pytest.fixture
def model(tmp_path):
    return save_headed(tmp_path / "model", SENTIMENT)


def rows_of(out="out"):
    return [row for file in sorted(Path(out).glob("data-*.parquet")) for row in pq.read_table(file).to_pylist()]


def logits(folder, *texts):
    """What transformers gives for one row alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(folder)
    loaded = getattr(transformers, config.architectures[0]).from_pretrained(folder)
    with torch.no_grad():
        found = loaded(**tokenizer(*texts, return_tensors="pt", truncation=True, max_length=POSITIONS))
    return found.logits[0] if "logits" in found else found.last_hidden_state[0]


def test_labels_of_rows_in_their_order(cli, jsonl, model):
    data = jsonl("reviews.jsonl", [{"text": text, "stars": i, "url": f"u/{i}"} for i, text in enumerate(TEXTS)])
    outcome = cli("predict", model, "-i", data, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "inputs.0: text from 'text'" in outcome.err
    assert "model: sequence_classification, float32 on cpu, 48 tokens a text" in outcome.err
    assert "30 of 30 have an answer" in outcome.out
    rows = rows_of()
    assert [row["text"] for row in rows] == TEXTS
    assert [(row["source"], row["file"], row["row"]) for row in rows] == [
        ("reviews", "reviews.jsonl", i) for i in range(30)
    ]
    assert [json.loads(row["meta"]) for row in rows] == [{"stars": i, "url": f"u/{i}"} for i in range(30)]
    for text, row in zip(TEXTS, rows, strict=True):
        shares = logits(model, text).softmax(-1).tolist()
        assert list(row["scores"].values()) == pytest.approx(shares, abs=1e-5)
        assert row["label"] == SENTIMENT["labels"][int(np.argmax(shares))]
        assert row["score"] == pytest.approx(max(shares), abs=1e-5)
    manifest = read_manifest(Path("out"))
    assert manifest.kind == "predictions"
    assert manifest.metrics["said"] == {
        name: sum(row["label"] == name for row in rows) for name in manifest.metrics["said"]
    }
    assert sorted(item.role for item in manifest.inputs) == ["files", "model"]
    assert cli("lineage", "out", "--verify").code == 0
    assert "said" in cli("summary", "out").out

    again = cli("predict", "--model", model, "-i", data, "-o", "out", "--json")
    assert (again.code, again.json["status"]) == (0, "up to date")


def test_the_ids_are_those_of_a_corpus_and_a_corpus_keeps_its_own(cli, jsonl, model):
    data = jsonl("texts.jsonl", TEXTS)
    assert cli("clean", "-i", data, "-s", "steps=[]", "-o", "corpus").code == 0
    assert cli("predict", model, "-i", data, "-o", "out").code == 0
    assert cli("predict", model, "-i", "corpus", "-o", "again").code == 0
    ids = pq.read_table("corpus/data-00000.parquet")["id"].to_pylist()
    assert [row["id"] for row in rows_of()] == [row["id"] for row in rows_of("again")] == ids
    assert {(row["source"], row["meta"]) for row in rows_of("again")} == {("texts", "{}")}
    assert "corpus" in cli("lineage", "again").out
    from datasets import load_dataset

    assert load_dataset("out", split="train", cache_dir="cache")[3]["text"] == TEXTS[3]


def test_predictions_are_read_on_as_a_table(cli, jsonl, model):
    assert cli("predict", model, "-i", jsonl("texts.jsonl", TEXTS), "-o", "out").code == 0
    outcome = cli("clean", "-i", "out", "-o", "corpus")
    assert outcome.code == 3
    assert "it holds predictions, not a corpus" in outcome.err
    assert "'out/data-*.parquet'" in outcome.err
    assert cli("predict", model, "-i", "out/data-*.parquet", "-o", "again", "-s", "keep=[label]").code == 0
    pairs = zip(rows_of(), rows_of("again"), strict=True)
    assert all(one["label"] == json.loads(other["meta"])["label"] == other["label"] for one, other in pairs)


def test_rows_without_a_text_are_kept_and_unreadable_ones_are_counted(cli, tmp_path, model):
    lines = [
        '{"text": "a boat"}',
        '{"text": "  ", "n": 1}',
        "{broken",
        '{"n": 2}',
        '{"text": 5}',
        '{"text": "the sea"}',
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + "\n")
    outcome = cli("predict", model, "-i", "rows.jsonl", "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert [metrics[f"rows_{name}"] for name in ("read", "predicted", "without_text", "failed")] == [6, 2, 2, 2]
    assert "rows.jsonl:3: invalid JSON" in outcome.err
    assert "field 'text' is a number, not a string" in outcome.err
    assert "2 of 6 rows lack a text: their answers are null" in outcome.err
    rows = rows_of()
    assert [(row["row"], row["text"], row["label"] is None, row["scores"] is None) for row in rows] == [
        (0, "a boat", False, False), (1, None, True, True), (3, None, True, True), (5, "the sea", False, False),
    ]  # fmt: skip
    rejected = pq.read_table("out/rejected/sample.parquet").to_pylist()
    assert [(row["row"], row["line"]) for row in rejected] == [(2, 3), (4, None)]
    assert rejected[1]["excerpt"] == "{'text': 5}"

    strict = cli("predict", model, "-i", "rows.jsonl", "-o", "strict", "--strict")
    assert strict.code == 3
    assert "rows.jsonl:3: invalid JSON" in strict.err
    few = cli("predict", model, "-i", "rows.jsonl", "-o", "few", "--max-failed", "0.2")
    assert few.code == 3
    assert "2 of 6 rows unreadable" in few.err


def test_tables_with_other_names_several_files_and_gzip(cli, tmp_path, model):
    (tmp_path / "more").mkdir()
    (tmp_path / "more/a.csv").write_text("id,body\n7,a boat\n8,the sea\n")
    with gzip.open(tmp_path / "more/b.jsonl.gz", "wt") as file:
        file.write('{"body": "wind", "id": 9}\n')
    (tmp_path / "note.txt").write_text("One document.")
    outcome = cli("predict", model, "-i", "more", "-i", "note.txt", "-o", "out", "-s", "keep=[id]")
    assert outcome.code == 3  # the text file has no column `id`
    assert "keep: inputs.1 has no column 'id'" in outcome.err
    outcome = cli("predict", model, "-i", "more", "-o", "out", "-s", "keep=[id]")
    assert outcome.code == 0, outcome.err
    assert "text from 'body'" in outcome.err
    rows = rows_of()
    assert "text" not in rows[0]
    assert [(row["file"], row["row"], row["meta"]) for row in rows] == [
        ("a.csv", 0, '{"id": "7"}'), ("a.csv", 1, '{"id": "8"}'), ("b.jsonl.gz", 0, '{"id": 9}'),
    ]  # fmt: skip
    assert cli("predict", model, "-i", "note.txt", "-o", "note").code == 0
    assert rows_of("note")[0]["text"] == "One document."


def test_pairs(cli, jsonl, model):
    data = jsonl("pairs.jsonl", [{"premise": "a boat", "hypothesis": "the sea"}, {"premise": "wind", "hypothesis": ""}])
    outcome = cli("predict", model, "-i", data, "-o", "out", "--text-field", "premise", "--column", "pair=hypothesis")
    assert outcome.code == 0, outcome.err
    first, second = rows_of()
    assert list(first["scores"].values()) == pytest.approx(
        logits(model, "a boat", "the sea").softmax(-1).tolist(), abs=1e-5
    )
    assert (second["text"], second["pair"], second["label"]) == ("wind", None, None)


def test_several_labels_and_thresholds(cli, jsonl, tmp_path):
    model, data = save_headed(tmp_path / "model", TOPICS), jsonl("texts.jsonl", TEXTS)
    assert cli("predict", model, "-i", data, "-o", "out", "-s", "threshold={good: 0.9}").code == 0
    for text, row in zip(TEXTS, rows_of(), strict=True):
        shares = dict(zip(TOPICS["labels"], logits(model, text).sigmoid().tolist(), strict=True))
        assert row["scores"] == pytest.approx(shares, abs=1e-5)
        assert row["labels"] == [name for name, share in shares.items() if share >= (0.9 if name == "good" else 0.5)]
    outcome = cli("predict", model, "-i", data, "-o", "no", "-s", "threshold={god: 0.9}")
    assert outcome.code == 2
    assert "threshold.god: the model has no such label; did you mean 'good'?" in outcome.err


def test_below_its_threshold_a_label_is_null(cli, jsonl, model):
    data = jsonl("texts.jsonl", TEXTS)
    assert cli("predict", model, "-i", data, "-o", "all").code == 0
    scores = sorted(row["score"] for row in rows_of("all"))
    _, middle = max((b - a, (a + b) / 2) for a, b in pairwise(scores))  # not near any of them
    assert cli("predict", model, "-i", data, "-o", "out", "-s", f"threshold={middle}").code == 0
    assert [row["label"] is None for row in rows_of()] == [row["score"] < middle for row in rows_of("all")]


def test_numbers(cli, jsonl, tmp_path):
    model, data = save_headed(tmp_path / "model", STARS), jsonl("texts.jsonl", TEXTS)
    outcome = cli("predict", model, "-i", data, "-o", "out")
    assert outcome.code == 0, outcome.err
    expected = [logits(model, text).item() for text in TEXTS]
    assert [row["number"] for row in rows_of()] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_spans_of_names(cli, jsonl, tmp_path):
    model, texts = save_headed(tmp_path / "model", NAMES), ["Ann Lee at sea, 9 x.", "  no ", *TEXTS]
    outcome = cli("predict", model, "-i", jsonl("texts.jsonl", texts), "-o", "out")
    assert outcome.code == 0, outcome.err
    rows = rows_of()
    spans = [span for row in rows for span in row["spans"]]
    assert spans
    assert {span["label"] for span in spans} <= {"PER", "LOC"}
    assert all(row["text"][span["start"] : span["end"]] == span["text"] for row in rows for span in row["spans"])
    assert all(0 < span["score"] <= 1 for span in spans)


def test_answers_to_questions(cli, jsonl, tmp_path):
    model = save_headed(tmp_path / "model", READER)
    data = jsonl(
        "asked.jsonl", [{"question": "who?", "context": "Ann and Bob at sea"}, {"question": "", "context": "x"}]
    )
    outcome = cli("predict", model, "-i", data, "-o", "out")
    assert outcome.code == 0, outcome.err
    assert "question from 'question', text from 'context'" in outcome.err
    first, second = rows_of()
    if first["answer"] is not None:
        assert first["text"][first["start"] : first["end"]] == first["answer"]
        assert first["score"] >= first["no_answer_score"]
    assert (second["answer"], second["score"]) == (None, None)


def test_vectors_of_a_body_and_of_any_other_model(cli, jsonl, tmp_path, model):
    data = jsonl("texts.jsonl", TEXTS)
    body = save_headed(tmp_path / "body", BODY)
    assert cli("predict", body, "-i", data, "-o", "out").code == 0
    table = pq.read_table("out/data-00000.parquet")
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[16]"
    for text, vector in zip(TEXTS, table["vector"].to_pylist(), strict=True):
        assert vector == pytest.approx(logits(body, text).mean(0).tolist(), rel=1e-3, abs=1e-5)
    outcome = cli("predict", model, "-i", data, "-o", "other", "-s", "answer=vector")
    assert outcome.code == 0, outcome.err
    assert "embedding, float32 on cpu, 48 tokens a text; mean of the tokens' vectors" in outcome.err
    assert len(rows_of("other")[0]["vector"]) == 16


def test_the_pooling_of_sentence_transformers_is_part_of_what_is_read(cli, jsonl, tmp_path):
    body, data = save_headed(tmp_path / "body", BODY), jsonl("texts.jsonl", TEXTS[:3])
    names = ["Transformer", "Pooling", "Normalize"]
    (body / "modules.json").write_text(
        json.dumps([{"path": f"{i}_{name}", "type": name} for i, name in enumerate(names)])
    )
    (body / "1_Pooling").mkdir()
    (body / "1_Pooling/config.json").write_text('{"pooling_mode_cls_token": true}')
    assert cli("predict", body, "-i", data, "-o", "out").code == 0
    vector = logits(body, TEXTS[0])[0]
    assert rows_of()[0]["vector"] == pytest.approx((vector / vector.norm()).tolist(), rel=1e-3, abs=1e-5)
    (body / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true}')
    changed = cli("predict", body, "-i", data, "-o", "out")
    assert changed.code == 2
    assert "finished, from another run" in changed.err


def test_long_texts_are_cut_and_counted(cli, jsonl, model):
    data = jsonl("long.jsonl", ["short", "word " * 40])
    outcome = cli("predict", model, "-i", data, "-o", "out", "--json")
    assert outcome.json["metrics"]["rows_cut"] == 1
    assert "1 texts are longer than what the model reads, and were cut at their end" in outcome.err
    shorter = cli("predict", model, "-i", data, "-o", "less", "-s", "max_tokens=4", "--json")
    assert shorter.json["metrics"]["rows_cut"] == 2


def test_bf16_is_near(cli, jsonl, model):
    data = jsonl("texts.jsonl", TEXTS)
    assert cli("predict", model, "-i", data, "-o", "out").code == 0
    assert cli("predict", model, "-i", data, "-o", "half", "-s", "precision=bf16").code == 0
    pairs = [(a["score"], b["score"]) for a, b in zip(rows_of(), rows_of("half"), strict=True)]
    assert 0 < max(abs(a - b) for a, b in pairs) < 0.1


def test_the_report_shows_what_was_said_and_escapes_it(cli, jsonl, tmp_path):
    labels = ["<b>bad</b>", "good & well"]
    model = save_headed(tmp_path / "model", {**SENTIMENT, "labels": labels})
    data = jsonl("texts.jsonl", [*TEXTS, "<script>alert(1)</script>", "write to ann@example.org"])
    assert cli("predict", model, "-i", data, "-o", "out").code == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "<script>" not in page
    assert "<b>bad</b> (" not in page
    assert "&lt;b&gt;bad&lt;/b&gt;" in page or "good &amp; well" in page
    assert "Least sure rows" in page
    assert "ann@example.org" not in page
    assert (
        "| `scores` | struct&lt;" in Path("out/README.md").read_text()
        or "`scores`" in Path("out/README.md").read_text()
    )


@pytest.mark.parametrize("spec", [NAMES, {**NAMES, "labels": ["NOUN", "VERB"]}, READER])
def test_what_is_said_of_personal_data_quotes_none_of_it(cli, jsonl, tmp_path, spec):
    model = save_headed(tmp_path / "model", spec, max_position_embeddings=512)
    texts = ["wren@example.org said so " + "word " * 30, "word " * 57 + "now write to wren@example.org"]
    data = jsonl("rows.jsonl", [{"question": "who?", "text": text} for text in texts])
    assert cli("predict", model, "-i", data, "-o", "out").code == 0
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert page.count("Least sure rows") == 1
    assert "(not shown, since it holds &lt;EMAIL&gt;)" in page
    assert "wren" not in page


@pytest.mark.parametrize("options", [[], ["-s", "answer=vector"]])
def test_a_text_that_no_token_stands_for_has_no_answer(cli, jsonl, tmp_path, options):
    model = save_headed(tmp_path / "model", SENTIMENT)
    file = model / "tokenizer.json"
    own = json.loads(file.read_text())  # no special tokens, and what is invisible is taken out
    stripped = {"type": "Replace", "pattern": {"String": "\u200b"}, "content": ""}
    file.write_text(json.dumps({**own, "post_processor": None, "normalizer": stripped}))
    data = jsonl("rows.jsonl", [{"text": text} for text in ("a boat", "\u200b", None, "the sea")])
    outcome = cli("predict", model, "-i", data, "-o", "out", *options, "--json")
    assert outcome.code == 0, outcome.err
    assert [outcome.json["metrics"][f"rows_{name}"] for name in ("read", "predicted", "without_text")] == [4, 2, 2]
    name = "vector" if options else "label"
    assert [row[name] is None for row in rows_of()] == [False, True, True, False]
    assert [row["text"] for row in rows_of()] == ["a boat", "\u200b", None, "the sea"]


def test_texts_with_the_sign_of_their_end_in_them_are_told_from_others(cli, jsonl, tmp_path):
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    model = save_headed(tmp_path / "model", SENTIMENT, "t5", eos_token_id=3, **settings)  # [SEP]
    texts = ["a boat", "a [SEP] b", "the sea"]
    assert cli("predict", model, "-i", jsonl("rows.jsonl", texts), "-o", "out").code == 0
    for text, row in zip(texts, rows_of(), strict=True):
        assert list(row["scores"].values()) == pytest.approx(logits(model, text).softmax(-1).tolist(), abs=1e-5)


def test_labels_that_are_numbered_stay_distinct():
    assert distinct(["a", "a", "a (0)", "b"]) == ["a (0)'", "a (1)", "a (0)", "b"]


@pytest.mark.parametrize(("options", "code", "words"), [
    (["-i", "texts.jsonl", "-o", "out", "-s", "threshold=50"], 2, "threshold"),
    (["-i", "texts.jsonl", "-o", "out", "-s", "threshold={good: 1.5}"], 2, "threshold"),
    (["-i", "texts.jsonl"], 2, "--output is required"),
    (["-i", "gone.jsonl", "-o", "out"], 3, "no such file or directory: gone.jsonl"),
    (["-i", "other.jsonl", "-o", "out"], 3, "inputs.0: no column for text (usually text, sentence, review, content,"
     " ...); did you mean 'txt'?; the data have: txt, n"),
    (["-i", "other.jsonl", "-o", "out", "--text-field", "tx"], 3, "no column 'tx' for text; did you mean 'txt'?"),
    (["-i", "texts.jsonl", "-o", "out", "--column", "question=text"], 2, "columns.question: of a row this model reads"),
    (["-i", "texts.jsonl", "-o", "out", "-s", "keep=[lable]"], 3, "keep: inputs.0 has no column 'lable'"),
    (["-i", "empty.jsonl", "-o", "out"], 3, "empty.jsonl is empty"),
    (["-i", "blank.jsonl", "-o", "out"], 3, "nothing to predict: none of the 2 rows has a text"),
    (["-i", "texts.jsonl", "-o", "out", "--model", "other"], 2, "the model is given twice"),
])  # fmt: skip
def test_what_is_wrong_is_said(cli, jsonl, model, options, code, words):
    jsonl("texts.jsonl", TEXTS[:2])
    jsonl("other.jsonl", [{"txt": "a", "n": 1}])
    jsonl("blank.jsonl", [{"text": ""}, {"text": " "}])
    jsonl("empty.jsonl", [])
    outcome = cli("predict", model, *options)
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_a_model_that_writes_or_is_none_is_refused(cli, chain, jsonl, tmp_path):
    data = jsonl("texts.jsonl", TEXTS[:2])
    outcome = cli("predict", chain.model, "-i", data, "-o", "out")
    assert outcome.code == 3
    assert (
        "has the head causal_lm: it writes text, and predict gives labels, numbers, tags, spans and vectors"
        in outcome.err
    )
    assert "-s answer=vector gives the vectors of its body" in outcome.err
    assert not Path("out/.partial").exists()
    vectors = cli("predict", chain.model, "-i", data, "-o", "out", "-s", "answer=vector")
    assert vectors.code == 0, vectors.err
    masked = cli("predict", save_headed(tmp_path / "masked", {"type": "masked_lm"}), "-i", data, "-o", "masks")
    assert "has the head masked_lm: it fills masks" in masked.err
    missing = cli("predict", "modl", "-i", data, "-o", "none")
    assert missing.code == 3
    bare = save_headed(tmp_path / "bare", SENTIMENT)
    (bare / "tokenizer.json").unlink()
    assert cli("predict", bare, "-i", data, "-o", "none").code == 3


@pytest.mark.parametrize(("typed", "words"), [
    (["classify"], "unknown command 'classify'; did you mean 'predict'?"),
    (["infer"], "here it is 'predict'"), (["embed"], "did you mean 'predict'?"),
    (["pipeline"], "did you mean 'predict'?"),
    (["predict", "m", "file.jsonl"], "-i file.jsonl"),
])  # fmt: skip
def test_words_of_other_tools(cli, typed, words):
    outcome = cli(*typed)
    assert outcome.code == 2
    assert words in outcome.err
