"""clean makes examples of any kind of row, with any shipped recipe; what cannot be a row is said, or counted."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from labelled import KINDS, MAKERS, TEXTS, kind_of
from llmkit.core.manifest import read_manifest
from llmkit.core.recipes import recipe_names
from llmkit.data.artifacts import Examples
from llmkit.data.corpus import examples_row

RECIPES = [name.partition("/")[2] for name in recipe_names() if name.startswith("clean/")]


def _cells():
    """Every recipe with one kind and every kind with one recipe at once; the rest are slow."""
    for i, recipe in enumerate(RECIPES):
        for j, name in enumerate(KINDS):
            yield pytest.param(recipe, name, marks=[] if i == j % len(RECIPES) else [pytest.mark.slow])


@pytest.mark.parametrize(("recipe", "name"), [*_cells()])
def test_every_recipe_works_on_every_kind(cli, jsonl, recipe, name):
    kind = kind_of(name)
    path = jsonl("rows.jsonl", [MAKERS[name](text) for text in (*TEXTS, TEXTS[0])])
    outcome = cli("clean", "-r", recipe, "-i", path, "--row", "auto", "-o", "out", "--json")
    assert outcome.code == 0, outcome.err
    assert f"inputs.0: rows are {kind.describe()}" in outcome.err
    assert examples_row(Path("out")) == kind.kept()
    kept = list(Examples(Path("out")).rows())
    assert 1 <= len(kept) <= 3
    originals = {json.dumps(kind.target(kind.parse(MAKERS[name](text)))) for text in TEXTS}
    for row in kept:
        parsed = kind.parse(row)
        assert json.dumps(kind.target(parsed)) in originals
        assert row["text"] == (parsed["text"] if "text" in parsed else kind.key_text(parsed))


def test_recipes_and_kinds_are_all_there():
    assert (len(RECIPES), len(KINDS)) == (6, 9)


def test_labels_stay_typed_and_are_cleaned_again(cli, tmp_path):
    import datasets

    (tmp_path / "reviews.csv").write_text("Review,Stars,Place\nGood value. ,4.5,here\nToo loud,2,there\n")
    said = cli("clean", "-i", "reviews.csv", "--row", "auto", "-o", "first")
    assert "inputs.0: rows are text_label (text from 'Review', label from 'Stars': number)" in said.err
    assert "Rows are text_label (text, label: number)." in Path("first/README.md").read_text()
    assert read_manifest(Path("first")).details == {"row": {"type": "text_label", "columns": {}, "label": "number"}}
    assert cli("clean", "-i", "first", "-o", "second", "-s", "steps=[lowercase]").code == 0
    rows = datasets.load_dataset("second", split="train", cache_dir=str(tmp_path / "cache"))
    assert rows.features["label"] == datasets.Value("float64")
    assert [(row["text"], row["label"], row["source"]) for row in rows] == [
        ("good value.", 4.5, "reviews"), ("too loud", 2.0, "reviews"),
    ]  # fmt: skip
    assert read_manifest(Path("second")).details == read_manifest(Path("first")).details


def test_kind_and_columns_may_be_said_in_every_way(cli, jsonl):
    path = jsonl("a.jsonl", [{"body": "The ferry leaves.", "topic": "news", "text": "no", "label": "no"}])
    column = ["--column", "text=body", "--column", "label=topic"]
    sets = ["-s", "inputs.0.row=text_label", "-s", "inputs.0.columns={text: body, label: topic}"]
    recipe = f"inputs=[{{type: files, path: {path}, row: {{type: text_label, columns: {{text: body, label: topic}}}}}}]"
    ways = [["-i", path, "--row", "text_label", *column], ["-i", path, "--row", "auto", *column],
            ["-i", path, *sets], ["-s", recipe]]  # fmt: skip
    ids = set()
    for number, way in enumerate(ways):
        outcome = cli("clean", *way, "-o", f"out{number}", "--json")
        assert outcome.code == 0, outcome.err
        ids.add(outcome.json["id"])
    assert len(ids) == 1
    (row,) = Examples(Path("out0")).rows()
    assert (row["text"], row["label"], json.loads(row["meta"])) == (
        "The ferry leaves.", "news", {"text": "no", "label": "no"},
    )  # fmt: skip


def test_a_column_of_conversations_is_the_same_in_both_ways(cli, jsonl):
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    path = jsonl("chat.jsonl", [{"chat": turns}])
    older = cli("clean", "-s", f"inputs=[{{type: files, path: {path}, messages_field: chat}}]", "-o", "a", "--json")
    newer = cli("clean", "-i", path, "--row", "messages", "--column", "messages=chat", "-o", "b", "--json")
    assert (older.code, newer.code) == (0, 0)
    assert older.json["id"] == newer.json["id"]
    assert pq.read_schema("a/data-00000.parquet").names == ["id", "text", "source", "language", "meta", "messages"]


def test_a_preview_shows_the_parts_of_a_row(cli, jsonl):
    path = jsonl("a.jsonl", [{"sentence1": "It rains.", "sentence2": "The street is wet.", "label": "entailed"}])
    outcome = cli("clean", "-i", path, "--row", "auto", "--preview", 1)
    assert "    text: It rains.\n    pair: The street is wet.\n    label: entailed\n" in outcome.out
    (found,) = cli("clean", "-i", path, "--row", "auto", "--preview", 1, "--json").json["documents"]
    assert found["parts"] == [["text", "It rains."], ["pair", "The street is wet."], ["label", "entailed"]]


# --- what a user can get wrong


@pytest.mark.parametrize(("options", "words"), [
    (["--row", "text_labl"], "inputs.0.row: unknown row 'text_labl'; did you mean 'text_label'?"),
    (["--row", "text_label", "--column", "text=reviw"],
     "inputs.0.row: text_label does not fit: no column 'reviw' for text; did you mean 'review'?; the data have"),
    (["--row", "auto", "--column", "text=reviw"],
     "inputs.0.columns.text: the data have no column 'reviw'; did you mean 'review'?"),
    (["--row", "text_label", "--column", "txt=review"],
     "inputs.0.columns: the row has no field 'txt'; did you mean 'text'? (--input)"),
    (["--row", "tags"], "inputs.0.row: tags does not fit: no column for words (usually words, tokens); the data have:"),
    (["--row", "text_label"], "inputs.0.row: text_label does not fit: label may be 'stars' or 'rating': name one in"),
    (["--column", "text=review"], "inputs.0: columns are those of a labelled row: give its kind too, or row: auto"),
    (["--row", "auto", "--column", "stars"], "--column stars: expected FIELD=COLUMN, such as --column label=stars"),
    (["-s", "inputs.0.row={type: text_label, label: float}"],
     "inputs.0.row.label: should be 'auto', 'class', 'classes' or 'number', not 'float' (--set)"),
])  # fmt: skip
def test_rows_and_columns_that_cannot_be_meant(cli, jsonl, options, words):
    path = jsonl("a.jsonl", [{"review": "Good value.", "stars": 5, "rating": 4}])
    outcome = cli("clean", "-i", path, *options, "-o", "out")
    assert outcome.code == 2
    assert f"error: {words}" in outcome.err
    assert not Path("out").exists()


def test_no_kind_fits(cli, jsonl):
    path = jsonl("a.jsonl", [{"sentence": "Good value.", "lable": "good"}])
    outcome = cli("clean", "-i", path, "--row", "auto", "-o", "out")
    assert outcome.code == 2
    assert "error: inputs.0.row: no kind fits the columns sentence, lable\n" in outcome.err
    near = "  text_label: no column for label (usually label, labels, class, category, ...); did you mean 'lable'?\n"
    assert near in outcome.err
    assert "-> say what they are: row: NAME, and columns: {FIELD: COLUMN}" in outcome.err


def test_columns_of_two_kinds(cli, jsonl):
    path = jsonl("a.jsonl", [{"text": "a", "label": "b", "prompt": "c", "completion": "d"}])
    outcome = cli("clean", "-i", path, "--row", "auto", "-o", "out")
    assert outcome.code == 2
    assert (
        "error: inputs.0.row: the columns text, label, prompt, completion may be prompt_completion (prompt, completion)"
        " or text_label (text, label: class)\n  -> say which: row: prompt_completion, or row: text_label" in outcome.err
    )


def test_inputs_of_two_kinds(cli, jsonl):
    jsonl("a.jsonl", [{"text": "a", "label": "b"}])
    jsonl("b.jsonl", [{"words": ["a"], "tags": ["O"]}])
    jsonl("c.jsonl", [{"text": "a", "label": 0.5}])
    for other, described in (("b.jsonl", "tags (words, tags)"), ("c.jsonl", "text_label (text, label: number)")):
        outcome = cli("clean", "-i", "a.jsonl", "-i", other, "--row", "auto", "-o", "out")
        assert outcome.code == 2
        assert (
            f"error: inputs: 0 gives text_label (text, label: class) and 1 gives {described};"
            " clean them into two outputs" in outcome.err
        )


def test_the_options_go_with_inputs(cli, tmp_path):
    (tmp_path / "r.yaml").write_text("inputs: [a.csv]\n")
    outcome = cli("clean", "-r", "r.yaml", "--row", "auto", "-o", "out")
    assert (outcome.code, "error: --row goes with --input" in outcome.err) == (2, True)
    assert "-> --set inputs.0.row=auto" in outcome.err


@pytest.mark.parametrize(("row", "broken", "reason"), [
    ({"words": ["a", "b"], "tags": ["O", "O"]}, {"words": ["a", "b", "c"], "tags": ["O"]},
     "3 words in 'words' and 1 tags in 'tags'"),
    ({"text": "a", "label": "b"}, {"text": " ", "label": "b"}, "field 'text' is empty"),
    ({"text": "a", "label": 1}, {"text": "b", "label": 0.5},
     "field 'label' is the number 0.5, where labels are classes; label: number reads numbers"),
    ({"text": "a", "label": 0.5}, {"text": "b", "label": "good"}, "field 'label' is 'good', not a number"),
    ({"text": "a", "label": ["b"]}, {"text": "b", "label": "c"}, "field 'label' is a string, not an array"),
    ({"prompt": "a", "completion": "b"}, {"prompt": "a"}, "no field 'completion'; the row has: prompt"),
])  # fmt: skip
def test_single_rows_that_are_none_are_counted_with_file_and_row(cli, jsonl, row, broken, reason):
    sample = [row] * 100  # what the rows are is settled before the broken one
    path = jsonl("a.jsonl", [*sample, broken])
    arguments = ["-i", path, "--row", "auto", "-s", "steps=[]"]
    outcome = cli("clean", *arguments, "-o", "out")
    assert outcome.code == 0
    assert f"warning: {path}:101: {reason}" in outcome.err
    metrics = read_manifest(Path("out")).metrics
    assert (metrics["documents_kept"], metrics["documents_failed"]) == (100, 1)
    strict = cli("clean", *arguments, "-o", "strict", "--strict")
    assert strict.code == 3
    assert f"error: {path}:101: {reason}" in strict.err


def test_where_no_row_can_be_read(cli, jsonl):
    path = jsonl("a.jsonl", [{"text": "", "label": "a"}])
    outcome = cli("clean", "-i", path, "--row", "text_label", "-o", "out")
    assert (outcome.code, "all 1 rows fell (unreadable 1)" in outcome.err) == (3, True)
    assert "-> --text-field names the column that holds the text, --row and --column those of labelled" in outcome.err
    empty = cli("clean", "-i", jsonl("b.jsonl", []), "--row", "auto", "-o", "out")
    assert (empty.code, "row: auto: no row of" in empty.err) == (3, True)


def test_a_row_that_a_step_empties_is_a_rule_of_the_report(cli, jsonl):
    path = jsonl("a.jsonl", [{"words": ["old", "harbour"], "tags": ["O", "O"]}, {"words": ["ferry"], "tags": ["O"]}])
    steps = "steps=[{type: word_list, words: [harbour], action: redact}]"
    assert cli("clean", "-i", path, "--row", "auto", "-o", "out", "-s", steps).code == 0
    assert read_manifest(Path("out")).metrics["rules"] == {"word_list.emptied": 1}
    (sample,) = pq.read_table("out/rejected/sample.parquet").to_pylist()
    assert (sample["value"], sample["text"]) == ("words.1 is empty", "old harbour")


def test_examples_and_workers(cli, jsonl):
    path = jsonl("a.jsonl", [MAKERS["tags"](f"{text} {number}") for number in range(40) for text in TEXTS])
    arguments = ["-i", path, "--row", "auto", "-s", "steps=[normalize, exact_duplicates, shuffle]"]
    for workers in (1, 2):
        assert cli("clean", *arguments, "--workers", workers, "-o", f"out{workers}").code == 0
    one, two = (read_manifest(Path(f"out{workers}")) for workers in (1, 2))
    assert one.id == two.id
    assert one.metrics["documents_kept"] == 120
