"""token_classification: a word's tag stands at its first token; the loss is transformers' own, measures are by hand."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from labelled_models import BODIES, TOKENIZER, batch_of, headed

from llmkit.core.errors import DataError
from llmkit.core.page import Page
from llmkit.data.rows.tags import Tags
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import LeftOut
from llmkit.objectives.rows.token_classification import TokenClassification

TAGS = ["O", "B-LOC", "I-LOC", "B-PER"]
X = -100


def row(words, *tags):
    return {"words": list(words), "tags": list(tags)}


def one(found, limit=16, **fields):
    (example,) = TokenClassification(labels=TAGS, **fields).encode([found], Tags(), TOKENIZER, limit)
    return example


def test_a_words_tag_stands_at_its_first_token():
    example = one(row(["abc", "d", "ab"], "B-PER", "O", "B-LOC"))
    assert TOKENIZER.convert_ids_to_tokens(example.columns["input_ids"]) == [
        "[CLS]", "a", "##b", "##c", "d", "a", "##b", "[SEP]",
    ]  # fmt: skip
    assert example.columns["labels"].tolist() == [X, 3, X, X, 0, 1, X, X]
    assert example.columns["first"].tolist() == [False, True, False, False, True, True, False, False]
    assert example.targets == 3
    assert not example.cut


def test_all_tokens_of_a_word_may_be_learned():
    example = one(row(["abc", "d"], "B-PER", "O"), all_tokens=True)
    assert example.columns["labels"].tolist() == [X, 3, 3, 3, 0, X]
    assert example.columns["first"].tolist() == [False, True, False, False, True, False]


def test_chinese_characters_are_words():
    example = one(row("我京北", "O", "B-LOC", "I-LOC"))
    assert example.columns["labels"].tolist() == [X, 0, 1, 2, X]


def test_a_row_that_is_too_long_is_cut_at_its_end():
    example = one(row("abcdefgh", *["O"] * 7, "B-PER"), limit=5)
    assert example.columns["labels"].tolist() == [X, 0, 0, 0, X]
    assert example.cut


def test_a_row_without_tokens_is_left_out():
    found = one(row([" "], "O"))
    assert isinstance(found, LeftOut)
    assert found.code == "empty"


@pytest.mark.parametrize("body", BODIES)
def test_the_loss_is_transformers_own(tmp_path, body):
    rows = [row(["abc", "d"], "B-PER", "O"), row("我京北", "O", "B-LOC", "I-LOC"), row("a", "O")]
    objective = TokenClassification(labels=TAGS)
    made = objective.encode(rows, Tags(), TOKENIZER, 16)
    model = headed(tmp_path, body, objective)
    tensors, targets = objective.collate(batch_of(objective, made), vocabulary_of(TOKENIZER), 0)
    with torch.no_grad():
        total, _ = objective.loss(Models(model), tensors)["tags"]
        expected = model(**{name: tensor for name, tensor in tensors.items() if name != "first"}).loss
    assert targets == {"tags": 6}
    assert float(total) / 6 == pytest.approx(float(expected), rel=1e-5)


def test_answers_are_those_of_words():
    objective = TokenClassification(labels=["O", "B"])
    logits = torch.tensor([[[9.0, 0], [0, 9], [9, 0]], [[0, 9], [9, 0], [9, 0]]])
    outputs = {
        "logits": logits,
        "labels": torch.tensor([[X, 1, 0], [1, X, X]]),
        "first": torch.tensor([[0, 1, 1], [1, 0, 0]]),
    }
    assert objective.answers(outputs) == [([1, 0], [1, 0]), ([1], [1])]


def test_measures_of_entities_by_hand():
    """True: one of two words, and a person. Found: the place too short, which counts as none, and the person."""
    objective = TokenClassification(labels=TAGS)
    answers = [([0, 1, 2], [0, 1, 0]), ([3, 0], [3, 0])]
    assert objective.measures(answers) == pytest.approx(
        {"f1": 0.5, "precision": 0.5, "recall": 0.5, "accuracy": 0.8, "majority_accuracy": 0.4}
    )
    page = Page("t")
    assert objective.describe(answers, page) == [(0, "1 of 3 tags are wrong: I-LOC as O")]
    html = "".join(page.parts)
    assert "Entities" in html
    assert "<td>LOC</td>" in html


def test_tags_that_name_no_entities_are_measured_as_classes():
    objective = TokenClassification(labels=["NOUN", "VERB"])
    found = objective.measures([([0, 1], [0, 0])])
    assert found == pytest.approx({"macro_f1": (2 / 3) / 2, "accuracy": 0.5, "majority_accuracy": 0.5})


def test_tags_are_sorted_with_o_first():
    assert TokenClassification().settle(Tags(), Counter(["B-A", "O", "A"])).labels == ["O", "A", "B-A"]


@pytest.mark.parametrize(
    ("labels", "noticed", "says"),
    [
        (["O", "B-PER"], ["O", "B-PRE"], "the tag 'B-PRE' (1 words) is none of the declared: O, B-PER; did you mean"
         " 'B-PER'?"),
        ([], ["O", "O"], "all words have the tag 'O': there is nothing to tell apart"),
    ],
)  # fmt: skip
def test_tags_that_do_not_suit_are_refused(labels, noticed, says):
    with pytest.raises(DataError) as raised:
        TokenClassification(labels=labels).settle(Tags(), Counter(noticed))
    assert says in str(raised.value)
