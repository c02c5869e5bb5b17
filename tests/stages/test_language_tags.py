"""A language has one tag on its way through all stages, however the sources write it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

WRITTEN = {"eng": "en", "en_US": "en-US", "eng_Latn": "en", "cmn": "zh", "zho": "zh", "yue": "yue", "deu": "de"}


@pytest.fixture
def tagged(tmp_path):
    path = tmp_path / "tagged.jsonl"
    rows = [{"text": f"Row {i} says what it has to say, once.", "language": tag} for i, tag in enumerate(WRITTEN)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def languages(folder):
    return [row["language"] for row in pq.read_table(Path(folder) / "data-00000.parquet").to_pylist()]


def test_corpus_and_report_have_one_form_of_a_tag(cli, tagged):
    assert cli("clean", "-i", tagged, "-o", "all", "-s", "steps=[language]").code == 0
    assert languages("all") == list(WRITTEN.values())
    report = json.loads(Path("all/report.json").read_text(encoding="utf-8"))
    assert {tag: count["kept"] for tag, count in report["languages"].items()} == {
        "en": 2, "zh": 2, "en-US": 1, "yue": 1, "de": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("en", ["en", "en-US", "en"]), ("eng", ["en", "en-US", "en"]), ("zh", ["zh", "zh", "yue"]), ("yue", ["yue"])],
)
def test_keep_knows_every_way_to_write_a_language(cli, tagged, keep, kept):
    cli("clean", "-i", tagged, "-o", keep, "-s", f"steps=[{{type: language, keep: [{keep}]}}]")
    assert languages(keep) == kept


def test_only_languages_knows_every_way_to_write_a_language(cli, tagged):
    step = "{type: length, min_chars: 1000, only_languages: [%s]}"
    for wanted in ("zh", "zho", "cmn"):
        cli("clean", "-i", tagged, "-o", wanted, "-s", f"steps=[{step % wanted}]")
        assert languages(wanted) == ["en", "en-US", "en", "de"]
    outcome = cli("clean", "-i", tagged, "-o", "none", "-s", f"steps=[{step % 'chinese'}]")
    assert outcome.code == 2
    assert "'chinese' is no language tag, such as en or zh-Hant (BCP 47)" in outcome.err


def test_weights_of_a_tokenizer_name_languages_in_any_form(cli, tagged):
    weights = ("-s", "tokenizer.weight_by=language", "-s", "tokenizer.vocab_size=300")
    said = cli("tokenize", "-i", tagged, "-o", "tokens", *weights, "-s", "tokenizer.weights={eng: 2, cmn: 0}")
    assert said.code == 0
    report = json.loads(Path("tokens/report.json").read_text(encoding="utf-8"))
    assert {"en", "zh", "yue"} <= report["languages"].keys()
    twice = cli("tokenize", "-i", tagged, "-o", "no", *weights, "-s", "tokenizer.weights={eng: 2, en: 1}")
    assert twice.code == 2
    assert "two tags name one language" in twice.err
