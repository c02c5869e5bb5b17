"""The same requests to two runtimes: what is asked of which kind of answer, and what passes for the same."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llmkit.core.errors import CheckFailedError, ConfigError
from llmkit.evaluation.fresh import Answers
from llmkit.evaluation.parity import Parity
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Facts, Generate, Logits, Running, Written


def config(**fields):
    return SimpleNamespace(
        **{"vocab_size": 10, "eos_token_id": 9, "is_encoder_decoder": False, "problem_type": None, **fields}
    )


def head(answer):
    return SimpleNamespace(answer=answer, chosen="choices", auto_class="AutoModel")


def parity(answer="tokens", *, positions=4, prompts=2, new_tokens=3, **fields):
    return Parity.of(
        Path("model"), config(**fields), head(answer), positions=positions, prompts=prompts, new_tokens=new_tokens,
        seed=0,
    )  # fmt: skip


def compare(asked, ours, theirs, *, exact=True, limit=0.5):
    answers = (Answers(given, {}) for given in (ours, theirs))
    return asked.compare(*answers, tolerance=lambda _, spread: limit * spread, exact=exact)


class Fixed(Running):
    """Answers with what it is given."""

    facts = Facts(versions={"toy": "1"})

    def __init__(self, *given, refuses=None):
        self.given, self.refuses = list(given), refuses

    def takes(self, request):
        return "it is too small" if isinstance(request, self.refuses or ()) else None

    def tokens(self, request):
        return 1

    def answer(self, requests):
        return [self.given.pop(0) for _ in requests]


def test_the_requests_are_random_ids_that_fit():
    # numpy.random.Generator(PCG64(0)).integers(0, 10, (2, 2)), as before there were runtimes
    asked = parity()
    rows = [(8, 6), (5, 2)]
    assert asked.requests == [*map(Logits, rows), *(Generate(row, budget=2, exact=True) for row in rows)]
    assert parity("label", positions=None, prompts=1).requests[0].ids[:4] == (8, 6, 5, 2)
    assert [len(request.ids) for request in parity("label", positions=None).requests] == [32, 32]
    assert [request.budget for request in parity(positions=1).requests[2:]] == [1, 1]


def test_an_encoder_decoder_with_labels_reads_one_end_where_the_text_ends():
    for end, rows in ((8, [(9, 8), (5, 8)]), (6, [(8, 6), (5, 6)]), (None, [(8, 6), (5, 2)])):
        asked = parity("label", is_encoder_decoder=True, eos_token_id=end)
        assert [request.ids for request in asked.requests] == rows


def test_numbers_and_tokens_are_compared():
    asked = parity(prompts=1)
    numbers = np.array([[1.0, -1.0], [3.0, -3.0]], np.float32)  # their deviation is the root of 5
    ours = [numbers, Written((1, 2), "ab", ended=False)]
    same = compare(asked, ours, ours)
    assert (same["passed"], same["max_logit_difference"], same["tokens"], same["equal_tokens"]) == (True, 0, 2, 2)
    assert same["logit_spread"] == pytest.approx(5**0.5)
    assert (same["prompts"], same["requests"]) == (1, {"logits": 1, "generate": 1})
    turned = [numbers + 1, Written((1, 3), "ac", ended=False)]
    found = compare(asked, ours, turned)
    assert (found["passed"], found["max_logit_difference"], found["equal_tokens"]) == (False, 1, 1)
    assert compare(asked, ours, turned, exact=False)["passed"] is True
    assert compare(asked, ours, turned, exact=False, limit=0.4)["passed"] is False  # 0.4 * 5 ** 0.5 < 1
    short = compare(asked, ours, [numbers, Written((1,), "a", ended=True)])
    assert (short["passed"], short["equal_tokens"], short["tokens"]) == (False, 1, 2)


@pytest.mark.parametrize(("answer", "fields", "ours", "theirs", "equal", "total"), [
    ("token_labels", {}, [[1, 0], [0, 1]], [[1, 0], [1, 0]], 1, 2),
    # Two tokens with two labels each, and behind them one number of another head.
    ("token_labels", {}, [1, 0, 0, 1, 7], [1, 0, 1, 0, 7], 1, 2),
    ("label", {}, [1, 0, 0], [0, 1, 0], 0, 1),
    ("label", {"problem_type": "multi_label_classification"}, [1, -1, 1], [1, 1, 1], 2, 3),
    ("span", {}, [[1, 0], [0, 1]], [[1, 0], [1, 0]], 1, 2),
    ("number", {}, [2.0], [1.0], 0, 0),
    ("vector", {}, [2.0, 1.0], [1.0, 1.0], 0, 0),
])  # fmt: skip
def test_what_is_chosen_by_the_numbers(answer, fields, ours, theirs, equal, total):
    given = [[np.array(side, np.float32)] for side in (ours, theirs)]
    found = compare(parity(answer, prompts=1, **fields), *given)
    assert (found["equal_tokens"], found["tokens"]) == (equal, total)


def test_the_size_of_a_number_is_its_spread():
    found = compare(parity("number", prompts=1), [np.array([-4.0])], [np.array([-4.0])])
    assert found["logit_spread"] == 4


def test_another_vocabulary_is_another_model():
    one, other = ([np.zeros((2, size), np.float32), Written((1, 2), "", ended=False)] for size in (10, 12))
    with pytest.raises(CheckFailedError, match=r"answers with numbers \[2, 12\], and model with \[2, 10\]"):
        compare(parity(prompts=1), one, other)


@pytest.mark.parametrize(
    ("borders", "words"),
    [
        ({"read": [[1], [2], [3], [4], [7, 8]]}, "the export reads text otherwise: 'Zoë paid"),
        ({"ends": frozenset({2, 9})}, "the export stops writing at the ids [2, 9], and model at [9]"),
    ],
)
def test_what_stands_around_the_numbers_is_compared(borders, words):
    asked = parity(prompts=1)
    given = [np.ones((2, 10), np.float32), Written((1, 2), "", ended=False)]
    alike = {"read": [[1], [2], [3], [4], [5]], "ends": frozenset({9})}

    def found(**changed):
        sides = Answers(given, {}, **alike), Answers(given, {}, **alike | changed)
        return asked.compare(*sides, tolerance=lambda *_: 0.0, exact=True)

    assert found()["passed"]
    assert found(read=None, ends=None)["passed"], "a runtime may have no tokenizer"
    with pytest.raises(CheckFailedError, match=re.escape(words)):
        found(**borders)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_model_that_answers_no_number_is_to_blame_itself(number):
    words = "what the model in 'model' answers to random tokens is NaN or infinite"
    with pytest.raises(NotFiniteError, match=words):
        parity("label", prompts=1).ask_original(Fixed(np.array([0, number])), "toy")


def test_what_a_runtime_does_not_answer_is_said_before_it_is_asked():
    with pytest.raises(ConfigError, match="the runtime 'toy' does not answer generate requests: it is too small"):
        parity().ask_original(Fixed(refuses=Generate), "toy")


def test_answers_come_in_the_order_of_the_requests():
    asked = parity("label")
    given = [np.array([float(i)]) for i in range(2)]
    answers = asked.ask_original(Fixed(*given), "toy")
    assert ([row.tolist() for row in answers.given], answers.versions) == ([[0], [1]], {"toy": "1"})
