from __future__ import annotations

import pyarrow as pa
import pytest

from llmkit.data.rows import RowError
from llmkit.data.rows.text_label import TextLabel


@pytest.mark.parametrize(("labels", "kind", "stored", "arrow", "shown"), [
    (["good", "bad"], "class", "good", pa.string(), "good"),
    ([1, 0], "class", "1", pa.string(), "1"),
    ([["a", "b"], []], "classes", ["a", "b"], pa.list_(pa.string()), "a, b"),
    ([0.5, 1], "number", 0.5, pa.float64(), "0.5"),
])  # fmt: skip
def test_the_sample_says_what_the_labels_are(labels, kind, stored, arrow, shown):
    rows = [{"review": "text", "stars": label} for label in labels]
    found = TextLabel().recognize(["review", "stars"], rows)
    assert found == TextLabel(columns={"text": "review", "label": "stars"}, label=kind)
    row = found.parse(rows[0])
    assert row == {"text": "text", "label": stored}
    assert found.target(row) == stored
    assert found.show(row) == [("text", "text"), ("label", shown)]
    assert {field.name: field.type for field in found.schema()} == {"text": pa.string(), "label": arrow}
    assert found.kept() == TextLabel(label=kind)


def test_the_order_of_classes_means_nothing():
    assert TextLabel(label="classes").target({"text": "a", "label": ["b", "a"]}) == ["a", "b"]


def test_a_type_that_is_given_is_kept():
    rows = [{"text": "a", "label": 3}]
    assert TextLabel(label="number").recognize(["text", "label"], rows).parse(rows[0])["label"] == 3.0


def test_it_says_what_it_reads():
    kind = TextLabel(columns={"label": "stars"}, label="number")
    assert kind.describe() == "text_label (text, label from 'stars': number)"


@pytest.mark.parametrize(("raw", "reason"), [
    ({"text": "  ", "label": "a"}, "field 'text' is empty"),
    ({"text": "a", "label": ""}, "field 'label' is empty"),
    ({"text": "a", "label": 2.5}, "field 'label' is the number 2.5, where labels are classes; label: number reads"),
    ({"text": "a"}, "no field 'label'; the row has: text"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(RowError) as error:
        TextLabel(label="class").parse(raw)
    assert str(error.value).startswith(reason)
