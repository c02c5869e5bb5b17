"""Exact match: by hand, and as lm-evaluation-harness counts it."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from llmkit.metrics.exact_match import ExactMatch


def score(predictions, references, **fields):
    return ExactMatch(**fields).load().compute(predictions=predictions, references=references)["exact_match"]


@pytest.mark.parametrize(("said", "wanted", "fields"), [
    (" Paris \n", "Paris", {}),
    ("New   York", "New York", {}),
    ("paris", "Paris", {"ignore_case": True}),
    ("Paris.", "Paris", {"ignore_punctuation": True}),
    ("the ferry", "Ferry", {"ignore_articles": True, "ignore_case": True}),
    ("$1,234", "1234", {"remove": [r"\$", ","]}),
    ("room 12", "room 7", {"ignore_numbers": True}),
    ("北京。", "北京", {"ignore_punctuation": True}),
    ("b", ["a", "b"], {}),
])  # fmt: skip
def test_what_is_ignored_does_not_count(said, wanted, fields):
    assert score([said], [wanted], **fields) == 100
    if fields:
        assert score([said], [wanted]) == 0


def test_nothing_else_is_ignored():
    assert score(["Paris "], ["Paris"], ignore_spaces=False) == 0
    assert score(["Paris"], ["Paris, France"]) == 0
    assert score(["«Paris»"], ["Paris"], ignore_punctuation=True) == 0  # as in lm-eval, only that of ASCII
    assert score(["a", "b", "c"], ["a", "b", "d"]) == pytest.approx(200 / 3)


def as_lm_eval(said, wanted, remove, case, punctuation, numbers):
    """The steps of its `exact_match`, in its order."""

    def clean(text):
        for pattern in remove:
            text = re.sub(pattern, "", text)
        text = text.lower() if case else text
        text = text.translate(str.maketrans("", "", string.punctuation)) if punctuation else text
        return text.translate(str.maketrans("", "", string.digits)) if numbers else text

    return clean(said) == clean(wanted)


TEXT = st.text(st.sampled_from("aAbB .,$12 -\n"), max_size=6)


@given(TEXT, TEXT, st.lists(st.sampled_from([r"\$", ",", "a."]), max_size=2), *[st.booleans()] * 3)
def test_equals_lm_eval(said, wanted, remove, case, punctuation, numbers):
    expected = as_lm_eval(said, wanted, remove, case, punctuation, numbers)
    fields = {"ignore_case": case, "ignore_punctuation": punctuation, "ignore_numbers": numbers, "remove": remove}
    assert score([said], [wanted], ignore_spaces=False, **fields) == 100 * expected


@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), *[st.booleans()] * 3)
def test_equals_lm_eval_itself(pairs, case, punctuation, numbers):
    from lm_eval.api.metrics import exact_match_hf_evaluate as theirs

    said, wanted = [list(side) for side in zip(*pairs, strict=True)]
    fields = {"ignore_case": case, "ignore_punctuation": punctuation, "ignore_numbers": numbers}
    expected = theirs(said, wanted, regexes_to_ignore=[",", r"\$"], **fields)["exact_match"]
    assert score(said, wanted, remove=[",", r"\$"], ignore_spaces=False, **fields) == pytest.approx(100 * expected)


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(ValidationError, match=r"'\(' is no regular expression: missing \)"):
        ExactMatch(remove=["("])
