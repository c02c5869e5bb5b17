"""Labelled rows from files: recognized by a sample, read with their types, and read back from artifacts of ours."""

from __future__ import annotations

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from source_rows import read, write

from labelled import KINDS, MAKERS, TEXTS, kind_of, write_examples
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.corpus import CorpusWriter, Document, examples_row, schema_of
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.sources import Broken, Record
from llmkit.data.sources._tabular import SAMPLE_ROWS
from llmkit.data.sources.files import Files
from llmkit.data.sources.python_docs import PythonDocs


def lines(path, *rows):
    return write(path, b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def test_a_table_of_reviews(tmp_path):
    path = write(tmp_path / "reviews.csv", "Review,Stars,Place\nGood value.,5,here\nToo loud,2,there\n,1,here\n")
    source = Files(path=str(path), row="auto")
    assert source.kind() == "examples"
    assert source.row_kind() == TextLabel(columns={"text": "Review", "label": "Stars"}, label="class")
    assert read(path, row="auto") == [
        Record(0, "Good value.", "reviews", {"text": "Good value.", "label": "5"}, {"Place": "here"}),
        Record(1, "Too loud", "reviews", {"text": "Too loud", "label": "2"}, {"Place": "there"}),
        Broken(2, "field 'Review' is empty", 4, ",1,here"),
    ]


@pytest.mark.parametrize("row", ["text_label", {"type": "text_label", "columns": {"text": "body", "label": "topic"}}])
def test_what_is_given_is_not_guessed(tmp_path, row):
    path = lines(tmp_path / "a.jsonl", {"text": "no", "body": "yes", "label": "no", "topic": "yes"})
    columns = {"text": "body", "label": "topic"} if row == "text_label" else {}
    (record,) = read(path, row=row, columns=columns)
    assert (record.text, record.fields, record.meta) == (
        "yes", {"text": "yes", "label": "yes"}, {"text": "no", "label": "no"},
    )  # fmt: skip


def test_the_first_rows_decide_and_later_ones_are_held_to_it(tmp_path):
    rows = [{"text": "a", "label": number} for number in range(SAMPLE_ROWS)]
    first, second = lines(tmp_path / "a.jsonl", *rows, {"text": "b", "label": 0.5}), tmp_path / "b.jsonl"
    lines(second, {"text": "c", "label": 7})
    *_, last, other = read(tmp_path, row="auto")
    assert (last.line, last.reason[:38]) == (101, "field 'label' is the number 0.5, where")
    assert other.fields == {"text": "c", "label": "7"}
    lines(first, *rows[1:], {"text": "b", "label": 0.5})
    assert read(tmp_path, row="auto")[-1].fields == {"text": "c", "label": 7.0}


def test_files_without_a_row_say_nothing(tmp_path):
    write(tmp_path / "a.jsonl", b"")
    write(tmp_path / "b.jsonl", b"{broken\n")
    lines(tmp_path / "c.jsonl", {"prompt": "a", "completion": "b"})
    assert Files(path=str(tmp_path), row="auto").row_kind().type_name == "prompt_completion"


def test_an_object_of_rows_is_told_from_a_row(tmp_path):
    turns = [{"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]
    inside = write(tmp_path / "a.json", json.dumps({"data": [{"messages": turns}], "version": 1}))
    alone = write(tmp_path / "b.json", json.dumps({"messages": turns}))
    for path in (inside, alone):
        assert [record.fields for record in read(path, row="auto")] == [{"messages": turns}]


def test_lists_and_numbers_of_parquet_keep_their_types(tmp_path):
    table = pa.table({"tokens": [["a", "b"], ["c"]], "ner_tags": [[1, 0], [2]]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert [record.fields for record in read(tmp_path / "a.parquet", row="auto")] == [
        {"words": ["a", "b"], "tags": ["1", "0"]}, {"words": ["c"], "tags": ["2"]},
    ]  # fmt: skip
    pq.write_table(pa.table({"text": ["a", "b"], "label": [0.5, float("nan")]}), tmp_path / "b.parquet")
    first, second = read(tmp_path / "b.parquet", row="auto")
    assert first.fields == {"text": "a", "label": 0.5}
    assert second.reason == "field 'label' is null, not a number"


def test_a_document_and_what_is_known_of_it_may_be_a_row(tmp_path):
    path = write(tmp_path / "a.md", "---\nlabel: news\nurl: u\n---\nThe ferry leaves.")
    assert read(path, row="text_label") == [
        Record(0, "The ferry leaves.", "a", {"text": "The ferry leaves.", "label": "news"}, {"url": "u"})
    ]


def test_workers_do_not_look_again(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": 1})
    source = Files(path=str(path), row="auto")
    kind = source.row_kind()
    sent = pickle.loads(pickle.dumps(source))
    path.unlink()
    assert sent.row_kind() == kind
    assert sent == source
    assert source.spec() == Files(path=str(path), row="auto").spec()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("row", [None, "auto"])
def test_an_artifact_comes_back_as_it_was(tmp_path, name, row):
    kind = kind_of(name)
    rows = [kind.parse(MAKERS[name](text)) for text in TEXTS]
    path = write_examples(tmp_path / "examples", kind, rows)
    source = Files(path=str(path), row=row)
    assert (source.kind(), source.row_kind(), examples_row(path)) == ("examples", kind, kind)
    assert read(path, row=row) == [
        Record(number, kind.key_text(row), "web", row, {"n": number}, "en") for number, row in enumerate(rows)
    ]


def test_an_artifact_keeps_its_types_whatever_its_values(tmp_path):
    kind = TextLabel(label="number")
    path = write_examples(tmp_path / "examples", kind, [{"text": "a", "label": 1.0}])
    for row in (None, "auto", "text_label"):
        assert read(path, row=row)[0].fields == {"text": "a", "label": 1.0}
    assert read(path, row={"type": "text_label", "label": "class"})[0].fields == {"text": "a", "label": "1"}


def test_an_artifact_that_names_no_kind_holds_conversations(tmp_path):
    kind = kind_of("messages")
    row = kind.parse(MAKERS["messages"](TEXTS[0]))
    path = write_examples(tmp_path / "old", kind, [row], named=False)
    assert examples_row(path) == Files(path=str(path)).row_kind() == kind
    assert [record.fields for record in read(path)] == [row]


def test_an_artifact_of_a_later_kind_says_so(tmp_path):
    kind = TextLabel(label="class")
    path = write_examples(tmp_path / "later", kind, [{"text": "a", "label": "b"}])
    manifest = json.loads((path / "llmkit.json").read_text())
    manifest["details"]["row"] = {"type": "image_text"}
    (path / "llmkit.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"later holds rows that this version of llmkit does not know: .*image_text"):
        Files(path=str(path)).row_kind()


def test_artifacts_of_two_kinds_do_not_mix(tmp_path):
    write_examples(tmp_path / "one", TextLabel(label="class"), [{"text": "a", "label": "b"}])
    write_examples(tmp_path / "two", TextLabel(label="number"), [{"text": "a", "label": 1.0}])
    with pytest.raises(DataError, match="matches examples of several kinds"):
        Files(path=str(tmp_path / "*")).kind()


def test_a_corpus_of_ours_may_have_the_labels_in_its_meta(tmp_path):
    writer = CorpusWriter(tmp_path / "corpus")
    (tmp_path / "corpus").mkdir()
    writer.write(Document("0" * 32, "a", "web", "en", meta={"stars": 3, "n": 1}))
    writer.close()
    assert schema_of(None).names == pq.read_schema(tmp_path / "corpus/data-00000.parquet").names
    (record,) = read(tmp_path / "corpus", row="auto")
    assert record == Record(0, "a", "web", {"text": "a", "label": "3"}, {"n": 1}, "en")


def test_text_is_read_as_ever(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"text": "a", "label": 1})
    source = Files(path=str(path))
    assert (source.kind(), source.row_kind()) == ("corpus", None)
    assert read(path) == [Record(0, "a", "a", meta={"label": 1})]
    assert (PythonDocs().row_kind(), PythonDocs(form="pairs").kind()) == (None, "examples")


@pytest.mark.parametrize(("fields", "words"), [
    ({"columns": {"text": "a"}}, "columns are those of a labelled row: give its kind too, or row: auto"),
    ({"row": "auto", "messages_field": "chat"}, "messages_field says what row and columns say: give either"),
    ({"row": {"type": "tags", "columns": {"tags": "a"}}, "columns": {"tags": "b"}}, "columns are given twice"),
    ({"row": "text_label", "columns": {"labl": "a"}}, "the row has no field 'labl'; did you mean 'label'?"),
])  # fmt: skip
def test_fields_that_contradict_each_other(fields, words):
    with pytest.raises(ValidationError) as error:
        Files(path="x", **fields)
    assert words in str(error.value)


def test_data_of_another_kind_say_what_is_missing(tmp_path):
    path = lines(tmp_path / "a.jsonl", {"sentence": "a", "lable": "b"})
    with pytest.raises(ConfigError) as error:
        Files(path=str(path), row="text_label").row_kind()
    assert error.value.message == (
        "row: text_label does not fit: no column for label (usually label, labels, class, category, ...);"
        " did you mean 'lable'?; the data have: sentence, lable"
    )
    with pytest.raises(ConfigError, match="row: no kind fits the columns sentence, lable"):
        read(path, row="auto")


def test_without_a_row_nothing_is_recognized(tmp_path):
    path = write(tmp_path / "a.jsonl", b"{broken\n")
    with pytest.raises(DataError, match=r"row: auto: no row of .*a\.jsonl can be read") as error:
        read(path, row="auto")
    assert error.value.hint == "say what the rows are: row: NAME"
    (broken,) = read(path, row="text_label")
    assert broken.reason.startswith("invalid JSON")
