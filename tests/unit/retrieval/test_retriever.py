"""Ranks of several searches become one, and passages are put before a question."""

from __future__ import annotations

import numpy as np
import pytest

from llmkit.retrieval import Passage, prompt
from llmkit.retrieval.citing import CHINESE, ENGLISH
from llmkit.retrieval.retriever import _best, _fused


def test_the_best_are_in_order_and_equal_ones_by_their_place():
    scores = np.array([0.5, 2.0, 0.0, 2.0, 1.0, 2.0], np.float32)
    assert _best(scores, 2) == [(1, 2.0), (3, 2.0)]
    assert _best(scores, 4) == [(1, 2.0), (3, 2.0), (5, 2.0), (4, 1.0)]
    assert _best(scores, 99, above=0) == [(1, 2.0), (3, 2.0), (5, 2.0), (4, 1.0), (0, 0.5)]
    assert _best(np.zeros(3, np.float32), 2, above=0) == []


def test_ranks_are_fused_by_their_reciprocals():
    rankings = {"words": [(7, 9.0), (3, 8.0)], "vectors": [(3, 0.9), (5, 0.8)], "entities": []}
    found = _fused(rankings)
    assert [number for number, _ in found] == [3, 7, 5]
    assert [score for _, score in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62])
    assert _fused({"words": [(7, 9.0)], "vectors": []}) == [(7, 9.0)]
    assert _fused({"words": []}) == []


def passage(text):
    return Passage("a-0", text, 1.0, {"words": 1}, "document", "a", "s", "f", 3, 0, len(text))


def test_passages_stand_before_the_conversation():
    turns = [{"role": "user", "content": "Who?"}]
    found = prompt(turns, [passage("Ann."), passage("Bob.")])
    assert found == [{"role": "system", "content": f"{ENGLISH}\n\n[1] Ann.\n\n[2] Bob."}, *turns]
    own = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "曹操是谁？"}]
    first, second = prompt(own, [passage("字孟德")])
    assert first == {"role": "system", "content": f"Be brief.\n\n{CHINESE}\n\n[1] 字孟德"}
    assert second == own[1]
    assert prompt(turns, []) == turns
    assert own[0]["content"] == "Be brief.", "what was given stays as it was"
