"""clean refuses what cannot work before it reads a row: the step by its dotted path, and what to do."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def raw(jsonl):
    return jsonl("raw.jsonl", ["The ferry leaves at nine.", "渡轮九点开。"])


@pytest.mark.parametrize("mode", [["-o", "out"], ["--dry-run"], ["--preview", "2"]])
@pytest.mark.parametrize(
    ("steps", "code", "message"),
    [
        ("[normalize, shuffle, pii]", 2, "steps.1: shuffle has to be the last step, and is followed by pii"),
        ("[normalize, decontaminate]", 2, "steps.1.sets: no evaluation set is named"),
        ("[{type: decontaminate, sets: [none.jsonl]}]", 3, "steps.0: no such file or directory: none.jsonl"),
        ("[{type: word_list, path: none.txt}]", 3, "steps.0.path: no such file or directory: none.txt"),
        ("[{type: word_list, path: .}]", 3, "steps.0.path: . is a directory"),
        ("[word_list]", 2, "steps.0.words: no words are given"),
        ("[normalize, {type: url, words_path: none.txt}]", 3, "steps.1.words_path: no such file or directory"),
    ],
)
def test_steps_that_cannot_work(cli, raw, tmp_path, mode, steps, code, message):
    outcome = cli("clean", "-i", raw, "-s", f"steps={steps}", *mode)
    assert outcome.code == code
    assert f"error: {message}" in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("step", "module", "extra"),
    [
        ("stop_words", "stopwordsiso", "classic"),
        ("stem", "Stemmer", "classic"),
        ("lemmatize", "simplemma", "classic"),
        ("segment", "rjieba", "classic"),
        ("chinese_script", "opencc", "classic"),
        ("{type: html, quality: high}", "trafilatura", "quality"),
    ],
)
def test_a_missing_extra_stops_before_anything_is_written(cli, raw, tmp_path, monkeypatch, step, module, extra):
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    outcome = cli("clean", "-i", raw, "-s", f"steps=[normalize, {step}]", "-o", "out")
    assert outcome.code == 4
    assert f"error: steps.1: this needs the '{extra}' extra, which is not installed" in outcome.err
    assert f'pip install "llmkit[{extra}]"' in outcome.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[{type: mixture, weights: {web: -1}}]", "steps.0.weights.web: should be greater than or equal to 0, not -1"),
        ("[{type: cap, limit: 5, per_source: {web: -1}}]", "steps.0.per_source.web: should be greater than or equal"),
        ("[{type: length, min_chars: 9, max_chars: 8}]", "steps.0: max_chars 8 is less than min_chars 9"),
        ("[{type: language, keep: [english]}]", "steps.0.keep.0: 'english' is no primary language tag, such as en"),
    ],
)
def test_values_that_cannot_be_meant(cli, raw, steps, message):
    outcome = cli("clean", "-i", raw, "-o", "out", "-s", f"steps={steps}")
    assert outcome.code == 2
    assert f"error: {message}" in outcome.err


def test_hints_where_nothing_is_left(cli, raw):
    outcome = cli("clean", "-i", raw, "-o", "out", "-s", "steps=[{type: length, min_chars: 99}]")
    assert outcome.code == 3
    assert "all 2 rows fell (length.min_chars 2)" in outcome.err
    assert "-> llmkit clean ... --preview 20" in outcome.err
    outcome = cli("clean", "-i", raw, "-o", "out", "--text-field", "body")
    assert outcome.code == 3
    assert "all 2 rows fell (unreadable 2)" in outcome.err
    assert "-> --text-field names the column" in outcome.err


def test_personal_data_reaches_no_report_wherever_the_step_stands(cli, jsonl, tmp_path):
    mail = "请联系zhang@example.com，电话13812345678。"
    source = jsonl("raw.jsonl", [mail, mail, "x" * 990 + "，电话13812345678。", "short"])
    steps = "steps=[exact_duplicates, {type: length, max_chars: 500}, pii]"
    assert cli("clean", "-i", source, "-o", "out", "-s", steps).code == 0
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "请联系&lt;EMAIL&gt;，电话&lt;PHONE&gt;" in page
    import pyarrow.parquet as pq

    samples = pq.read_table(tmp_path / "out/rejected/sample.parquet").to_pylist()
    assert {row["rule"] for row in samples} == {"exact_duplicates", "length.max_chars"}
    assert not any("@" in row["text"] or "138" in row["text"] for row in samples)
    assert not any(b"13812345" in path.read_bytes() for path in found if path.suffix in (".html", ".json"))


def test_only_languages_without_the_step_that_finds_them(cli, raw):
    steps = "steps=[{type: lowercase, only_languages: [en]}, {type: language, min_chars: 1}]"
    outcome = cli("clean", "-i", raw, "-o", "out", "-s", steps)
    assert "note: step 0 (lowercase) neither changed nor dropped a document: it is for en only" in outcome.out
    assert "no step language stands before it" in outcome.out
