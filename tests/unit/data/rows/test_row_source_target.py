from __future__ import annotations

import pytest

from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family
from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.source_target import SourceTarget

KINDS = ["source_target"]


def found(raw, kinds=KINDS, **columns):
    return recognize(kinds, list(raw), [raw], columns)


@pytest.mark.parametrize(("raw", "columns"), [
    ({"source": "a", "target": "b"}, ("source", "target")),
    ({"src": "a", "tgt": "b", "file": "c"}, ("src", "tgt")),
    ({"document": "a", "summary": "b", "id": "1"}, ("document", "summary")),
    ({"article": "a", "highlights": "b"}, ("article", "highlights")),
    ({"text": "a", "summary": "b"}, ("text", "summary")),
    ({"Dialogue": "a", "Summary": "b"}, ("Dialogue", "Summary")),
    ({"input": "a", "output": "b"}, ("input", "output")),
    ({"source": "a", "references": ["b", "c"]}, ("source", "references")),
    ({"translation": {"en": "a", "zh": "b"}}, ("translation.en", "translation.zh")),
    ({"id": "1", "pair": {"en": "a", "zh_CN": "b"}}, ("pair.en", "pair.zh_CN")),
    ({"en": "a", "zh": "b"}, ("en", "zh")),
    ({"id": "a", "en": "b"}, ("id", "en")),  # Indonesian
    ({"id": "1", "en": "a", "zh": "b"}, ("en", "zh")),
])  # fmt: skip
def test_the_names_that_people_have(raw, columns):
    row = found(raw)
    assert (row.column("source_text"), row.column("targets")) == columns
    assert row.parse(raw) == {"source_text": "b" if columns[0] == "zh" else "a",
                              "targets": ["b", "c"] if "references" in raw else ["b"]}  # fmt: skip
    assert Family("row").parse(row.spec()) == row


def test_a_named_column_may_be_within_an_object():
    raw = {"translation": {"en": "a", "zh": "b"}}
    row = found(raw, source_text="translation.zh", targets="translation.en")
    assert row.parse(raw) == {"source_text": "b", "targets": ["a"]}
    assert row.used() == ["translation"]
    assert found({"src": "a", "t": {"zh": "b"}}, source_text="src", targets="t.zh").parse(
        {"src": "a", "t": {"zh": "b"}}
    ) == {"source_text": "a", "targets": ["b"]}
    with pytest.raises(RowError, match="no field 'fr'; the row has: en, zh"):
        SourceTarget(columns={"source_text": "translation.fr", "targets": "translation.en"}).parse(raw)


@pytest.mark.parametrize(("raw", "reason"), [
    ({"translation": {"en": "a", "zh": "b", "fr": "c"}}, "'translation' has texts in en, zh, fr: name two"),
    ({"instruction": "a", "input": "b", "output": "c"}, "an instruction with an input is a prompt"),
    ({"source": "a", "taget": "b"}, "no column for targets (usually targets, target, tgt, target_text, ...); did you"
     " mean 'taget'?"),
    ({"age": "a", "sex": "b"}, "no column for source_text"),  # both are codes of languages
    ({"source": "a", "target": " "}, "field 'target' is empty"),
    ({"source": "", "target": "b"}, "field 'source' is empty"),
    ({"source": "a", "target": []}, "field 'target' is empty"),
    ({"source": "a", "target": ["b", ""]}, "field 'target.1' is empty"),
    ({"source": "a", "target": 3}, "field 'target' is a number, not a string"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(ConfigError) as error:
        found(raw)
    assert reason in error.value.message


@pytest.mark.parametrize(("raw", "kind"), [
    ({"input": "a", "output": "b"}, "prompt_completion"),
    ({"text": "a", "target": "b"}, "text_label"),
    ({"text": "a", "summary": "b"}, "source_target"),
    ({"translation": {"en": "a", "zh": "b"}}, "source_target"),
])  # fmt: skip
def test_beside_all_kinds_columns_that_say_little_are_another_s(raw, kind):
    assert found(raw, None).type_name == kind


def test_texts_are_changed_one_by_one_and_none_may_be_emptied():
    row = {"source_text": "A", "targets": ["B", "C"]}
    kind = SourceTarget()
    assert kind.texts(row) == {"source_text": "A", "targets.0": "B", "targets.1": "C"}
    assert kind.with_texts(row, {"targets.1": "c"}) == {"source_text": "A", "targets": ["B", "c"]}
    assert kind.key_text(row) == "A\nB\nC"
    assert kind.show(row) == [("source", "A"), ("target", "B"), ("target", "C")]
    with pytest.raises(RowError, match=r"^targets.0 is empty$"):
        kind.with_texts(row, {"targets.0": " "})
