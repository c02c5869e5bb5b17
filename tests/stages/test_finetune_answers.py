"""finetune on questions with answers in texts: SQuAD's files in, a model that predict asks out."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import transformers
from tokenizers import decoders

from headed import BODY, save_headed
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Examples
from texts import sentences

OBJECTIVE = ["-s", "objective=question_answering"]
SIZES = ["-s", "context_length=64", "-s", "batch_rows=8", "-s", "precision=float32", "-s", "log_every=1",
         "-s", "validation_fraction=0.4"]  # fmt: skip
TEXTS = sentences(24, seed=11)


def asked(text: str, number: int) -> list[dict]:
    """Two questions about a text: its second word, and one that has no answer."""
    word = text.split()[1]
    answer = {"text": word, "answer_start": len(text.split(maxsplit=1)[0]) + 1}
    return [
        {"id": f"{number}-a", "question": "Which word is second?", "answers": [answer, answer], "is_impossible": False},
        {
            "id": f"{number}-b",
            "question": "Who paid?",
            "answers": [],
            "is_impossible": True,
            "plausible_answers": [answer],
        },
    ]


def squad(*, impossible: bool = True) -> dict:
    paragraphs = [{"context": text, "qas": asked(text, i)[: 1 + impossible]} for i, text in enumerate(TEXTS)]
    half = len(paragraphs) // 2
    return {"version": "v2.0", "data": [{"title": "one", "paragraphs": paragraphs[:half]},
                                        {"title": "two", "paragraphs": paragraphs[half:]}]}  # fmt: skip


@pytest.fixture
def finetune(cli, tmp_path):
    """Train an encoder that reads letters for two steps on a file."""
    encoder = save_headed(tmp_path / "encoder", BODY, max_position_embeddings=100)
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    tokenizer.backend_tokenizer.decoder = decoders.WordPiece()
    tokenizer.save_pretrained(encoder)

    def run(data, *more):
        (tmp_path / "squad.json").write_text(json.dumps(data), encoding="utf-8")
        options = [*OBJECTIVE, *SIZES, "--max-steps", 2, "-o", "out", *more]
        return cli("finetune", "--data", "squad.json", "--model", encoder, *options)

    return run


def test_a_file_of_squad_becomes_a_model_that_predict_asks(finetune, cli):
    outcome = finetune(squad())
    assert outcome.code == 0, outcome.err
    assert "rows are span_answer (question, context, answers" in outcome.err
    assert "labels: answer 24, no answer 24; 50.0% are 'answer'" in outcome.err
    assert "rows become" in outcome.err
    assert "several windows" in outcome.err

    manifest = read_manifest(Path("out"))
    measures = manifest.metrics["measures"]
    assert {"exact_match", "f1", "has_answer_exact_match", "has_answer_f1", "no_answer_exact_match",
            "no_answer_threshold"} == set(measures)  # fmt: skip
    assert manifest.config["resolved"]["objective"]["no_answers"] is True
    rows = [json.loads(line) for line in Path("out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows[-1]["exact_match"] == measures["exact_match"]
    config = transformers.AutoConfig.from_pretrained("out")
    assert config.architectures == ["BertForQuestionAnswering"]
    assert config.question_answering == {
        "max_tokens": 64, "stride": 128, "max_answer_tokens": 30, "threshold": measures["no_answer_threshold"],
    }  # fmt: skip
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "Wrong answers of which the model is surest" in report
    assert "pipeline_tag: question-answering" in Path("out/README.md").read_text(encoding="utf-8")

    outcome = cli("predict", "out", "-i", "squad.json", "-o", "answers")
    assert outcome.code == 0, outcome.err
    assert "question from 'question', text from 'context'" in outcome.err
    assert "48 of 48 have an answer" in outcome.out
    assert "were cut" not in outcome.err
    for row in pq.read_table("answers/data-00000.parquet").to_pylist():
        margin = row["no_answer_score"] - row["score"]
        assert (row["answer"] is not None) == (margin <= measures["no_answer_threshold"])


def test_measures_are_those_of_predict(finetune, cli):
    """The same texts, the same windows and the same threshold: exact match of the held-out rows, counted again."""
    from llmkit.data.split import split_of
    from llmkit.metrics._squad import exact

    assert finetune(squad()).code == 0
    assert cli("predict", "out", "-i", "squad.json", "-o", "answers").code == 0
    held = [row for row in pq.read_table("answers/data-00000.parquet").to_pylist()
            if split_of(row["text"], validation_fraction=0.4, test_fraction=0) == "validation"]  # fmt: skip
    right = {"Which word is second?": lambda text: [text.split()[1]], "Who paid?": lambda text: []}
    scores = [exact(row["answer"] or "", right[row["question"]](row["text"])) for row in held]
    measures = read_manifest(Path("out")).metrics["measures"]
    assert len(held) == read_manifest(Path("out")).metrics["validation_rows"]
    assert sum(scores) / len(scores) == pytest.approx(measures["exact_match"])


def test_without_unanswerable_questions_there_is_always_an_answer(finetune, cli):
    outcome = finetune(squad(impossible=False), "--lora", "-s", "adapter.r=2")
    assert outcome.code == 0, outcome.err
    assert set(read_manifest(Path("out")).metrics["measures"]) == {"exact_match", "f1"}
    record = json.loads(Path("out/adapter_base.json").read_text(encoding="utf-8"))
    assert record["config"]["question_answering"]["threshold"] is None
    outcome = cli("predict", "out", "-i", "squad.json", "-o", "answers")
    assert outcome.code == 0, outcome.err
    assert all(row["answer"] for row in pq.read_table("answers/data-00000.parquet").to_pylist())


def test_what_is_wrong_is_counted_with_file_and_row(finetune):
    data = squad()
    first = data["data"][0]["paragraphs"]
    first[0]["qas"][0]["answers"] = [{"text": "nowhere", "answer_start": 0}]
    first[1]["qas"][0]["question"] = ""
    first[2]["context"] = ""
    first[3]["qas"][0]["answers"][0] = {**first[3]["qas"][0]["answers"][0], "answer_start": 0}
    outcome = finetune(data, "--json")
    assert outcome.code == 0, outcome.err
    assert "squad.json" in outcome.err
    for said in ("row 1: the answer 'nowhere' does not stand in the context", "row 3: field 'question' is empty",
                 "row 5: field 'context' is empty", "row 6: field 'context' is empty"):  # fmt: skip
        assert said in outcome.err, outcome.err
    counted = outcome.json["metrics"]
    assert counted["rows"] + counted["validation_rows"] == 48 - 4
    assert "answers do not stand at their answer_start" in outcome.err or counted["rows"] < 44


def test_without_one_that_can_be_read_nothing_is_made(finetune):
    data = squad(impossible=False)
    for article in data["data"]:
        for paragraph in article["paragraphs"]:
            paragraph["qas"][0]["answers"] = [{"text": "nowhere", "answer_start": 0}]
    outcome = finetune(data)
    assert outcome.code == 2
    assert "no row of the sample can be read: the answer 'nowhere' does not stand in the context" in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_preview_marks_the_answer(finetune):
    outcome = finetune(squad(), "--preview", 2)
    assert outcome.code == 0, outcome.err
    word = TEXTS[0].split()[1]
    assert f"answer: {word}" in outcome.out
    assert "answer: (no answer)" in outcome.out
    assert "[[[UNK].]]" in outcome.out  # the encoder has no letter for a 1 behind another


def test_cleaning_finds_answers_again_and_drops_those_that_are_lost(cli, jsonl):
    context = "Das Boot   fährt um neun.\nThe ferry leaves at nine in the morning, every day of the week.\n"
    rows = [
        {"question": "When does it leave?", "context": context, "answers": {"text": ["at nine"], "answer_start": [44]}},
        {
            "question": "What leaves at nine?",
            "context": context,
            "answers": {"text": ["The ferry"], "answer_start": [26]},
        },
        {"question": "Wer fährt um neun?", "context": context, "answers": {"text": ["Das Boot"], "answer_start": [0]}},
    ]
    outcome = cli("clean", "-i", jsonl("a.jsonl", rows), "--row", "auto", "-o", "out", "-s",
                  "steps=[normalize, lowercase]", "--json")  # fmt: skip
    assert outcome.code == 0, outcome.err
    kept = list(Examples(Path("out")).rows())
    assert [row["answers"] for row in kept] == [["at nine"], ["the ferry"], ["das boot"]]
    for row in kept:
        (answer,), (start,) = row["answers"], row["answer_start"]
        assert row["context"][start : start + len(answer)] == answer
    assert row["context"] != context
