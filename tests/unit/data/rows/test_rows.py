"""What all kinds of rows have in common, and how the right one is found."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pydantic import ValidationError

from labelled import KINDS, MAKERS, TEXTS, kind_of
from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family
from llmkit.data.artifacts import Examples
from llmkit.data.corpus import CorpusWriter, Document, schema_of
from llmkit.data.rows import SHARED_COLUMNS, RowError, RowMismatch, recognize
from llmkit.data.rows._matching import match
from llmkit.data.rows.prompt_completion import PromptCompletion
from llmkit.data.rows.text_label import TextLabel

TEXT = TEXTS[0]


def found(*rows, kinds=None, **columns):
    return recognize(kinds, list(dict.fromkeys(name for row in rows for name in row)), rows, columns)


def refused(*rows, kinds=None, **columns):
    with pytest.raises(ConfigError) as error:
        found(*rows, kinds=kinds, **columns)
    return error.value


def test_every_kind_has_its_example():
    assert Family("row").members() == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_a_row_keeps_its_shape_under_every_method(name):
    kind = kind_of(name)
    raw = MAKERS[name](TEXT)
    row = kind.parse({**raw, "id": 7})
    assert raw == MAKERS[name](TEXT)
    assert list(row) == [field.name for field in kind.schema()]
    assert [field for field in kind.aliases if field in row or field not in kind.optional] == list(row)
    assert kind.parse(row) == row
    texts = kind.texts(row)
    assert "".join("".join(text.split()) for text in texts.values()) == "".join(TEXT.split())
    assert kind.with_texts(row, texts) == row
    louder = kind.with_texts(row, {key: text.upper() for key, text in texts.items()})
    assert kind.key_text(louder) == kind.key_text(row).upper()
    assert row == kind.parse(raw)  # the old one is as it was
    assert kind.target(louder) == kind.target(row)
    assert all(isinstance(caption, str) and isinstance(text, str) for caption, text in kind.show(row))


@pytest.mark.parametrize("name", KINDS)
def test_an_artifact_gives_the_row_back_with_its_types(tmp_path, name):
    kind = kind_of(name)
    row = kind.parse(MAKERS[name](TEXT))
    assert not {field.name for field in kind.schema()} & ({*SHARED_COLUMNS} - {"text"})
    writer = CorpusWriter(tmp_path, kind)
    writer.write(Document("0" * 32, kind.key_text(row), "s", row=row, kind=kind))
    writer.close()
    (kept,) = Examples(tmp_path).rows()
    assert list(kept) == schema_of(kind).names
    assert kind.parse(kept) == row
    assert Family("row").parse(kind.spec()) == kind


def test_the_text_column_is_the_row_s_own_where_it_has_one():
    assert schema_of(kind_of("text_pair")).names == [*SHARED_COLUMNS, "pair", "label"]
    assert schema_of(kind_of("prompt_completion")).names == [*SHARED_COLUMNS, "prompt", "completion"]
    assert schema_of(TextLabel(label="number")).field("label").type == pa.float64()
    document = Document("0", "a\nb", "s", row={"text": "a", "pair": "b", "label": "c"}, kind=kind_of("text_pair"))
    assert document.columns()["text"] == "a"


@pytest.mark.parametrize(("raw", "kind", "columns"), [
    ({"text": "a", "label": 1}, "text_label", {}),
    ({"Review": "a", "Sentiment": "good", "title": "t"}, "text_label", {"text": "Review", "label": "Sentiment"}),
    ({"text": "a", "review": "b", "stars": 3}, "text_label", {"label": "stars"}),
    ({"text": "a", "pair": "b", "label": 1}, "text_pair", {}),
    ({"premise": "a", "hypothesis": "b", "label": 1}, "text_pair", {"text": "premise", "pair": "hypothesis"}),
    ({"question": "a", "answer": "b"}, "prompt_completion", {"prompt": "question", "completion": "answer"}),
    ({"tokens": ["a"], "ner_tags": [0], "id": "1"}, "tags", {"words": "tokens", "tags": "ner_tags"}),
    ({"turns": [{"role": "assistant", "content": "a"}]}, "messages", {"messages": "turns"}),
])  # fmt: skip
def test_rows_are_recognized_by_their_columns(raw, kind, columns):
    row = found(raw)
    assert (row.type_name, row.columns) == (kind, columns)


def test_a_named_column_goes_before_the_usual_names():
    raw = {"text": "a", "summary": "b", "label": 1}
    assert found(raw, text="summary").columns == {"text": "summary"}
    assert found({"headline": "a", "topic": "b"}, text="headline", label="topic").type_name == "text_label"
    assert found({"label": "a", "stars": 2}, text="label").columns == {"text": "label", "label": "stars"}


def test_only_the_kinds_that_may_be_meant_are_tried():
    raw = {"text": "a", "label": "b", "prompt": "c", "completion": "d"}
    assert found(raw, kinds=["prompt_completion"]).type_name == "prompt_completion"
    error = refused(raw)
    assert error.message == (
        "row: the columns text, label, prompt, completion may be prompt_completion (prompt, completion)"
        " or text_label (text, label: class)"
    )
    assert error.hint == "say which: row: prompt_completion, or row: text_label"


def test_rows_of_several_kinds_in_one_file_are_told_apart():
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    error = refused(chat, chat, {"prompt": "a", "completion": "b"})
    assert error.message == (
        "row: the data holds rows of several kinds; of the first 3: 2 messages (the first has messages),"
        " 1 prompt_completion (the first has prompt, completion)"
    )
    assert error.hint == (
        "put them into files of their own; with row: messages the others are broken rows, which are counted"
    )
    assert "may be" in refused({**chat, "prompt": "a", "completion": "b"}).message  # one row is both


def test_no_kind_fits_says_how_near_each_came():
    error = refused({"id": 1, "sentence": "a", "lable": "b"}, kinds=["tags", "text_label"])
    assert error.message.split("\n") == [
        "row: no kind fits the columns id, sentence, lable",
        "  text_label: no column for label (usually label, labels, class, category, ...); did you mean 'lable'?",
        "  tags: no column for words (usually words, tokens)",
    ]
    assert error.hint == "say what they are: row: NAME, and columns: {FIELD: COLUMN}"


def test_a_field_that_may_be_two_columns_is_refused():
    error = refused({"text": "a", "stars": 3, "rating": 4}, kinds=["text_label"])
    assert "text_label: label may be 'stars' or 'rating': name one in columns" in error.message


def test_an_unknown_column_or_field_names_the_nearest():
    error = refused({"review": "a", "stars": 1}, text="reviw")
    assert error.message == "columns.text: the data have no column 'reviw'; did you mean 'review'?"
    error = refused({"review": "a", "stars": 1}, kinds=["text_label"], txt="review")
    assert "text_label: it has no field 'txt'; did you mean 'text'?" in error.message
    with pytest.raises(RowMismatch, match="no column 'reviw' for text; did you mean 'review'"):
        TextLabel(columns={"text": "reviw"}).recognize(["review", "label"], [])


def test_rows_of_which_none_can_be_read_do_not_fit():
    rows = ({"text": "", "label": "a"}, {"text": 5, "label": "b"})
    error = refused(*rows, kinds=["text_label"])
    assert "text_label: no row of the sample can be read: field 'text' is empty" in error.message
    assert found(*rows, {"text": "c", "label": "c"}).type_name == "text_label"


def test_rows_with_a_kinds_columns_of_which_none_can_be_read_say_why_the_first_cannot():
    """Names of columns are not what they lack: whoever reads that they are would look in the wrong place."""
    turns = [{"role": "user", "content": "a"}, {"role": "wizard", "content": "b"}]
    error = refused({"messages": turns}, {"messages": turns})
    assert error.message == (
        "row: the data has the columns of messages: no row of the sample can be read: messages.1.role is 'wizard';"
        " valid: system, user, assistant, tool (row 1)"
    )
    assert error.hint == (
        "mend the rows, or name others; where some can be read, those that cannot are left out and counted"
    )
    several = refused({"messages": [], "text": "", "label": "a"}, kinds=["messages", "text_label"])
    assert several.message.split("\n") == [
        "row: the data has the columns of several kinds",
        "  messages: no row of the sample can be read: field 'messages' has no message of the assistant (row 1)",
        "  text_label: no row of the sample can be read: field 'text' is empty (row 1)",
    ]


def test_an_optional_field_needs_no_column():
    aliases = {"question": ("question",), "hint": ("hint", "clue")}
    assert match(aliases, {}, ["question", "n"], optional=frozenset({"hint"})) == {"question": "question"}
    found = {"question": "question", "hint": "clue"}
    assert match(aliases, {}, ["clue", "question"], optional=frozenset({"hint"})) == found


def test_columns_that_cannot_be_meant():
    with pytest.raises(ValidationError, match="the row has no field 'labl'; did you mean 'label'"):
        TextLabel(columns={"labl": "x"})
    with pytest.raises(ValidationError, match="'x' is the column of two fields"):
        TextLabel(columns={"label": "x", "text": "x"})
    assert TextLabel(columns={"text": "text", "label": "x"}).columns == {"label": "x"}


def test_a_missing_column_is_said_with_those_that_are_there():
    with pytest.raises(RowError, match=r"^no field 'answr'; the row has: q, answer; did you mean 'answer'\?$"):
        PromptCompletion(columns={"prompt": "q", "completion": "answr"}).parse({"q": "a", "answer": "b"})


@pytest.mark.parametrize(("row", "kind"), [
    ({"text": "Good book.", "summary": "Good", "score": 5}, "text_label"),
    ({"document": "Good book.", "target": "pos"}, "text_label"),
    ({"document": "Good book.", "title": "A book", "label": "pos"}, "text_label"),
    ({"question": "Who?", "answer": "Ann", "prompt": "Say who."}, "prompt_completion"),
    ({"instruction": "Say who.", "response": "Ann", "query": "Who?", "passage": "It was Ann."}, "prompt_completion"),
    ({"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Ann"}], "source": "web",
      "target": "x"}, "messages"),
    ({"question": "Who?", "answer": "Ann", "context": "It was Ann."}, "span_answer"),
    ({"question": "Who?", "answer": "It was Ann", "negatives": ["It was Bob"]}, "triplet"),
])  # fmt: skip
def test_a_label_or_an_answer_is_meant_whatever_stands_beside_it(row, kind):
    assert recognize(None, list(row), [row]).type_name == kind


def test_answers_that_rarely_stand_in_the_text_beside_them_are_no_spans():
    rows = [{"question": "Who?", "answer": "It was Ann, of Bonn", "context": "Ann came."} for _ in range(3)]
    rows[1]["answer"] = "Ann"
    assert recognize(None, list(rows[0]), rows).type_name == "prompt_completion"
    assert recognize(["span_answer"], list(rows[0]), rows).type_name == "span_answer"  # who asks for it gets it
