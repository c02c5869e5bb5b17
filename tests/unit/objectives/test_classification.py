"""classification: its loss is transformers' own, and its measures are worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from labelled_models import BODIES, TOKENIZER, batch_of, headed

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.page import Page
from llmkit.data.rows.text_label import TextLabel
from llmkit.data.rows.text_pair import TextPair
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import Example, LeftOut
from llmkit.objectives.rows.classification import Classification

LABELS = ["bad", "good", "so-so"]
CASES: dict[str, tuple[Any, list[Any]]] = {
    "single_label": ("class", ["good", "bad", "so-so", "good"]),
    "multi_label": ("classes", [["good"], [], ["so-so", "bad"], ["good", "so-so"]]),
    "regression": ("number", [0.5, -1.25, 3.0, 0.0]),
}
TEXTS = ["a b c", "d", "e f g h a b", "c c"]


def settled(problem: str) -> tuple[Classification, TextLabel, list[dict[str, Any]]]:
    kind, labels = CASES[problem]
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    row = TextLabel(label=kind)
    noticed = Counter(name for found in rows for name in Classification().notice(found))
    declared = [] if problem == "regression" else LABELS
    return Classification(labels=declared).settle(row, noticed), row, rows


def examples(objective: Classification, kind: Any, rows: list[dict[str, Any]]) -> list[Example]:
    found = objective.encode(rows, kind, TOKENIZER, 16)
    assert all(isinstance(example, Example) for example in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("problem", CASES)
@pytest.mark.parametrize("body", BODIES)
def test_the_loss_is_transformers_own(tmp_path, body, problem):
    objective, kind, rows = settled(problem)
    assert objective.problem == problem
    model = headed(tmp_path, body, objective)
    made = examples(objective, kind, rows)
    tensors, targets = objective.collate(batch_of(objective, made), vocabulary_of(TOKENIZER), seed=0)
    with torch.no_grad():
        (total, weight) = objective.loss(Models(model), tensors)["labels"]
        expected = model(**tensors).loss
    assert targets == {"labels": tensors["labels"].numel()}
    assert weight == 1
    assert float(total) / targets["labels"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("body", BODIES)
def test_padding_changes_nothing(tmp_path, body):
    """Rows in a batch have the logits that each has alone: the token that is read is never padding."""
    objective, kind, rows = settled("single_label")
    model = headed(tmp_path, body, objective)
    made = examples(objective, kind, rows)
    vocabulary = vocabulary_of(TOKENIZER)
    with torch.no_grad():
        whole = objective.outputs(Models(model), objective.collate(batch_of(objective, made), vocabulary, 0)[0])
        for i, example in enumerate(made):
            alone = objective.outputs(
                Models(model), objective.collate(batch_of(objective, [example]), vocabulary, 0)[0]
            )
            torch.testing.assert_close(whole["logits"][i], alone["logits"][0], rtol=1e-5, atol=1e-6)


def test_losses_by_hand():
    """Softmax of (0, ln 3) is (1/4, 3/4); sigmoid of ln 3 is 3/4."""
    logits = torch.tensor([[0.0, math.log(3)]])
    one = Classification(problem="single_label").loss_of({"logits": logits, "labels": torch.tensor([1])})
    assert float(one["labels"][0]) == pytest.approx(math.log(4 / 3))
    several = Classification(problem="multi_label").loss_of({"logits": logits, "labels": torch.tensor([[1.0, 0.0]])})
    assert float(several["labels"][0]) == pytest.approx(math.log(2) + math.log(4))
    number = Classification(problem="regression").loss_of(
        {"logits": torch.tensor([[1.5], [0.0]]), "labels": torch.tensor([1.0, 2.0])}
    )
    assert float(number["labels"][0]) == pytest.approx(0.25 + 4)


def test_pairs_are_read_with_the_types_of_their_tokens():
    objective = Classification(labels=LABELS, problem="single_label")
    (example,) = objective.encode([{"text": "a b", "pair": "c", "label": "good"}], TextPair(), TOKENIZER, 16)
    both = TOKENIZER("a b", "c")
    assert example.columns["input_ids"] == both["input_ids"]
    assert example.columns["token_type_ids"] == both["token_type_ids"] == [0, 0, 0, 0, 1, 1]
    assert example.columns["labels"] == 1


def test_of_a_pair_that_is_too_long_the_longer_text_is_cut_and_the_ends_stay():
    objective = Classification(labels=LABELS, problem="single_label")
    row = {"text": "a b c d e f g h", "pair": "a b", "label": "good"}
    (example,) = objective.encode([row], TextPair(), TOKENIZER, 8)
    assert TOKENIZER.decode(example.columns["input_ids"]) == "[CLS] a b c [SEP] a b [SEP]"
    assert example.cut


def test_a_text_without_tokens_is_left_out():
    bare = transformers.PreTrainedTokenizerFast(
        tokenizer_object=TOKENIZER.backend_tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    bare.backend_tokenizer.post_processor = None  # nothing is added to a text
    try:
        objective = Classification(labels=LABELS, problem="single_label")
        (found,) = objective.encode([{"text": "  ", "label": "good"}], TextLabel(), bare, 8)
    finally:
        bare.backend_tokenizer.post_processor = TOKENIZER.backend_tokenizer.post_processor
    assert isinstance(found, LeftOut)
    assert found.code == "empty"


def test_labels_are_sorted_as_people_do():
    found = Classification().settle(TextLabel(label="class"), Counter(["10", "9", "b", "a", "-1", "2.5"]))
    assert found.labels == ["-1", "2.5", "9", "10", "a", "b"]


@pytest.mark.parametrize(
    ("objective", "kind", "noticed", "error", "says"),
    [
        ({}, "class", ["a", "a"], DataError, "all rows have the label 'a': there is nothing to tell apart"),
        ({"labels": ["good", "bad"]}, "class", ["goood", "bad"], DataError, "the label 'goood' (1 rows) is none of the"
         " declared: good, bad; did you mean 'good'?"),
        ({"labels": ["a"]}, "number", ["number"], ConfigError, "labels are declared, but the data's are numbers"),
        ({"problem": "regression"}, "class", ["a", "b"], ConfigError, "regression, but the labels of the data are"
         " classes"),
        ({}, "class", [f"title {i}" for i in range(1001)], DataError, "1,001 different labels, such as 'title 0' and"
         " 'title 1'"),
    ],
)  # fmt: skip
def test_labels_that_do_not_suit_are_refused(objective, kind, noticed, error, says):
    with pytest.raises(error) as raised:
        Classification(**objective).settle(TextLabel(label=kind), Counter(noticed))
    assert says in str(raised.value)


def test_measures_of_classes_by_hand():
    """Three of four are right; F1 of a: 2*1/(1+2), of b: 2*2/(3+2) -> (0.6667 + 0.8) / 2."""
    objective = Classification(problem="single_label", labels=["a", "b"])
    answers = [(0, [2.0, 0.0]), (1, [0.0, 1.0]), (0, [0.0, 3.0]), (1, [0.0, 1.0])]
    assert objective.measures(answers) == pytest.approx(
        {"accuracy": 0.75, "macro_f1": (2 / 3 + 0.8) / 2, "majority_accuracy": 0.5}
    )
    page = Page("t")
    assert objective.describe(answers, page) == [(2, "a, predicted b (95.3% sure)")]
    html = "".join(page.parts)
    assert "Confusion matrix" in html
    assert "as a" in html


def test_measures_of_several_labels_by_hand():
    """Decisions: hits 2, predicted 3, true 3, so micro F1 is 4/6; one of two rows is right in all labels."""
    objective = Classification(problem="multi_label", labels=["a", "b"])
    answers = [([1.0, 1.0], [1.0, 2.0]), ([0.0, 1.0], [0.5, -1.0])]
    found = objective.measures(answers)
    assert found["accuracy"] == 0.5
    assert found["micro_f1"] == pytest.approx(4 / 6)
    page = Page("t")
    assert objective.describe(answers, page) == [(1, "b, predicted a")]


def test_measures_of_numbers_by_hand():
    objective = Classification(problem="regression")
    answers = [(1.0, [1.0]), (2.0, [4.0]), (3.0, [5.0])]
    found = objective.measures(answers)
    assert found["mse"] == pytest.approx(8 / 3)
    assert found["spearman"] == pytest.approx(1)
    page = Page("t")
    assert [row for row, _ in objective.describe(answers, page)] == [1, 2]


def test_several_labels_become_a_vector():
    objective, kind, rows = settled("multi_label")
    targets = [np.asarray(example.columns["labels"]).tolist() for example in examples(objective, kind, rows)]
    assert targets == [[0, 1, 0], [0, 0, 0], [1, 0, 1], [0, 1, 1]]
