"""Labels of data and those of models: by name, whatever the case, by number, or as the user says."""

from __future__ import annotations

from collections import Counter

import pytest

from llmkit.core.errors import DataError
from llmkit.tasks._labels import fit_labels
from llmkit.tasks.token_classification import scheme_of

MODEL = ["negative", "positive", "very_good"]


def fitted(labels, model=MODEL, **given):
    return fit_labels(Counter(labels), model, given)


@pytest.mark.parametrize(("labels", "model", "names", "how"), [
    (["positive", "negative"], MODEL, {"positive": "positive", "negative": "negative"}, ""),
    (["Positive", "very good"], MODEL, {"Positive": "positive", "very good": "very_good"},
     "labels of the data are taken for the model's: Positive = positive, very good = very_good"),
    (["1", "0"], MODEL, {"0": "negative", "1": "positive"},
     "labels of the data are taken for the model's: 0 = negative, 1 = positive"),
    (["0", "1"], ["LABEL_0", "LABEL_1"], {"0": "LABEL_0", "1": "LABEL_1"},
     "labels of the data are taken for the model's: 0 = LABEL_0, 1 = LABEL_1"),
    (["-1", "1"], ["-1", "0", "1"], {"-1": "-1", "1": "1"}, ""),
])  # fmt: skip
def test_labels_that_fit(labels, model, names, how):
    found = fitted(labels, model)
    assert (found.names, found.how, found.unknown) == (names, how, Counter())


def test_a_sign_is_part_of_a_number():
    assert fitted(["-1", "1"], ["0", "1"]).unknown == {"-1": 1}


def test_names_that_differ_by_case_alone_are_not_guessed():
    assert fitted(["a", "b"], ["A", "a ", "b"]).unknown == {"a": 1}


def test_what_the_user_says_comes_first():
    assert fitted(["pos", "neg"], pos="Positive", neg="negative").names == {"pos": "positive", "neg": "negative"}


def test_labels_that_the_model_does_not_know_are_counted():
    found = fitted(["positive", "negatve", "negatve", "7"])
    assert found.unknown == {"negatve": 2, "7": 1}
    assert found.notes("rows") == [
        "3 rows have labels that the model does not know, which count as wrong: 'negatve' (2), '7' (1);"
        " did you mean 'negative'?"
    ]


@pytest.mark.parametrize("labels", [["spam", "ham"], ["1", "2", "3"], ["0", "1", "x"]])
def test_labels_of_which_none_fits_are_refused(labels):
    with pytest.raises(DataError) as caught:
        fitted(labels)
    assert "the model has 'negative', 'positive', 'very_good'" in caught.value.message
    assert f"tasks.0.labels={{{min(labels)}: negative, ...}}" in caught.value.hint


@pytest.mark.parametrize(("texts", "scheme"), [
    (["O O"], ""), (["NOUN VERB"], ""), (["I-A I-A O"], "IO"), (["B-A I-A", "O"], "IOB2"), (["O B-A B-A"], "IOB2"),
    (["I-A B-A I-A", "O I-B"], "IOB1"), (["I-A I-B B-A"], "IOB2"), (["S-A O"], "IOBES"), (["B-A E-A"], "IOBES"),
])  # fmt: skip
def test_the_scheme_of_tags(texts, scheme):
    assert scheme_of([text.split() for text in texts]) == scheme
