"""A model with the weights of its export: what is asked of it, and how far an export may be off."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from llmkit.evaluation.fresh import Answers
from llmkit.evaluation.probes import Probes, Row
from llmkit.evaluation.rounded import ask_rounded, wrong_graph
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Facts, Generate, Logits, Running

ROWS = [Row((1, 2)), Row((3, 4)), Row((5, 6, 7)), Row((1, 1), 4), Row((2, 2), 4)]
ASKED = Probes(ROWS, [*(Logits(row.ids) for row in ROWS), *(Generate(row.ids, 2) for row in ROWS)], texts=("a",))


class Toy(Running):
    """Logits that are the ids and their squares; rounded, they are 0.1 more."""

    facts = Facts(versions={"toy": "1"})
    more = 0.0

    def __init__(self):
        self.asked = []

    def takes(self, request):
        return None if isinstance(request, Logits | Embed) else "it is too small"

    def tokens(self, request):
        return 1

    def answer(self, requests):
        self.asked += requests
        return [self.numbers(one) + self.more for one in requests]

    def numbers(self, one):
        ids = np.array(one.ids if isinstance(one, Logits) else [len(one.text)], np.float32)
        return np.stack([ids, ids**2], -1)


@contextmanager
def rounding(toy):
    toy.more = 0.1
    yield
    toy.more = 0.0


def test_a_few_rows_are_asked_twice_and_nothing_is_written_or_read():
    toy = Toy()
    found = ask_rounded(ASKED, "tokens", toy, "toy", rounding(toy))
    assert [one.ids for one in toy.asked] == 2 * [(1, 2), (5, 6, 7), (1, 1)], "a short row, the long one, a text"
    assert [place for place, one in enumerate(found.answers.given) if one is not None] == [0, 2, 3]
    numbers = np.concatenate([toy.numbers(Logits(ROWS[i].ids)).ravel() for i in (0, 2, 3)])
    assert found.share == pytest.approx(0.1 / numbers.std(), rel=1e-5)


def test_an_export_may_be_off_by_twice_what_rounding_changes():
    toy = Toy()
    found = ask_rounded(ASKED, "tokens", toy, "toy", rounding(toy))
    exact = [None if isinstance(one, Generate) else toy.numbers(one) for one in ASKED.requests]
    graph = found.compare(Answers(exact, {}), 2.0)
    assert graph["off"] == pytest.approx(found.share, rel=1e-5)
    assert graph["limit"] == pytest.approx(2 * found.share + 0.005)
    other = [one if one is None else one[..., ::-1] for one in exact]
    graph = found.compare(Answers(other, {}), 2.0)
    assert graph["off"] > graph["limit"]


def test_vectors_of_a_few_texts_are_asked_for():
    asked = Probes(ROWS[:1], [Logits((1, 2)), *(Embed(letter * 2) for letter in "abcdef")])
    toy = Toy()
    ask_rounded(asked, "vector", toy, "toy", rounding(toy))
    assert [one.text for one in toy.asked if isinstance(one, Embed)] == 2 * ["aa", "bb", "cc", "dd"]


def test_numbers_that_are_none():
    toy = Toy()
    toy.more = np.nan
    with pytest.raises(NotFiniteError):
        ask_rounded(ASKED, "tokens", toy, "toy", rounding(toy))


def test_words():
    assert wrong_graph(Path("m"), {"off": 0.102, "rounding": 0.0146, "limit": 0.034}) == (
        "the export does not compute what m would with the same rounded weights: its numbers are off by 10.2% of their"
        " spread (at most 3.4% allowed, since rounding what layers read changes 1.5%)"
    )
