from __future__ import annotations

import pytest
from test_exact_duplicates import decided

from llmkit.cleaning.steps.mixture import Mixture
from llmkit.data.corpus import Document


def source(name, count, size=10):
    return [Document(f"{name}{i:x}".ljust(32, "0"), "x" * size, name) for i in range(count)]


def sizes(step, documents, folder):
    """Bytes per source after the step."""
    kept, (_, drops) = {}, decided(step, [documents], folder, key=lambda document: document.id)
    for document in documents:
        if document.id not in drops:
            kept[document.source] = kept.get(document.source, 0) + len(document.text)
    return kept


@pytest.mark.parametrize(("weights", "expected"), [
    ({"a": 1, "b": 1}, {"a": 50, "b": 50}),
    ({"a": 1, "b": 2}, {"a": 50, "b": 100}),
    ({"a": 2, "b": 1}, {"a": 50, "b": 20}),  # 25 bytes are two whole documents
    ({"a": 0.1, "b": 0.3}, {"a": 40, "b": 120}),  # b is the scarce one: 120 / 0.3 * 0.1 = 40
    ({"a": 0, "b": 1}, {"b": 120}),
    ({"b": 5}, {"b": 120}),
    ({"a": 1, "b": 1, "absent": 7}, {"a": 50, "b": 50}),
])  # fmt: skip
def test_the_scarcest_source_stays_whole_and_the_others_follow(tmp_path, weights, expected):
    assert sizes(Mixture(weights=weights), source("a", 5) + source("b", 12), tmp_path) == expected


def test_others_share_one_weight_each(tmp_path):
    documents = source("a", 4) + source("b", 9) + source("c", 12)
    assert sizes(Mixture(weights={"a": 2}, others=1), documents, tmp_path) == {"a": 40, "b": 20, "c": 20}


def test_thirds_lose_nothing_of_the_scarcest_to_rounding(tmp_path):
    documents = source("a", 7, size=7) + source("b", 15, size=7)
    kept = sizes(Mixture(weights={"a": 1 / 3, "b": 2 / 3}), documents, tmp_path)
    assert kept == {"a": 49, "b": 98}


def test_a_source_without_a_byte_is_not_the_scarcest(tmp_path):
    documents = source("a", 3) + source("e", 2, size=0)
    assert sizes(Mixture(weights={"a": 1, "e": 1}), documents, tmp_path) == {"a": 30}


def test_a_weight_of_zero_leaves_empty_documents_out_too(tmp_path):
    assert sizes(Mixture(weights={"a": 1}), source("a", 3) + source("e", 2, size=0), tmp_path) == {"a": 30}


def test_the_choice_depends_on_seed_and_ids_alone(tmp_path):
    documents = source("a", 5) + source("b", 12)
    first = decided(Mixture(weights={"a": 1, "b": 1}), [documents], tmp_path / "1", key=lambda d: d.id)
    again = decided(
        Mixture(weights={"a": 1, "b": 1}), [documents[8:], documents[:8]], tmp_path / "2", 1, lambda d: d.id
    )
    other = decided(Mixture(weights={"a": 1, "b": 1}, seed=1), [documents], tmp_path / "3", key=lambda d: d.id)
    assert first == again
    assert first[0] == {"sources cut": 1}
    assert first[1] != other[1]
    assert set(first[1].values()) == {("mixture", "source b")}


def test_the_threshold_is_the_weight():
    step = Mixture(weights={"a": 1, "b": 0.25}, others=0.5)
    assert step.act(source("b", 1)[0], []).threshold == 0.25
    assert step.act(source("c", 1)[0], []).threshold == 0.5
