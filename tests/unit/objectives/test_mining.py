"""Mined negatives: near, but not too near; the same whenever they are mined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headed import BODY, save_headed
from labelled import write_examples
from llmkit.core.console import Console
from llmkit.data.artifacts import Examples
from llmkit.data.rows.triplet import Triplet
from llmkit.modeling.pooling import Pooling
from llmkit.objectives.rows import _mining
from llmkit.objectives.rows._bm25 import bm25, words_of
from llmkit.objectives.rows._mining import Negatives, mine

SCORES = np.array([0.9, 1.0, 0.86, 0.8, 0.7, 0.96, 0.1], np.float32)


@pytest.mark.parametrize(("fields", "own", "known", "chosen"), [
    ({"mine": 2, "skip_top": 0, "margin": 0.0}, [1], [1], [5, 0]),
    ({"mine": 2, "skip_top": 0, "margin": 0.05}, [1], [1], [0, 2]),  # 0.96 is more than 95% of 1.0
    ({"mine": 2, "skip_top": 2, "margin": 0.05}, [1], [1], [2, 3]),  # of those left, 0.96 and 0.9 are the nearest
    ({"mine": 2, "skip_top": 0, "margin": 0.05}, [1, 0], [0, 1], [3, 4]),  # 0.855: the lesser of two own texts decides
    ({"mine": 9, "skip_top": 5, "margin": 0.05}, [1], [1], [6]),
    ({"mine": 2, "skip_top": 0, "margin": 0.5}, [], [0], [1, 5]),  # of validation: its text is in no pool
])  # fmt: skip
def test_what_is_chosen(fields, own, known, chosen):
    assert _mining._choose(Negatives(**fields), SCORES, own, known) == chosen


def test_equal_scores_go_by_the_order_of_the_pool():
    scores = np.array([0.5] * 6 + [1.0], np.float32)
    assert _mining._choose(Negatives(mine=3, skip_top=1), scores, [6], [6]) == [1, 2, 3]


def test_bm25_by_hand():
    """One text of two has the word: idf ln(1 + 1.5/1.5) = ln 2; it is of mean length and has it once: 2.2 / 2.2."""
    search = bm25(["the boat", "the sea"], ["Boat?", "none"])
    assert search(slice(0, 2)) == pytest.approx(np.array([[np.log(2), 0], [0, 0]]), rel=1e-6)
    assert list(words_of("The 渡轮 left, naïve")) == ["the", "渡", "轮", "left", "naïve"]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return list(Examples(folder).rows())


@pytest.mark.parametrize("by", ["model", "bm25"])
def test_rows_get_negatives_and_keep_all_else(tmp_path, by, monkeypatch):
    model = save_headed(tmp_path / "model", BODY)
    topics = ["a boat at sea", "bread and butter", "the old harbour", "wind and rain", "a good captain"]
    rows = [{"query": f"{text} {i}?", "positive": f"{text} {i}", "negatives": ["own"] if i == 0 else []}
            for i, text in enumerate(topics * 6)]  # fmt: skip
    rows += [{**rows[0], "positive": "a second text of the first query", "negatives": []}]
    data = write_examples(tmp_path / "rows", Triplet(), rows)
    settings = Negatives(mine=2, by=by, skip_top=1, margin=0.01)

    def run(place: str) -> list[dict[str, Any]]:
        folder = tmp_path / place
        folder.mkdir(exist_ok=True)
        how = Pooling(normalized=True), ("", ""), folder, 0.2, Console(quiet=True)
        (out,) = mine(settings, [data], Triplet(), model, *how)
        return rows_of(out)

    found = run("one")
    before = rows_of(data)
    assert [{**row, "negatives": None} for row in found] == [{**row, "negatives": None} for row in before]
    assert all(row["negatives"][:1] == ["own"] for row in found if row["id"] == before[0]["id"])
    own: dict[str, set[str]] = {}
    for row in before:
        own.setdefault(row["query"], set()).add(row["positive"])
    from llmkit.data.split import split_of

    trained = {row["positive"] for row in before
               if split_of(row["text"], validation_fraction=0.2, test_fraction=0) == "train"}  # fmt: skip
    assert trained < {row["positive"] for row in before}
    mined = [(row["query"], text) for row in found for text in row["negatives"] if text != "own"]
    assert len(mined) > len(rows) / 3
    assert all(text in trained and text not in own[query] for query, text in mined)
    assert all(len(set(row["negatives"])) == len(row["negatives"]) for row in found)
    assert run("two") == found
    monkeypatch.setattr(_mining, "_searched", None)
    assert run("one") == found  # it is not done again
