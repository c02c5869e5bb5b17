"""What a label is, and what is no label."""

from __future__ import annotations

import pytest

from llmkit.data.rows import RowError
from llmkit.data.rows._labels import label_type, parse_label


@pytest.mark.parametrize(("values", "kind"), [
    ([], "class"),
    ([None, ""], "class"),
    (["good", "bad"], "class"),
    ([0, 1, 2], "class"),
    ([True, False], "class"),
    (["1", "2"], "class"),
    ([1.0, 2.0], "class"),
    ([1, 2.5], "number"),
    (["3.800", "5"], "number"),
    ([0.5, "good"], "class"),
    (["1_000", "1.5"], "class"),
    (["nan", "1.5"], "class"),
    ([["a"], []], "classes"),
    (['["a", "b"]', "[]"], "classes"),
    (["[a", "b]"], "class"),
])  # fmt: skip
def test_what_a_label_is_goes_by_the_sample(values, kind):
    assert label_type(values) == kind


@pytest.mark.parametrize(("kind", "value", "label"), [
    ("class", " good ", "good"),
    ("class", 3, "3"),
    ("class", 3.0, "3"),
    ("class", True, "true"),
    ("class", "3.50", "3.50"),
    ("auto", False, "false"),
    ("classes", ["b", 1, "b"], ["b", "1"]),
    ("classes", '["b", "a"]', ["b", "a"]),
    ("classes", [], []),
    ("number", 3, 3.0),
    ("number", "-0.5", -0.5),
])  # fmt: skip
def test_labels_have_one_type(kind, value, label):
    parsed = parse_label(value, kind, "label")
    assert (parsed, type(parsed)) == (label, type(label))


@pytest.mark.parametrize(("kind", "value", "reason"), [
    ("class", 2.5, "label is the number 2.5, where labels are classes; label: number reads numbers"),
    ("class", None, "label is null, not a string or an integer"),
    ("class", ["a"], "label is an array, not a string or an integer"),
    ("class", " ", "label is empty"),
    ("classes", "a", "label is a string, not an array"),
    ("classes", None, "label is null, not an array"),
    ("classes", ["a", None], "label[1] is null, not a string or an integer"),
    ("classes", "[a]", "label is no JSON array: "),
    ("number", "good", "label is 'good', not a number"),
    ("number", True, "label is a boolean, not a number"),
    ("number", None, "label is null, not a number"),
    ("number", "inf", "label is 'inf', not a number"),
])  # fmt: skip
def test_what_is_no_label_says_why(kind, value, reason):
    with pytest.raises(RowError) as error:
        parse_label(value, kind, "label")
    assert str(error.value).startswith(reason)
