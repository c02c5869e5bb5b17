"""finetune on labels and tags, through the command line: raw files in, a model with its labels' names out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers

from llmkit.core.manifest import read_manifest
from texts import sentences

TEXTS = sentences(48, seed=7)
OBJECTIVE = ["-s", "objective=classification"]
DECLARED = ["-s", "objective={type: classification, labels: [bad, good]}"]
CLASSES = [{"text": text, "label": ["bad", "good"][i % 2]} for i, text in enumerate(TEXTS)]


def tagged(text):
    words = text.split()
    return {"words": words, "tags": ["B-X" if len(word) > 4 else "O" for word in words]}


@pytest.fixture
def finetune(cli, chain, jsonl):
    """Train the base model for two steps on rows of a raw file, with more options."""

    def run(rows, *more):
        data = jsonl("rows.jsonl", rows) if isinstance(rows, list) else rows
        sizes = [
            "-s",
            "overlength=truncate",
            "-s",
            "context_length=64",
            "-s",
            "batch_rows=8",
            "-s",
            "precision=float32",
            "-s",
            "log_every=1",
        ]
        return cli("finetune", "--data", data, "--model", chain.base, *sizes, "--max-steps", 2, "-o", "out", *more)

    return run


def test_config_card_report_and_manifest_have_labels_and_measures(finetune):
    outcome = finetune(CLASSES, *OBJECTIVE, "-s", "validation_fraction=0.4")
    assert outcome.code == 0
    assert "rows are text_label (text, label: class)" in outcome.err
    assert "labels: bad 24, good 24; 50.0% are 'bad'" in outcome.err
    assert "accuracy" in outcome.out

    config = transformers.AutoConfig.from_pretrained("out")
    assert config.id2label == {0: "bad", 1: "good"}
    assert config.problem_type == "single_label_classification"
    assert config.architectures == ["LlamaForSequenceClassification"]

    manifest = read_manifest(Path("out"))
    assert set(manifest.metrics["measures"]) == {"accuracy", "macro_f1", "majority_accuracy"}
    assert manifest.metrics["labels"] == {"bad": 24, "good": 24}
    assert manifest.config["resolved"]["objective"]["labels"] == ["bad", "good"]

    card = Path("out/README.md").read_text(encoding="utf-8")
    for line in ("pipeline_tag: text-classification", "| labels | bad, good |", "| problem | single label |",
                 f"| accuracy | {manifest.metrics['measures']['accuracy']:.4f} |"):  # fmt: skip
        assert line in card
    code = card.split("```python\n")[1].split("```")[0].replace('"DIR"', '"out"')
    exec(code, {})

    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in report
    assert "Wrong answers with the greatest loss" in report
    wrong = round((1 - manifest.metrics["measures"]["accuracy"]) * manifest.metrics["validation_rows"])
    assert report.count("% sure)") == min(wrong, 10)
    assert "text: Story" in report


def test_every_row_is_in_one_batch_of_an_epoch(finetune):
    """All labels are read: the walls of old packed rows and read the labels of the first alone."""
    assert finetune(CLASSES, *OBJECTIVE, "-s", "validation_fraction=0", "--max-steps", 6).code == 0
    rows = [json.loads(line) for line in Path("out/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["epoch"] for row in rows if "loss" in row][-1] == 1.0
    tokenizer = transformers.AutoTokenizer.from_pretrained("out")
    assert rows[-1]["tokens"] == sum(len(tokenizer(text)["input_ids"]) for text in TEXTS)


def test_tags_become_a_tagger(finetune):
    outcome = finetune([tagged(text) for text in TEXTS], "-s", "objective=token_classification",
                       "-s", "validation_fraction=0.4", "--json")  # fmt: skip
    assert outcome.code == 0
    assert set(outcome.json["metrics"]["measures"]) == {"f1", "precision", "recall", "accuracy", "majority_accuracy"}
    config = transformers.AutoConfig.from_pretrained("out")
    assert config.id2label == {0: "O", 1: "B-X"}
    assert "Entities" in Path("out/report.html").read_text(encoding="utf-8")
    assert "| tags | O, B-X |" in Path("out/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("label", "problem", "measure"),
    [(lambda i: ["a", "b"][: i % 3], "multi_label_classification", "micro_f1"), (lambda i: i / 7, "regression", "r2")],
)
def test_the_type_of_the_labels_decides_the_problem(finetune, label, problem, measure):
    rows = [{"text": text, "label": label(i)} for i, text in enumerate(TEXTS)]
    outcome = finetune(rows, *OBJECTIVE, "-s", "validation_fraction=0.4", "--json")
    assert outcome.code == 0
    assert measure in outcome.json["metrics"]["measures"]
    assert transformers.AutoConfig.from_pretrained("out").problem_type == problem


def test_pairs_and_csv_with_columns_of_other_names(cli, chain, tmp_path):
    lines = ["first,second,verdict", *(f"{text},{text[::-1]},{'yn'[i % 2]}" for i, text in enumerate(TEXTS))]
    (tmp_path / "pairs.csv").write_text("\n".join(lines), encoding="utf-8")
    columns = "columns={text: first, pair: second, label: verdict}"
    outcome = cli("finetune", "--data", "pairs.csv", "--model", chain.base, *OBJECTIVE, "-s", columns,
                  "-s", "overlength=truncate", "-s", "context_length=64", "--max-steps", 1, "-o", "out")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert read_manifest(Path("out")).config["resolved"]["row"]["type"] == "text_pair"


def test_preview_shows_rows_as_the_model_sees_them(finetune):
    rows = [tagged("the fox follows her"), tagged("a river")]
    outcome = finetune(rows, "-s", "objective=token_classification", "--preview", 3)
    assert outcome.code == 0
    assert "tags: O O B-X O" in outcome.out
    assert "|B-X]]" in outcome.out
    assert not Path("out").exists()
    seen = finetune(CLASSES, *OBJECTIVE, "--preview", 1, "--json").json
    assert seen["objective"]["labels"] == ["bad", "good"]
    assert seen["rows"][0]["row"]["label"] == "bad"


@pytest.mark.parametrize(
    ("rows", "options", "code", "says"),
    [
        ([{"text": text, "label": "x"} for text in TEXTS], OBJECTIVE, 3, ["all rows have the label 'x'"]),
        ([*CLASSES[:-1], {"text": "t", "label": "goood"}], DECLARED, 3,
         ["the label 'goood' (1 rows) is none of the declared: bad, good; did you mean 'good'?"]),
        ([{"text": text, "label": i / 7} for i, text in enumerate(TEXTS)], DECLARED, 2,
         ["labels are declared, but the data's are numbers", "label: class}}]"]),
        ([{"txt": text, "label": "ab"[i % 2]} for i, text in enumerate(TEXTS)], OBJECTIVE, 2,
         ["no column for text", "did you mean 'txt'?", "-s columns.FIELD=COLUMN"]),
        ([{"text": text, "stars": i % 2, "rating": i % 3} for i, text in enumerate(TEXTS)], OBJECTIVE, 2,
         ["label may be 'stars' or 'rating'", "-s columns.FIELD=COLUMN"]),
        (CLASSES, [*OBJECTIVE, "-s", "columns.label=lable"], 2, ["no column 'lable'; did you mean 'label'?"]),
        (CLASSES, ["-s", "objective=clasification"], 2, ["did you mean 'classification'?"]),
        (CLASSES, ["-s", "objective={type: classification, problem: regression}"], 2,
         ["regression, but the labels of the data are classes"]),
    ],
)  # fmt: skip
def test_bad_input_is_refused_and_nothing_is_made(finetune, rows, options, code, says):
    outcome = finetune(rows, *options)
    assert outcome.code == code, outcome.err
    for part in says:
        assert part in outcome.err
    assert not Path("out/llmkit.json").exists()


def test_rows_that_cannot_be_read_are_named_and_left_out(finetune):
    rows = [*CLASSES, {"text": "", "label": "bad"}, {"text": "t", "label": None}]
    outcome = finetune(rows, *OBJECTIVE, "--json")
    assert outcome.code == 0
    assert "rows.jsonl:49: field 'text' is empty" in outcome.err
    assert "rows.jsonl:50: field 'label' is null" in outcome.err
    strict = finetune(rows, *OBJECTIVE, "--strict", "--force", "-s", "seed=1")
    assert strict.code == 3
    assert "rows.jsonl:49" in strict.err


def test_words_and_tags_of_different_number_are_named(finetune):
    rows = [tagged(text) for text in TEXTS]
    rows[5]["tags"].pop()
    outcome = finetune(rows, "-s", "objective=token_classification")
    assert outcome.code == 0
    number = len(rows[5]["words"])
    assert f"rows.jsonl:6: {number} words in 'words' and {number - 1} tags in 'tags'" in outcome.err


def test_artifacts_of_another_kind_are_refused(finetune, chain):
    outcome = finetune(chain.corpus, *OBJECTIVE)
    assert outcome.code == 3
    assert "holds a corpus, not examples" in outcome.err
    outcome = finetune(chain.pairs, *OBJECTIVE)
    assert outcome.code == 2
    assert "classification reads text_label or text_pair" in outcome.err
    assert "-s objective=sft reads them" in outcome.err


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 400}


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (transformers.ViTModel(transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                                                      intermediate_size=16)), 3, "'vit' is not a language model"),
        (transformers.MambaForCausalLM(transformers.MambaConfig(**SMALL, state_size=4)), 3,
         "no head for labels of whole texts"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_carry_the_head_is_refused(cli, jsonl, chain, tmp_path, body, code, says):
    body.save_pretrained(tmp_path / "body")
    transformers.AutoTokenizer.from_pretrained(chain.base).save_pretrained(tmp_path / "body")
    outcome = cli("finetune", "--data", jsonl("rows.jsonl", CLASSES), "--model", "body", *OBJECTIVE, "-o", "out")
    assert outcome.code == code, outcome.err
    assert says in outcome.err
    assert "Traceback" not in outcome.err
    assert not Path("out/llmkit.json").exists()
