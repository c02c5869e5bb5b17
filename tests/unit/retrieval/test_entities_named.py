"""Triples of the entities that a question names."""

from __future__ import annotations

import pytest

from llmkit.retrieval.entities import Entities

SUBJECTS = ["New York", "York", "曹操", None, "Ann", "Warsaw"]
OBJECTS = ["USA", "England", "孟德", None, "New York", "Poland"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Where is new  york?", [0, 4]),
        ("Where is York?", [1]),
        ("Yorkshire, and Annabel", []),
        ("请问曹操字什么", [2]),
        ("谁字孟德？", [2]),
        ("Ann and WARSAW", [4, 5]),
        ("nobody", []),
        ("", []),
    ],
)
def test_by_hand(question, expected):
    assert Entities(SUBJECTS, OBJECTS).named_in(question) == expected


def test_none_at_all():
    assert Entities([None, None], [None, ""]).named_in("anything") == []
