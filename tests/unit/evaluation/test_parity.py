"""The same requests to two runtimes: what is asked of which kind of answer, and what passes for the same."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llmkit.core.errors import ConfigError
from llmkit.evaluation.fresh import Answers
from llmkit.evaluation.limits import Limits
from llmkit.evaluation.parity import Parity
from llmkit.evaluation.probes import Probes, Row, probes
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Facts, Generate, Logits, Running, Written


def config(**fields):
    known = {"vocab_size": 10, "eos_token_id": 9, "is_encoder_decoder": False, "problem_type": None, **fields}
    found = SimpleNamespace(**known)
    found.get_text_config = lambda: found
    return found


def head(answer):
    return SimpleNamespace(answer=answer, chosen="choices", auto_class="AutoModel")


def draw(answer="tokens", *, positions=4, prompts=2, new_tokens=3, **fields):
    return probes(
        config(**fields), head(answer), None, positions=positions, prompts=prompts, new_tokens=new_tokens, seed=0
    )


def parity(answer="tokens", rows=((8, 6),), *, budget=2, asked=None, **fields):
    """Parity on rows of ids, with a continuation of each, of models that write."""
    requests = [Logits(row) for row in rows]
    requests += [Generate(row, budget=budget, exact=True) for row in rows] if answer == "tokens" else []
    return Parity(Path("model"), config(**fields), head(answer), asked or Probes([Row(row) for row in rows], requests))


def compare(asked, ours, theirs, *, exact=True, limit=0.5, **limits):
    answers = (Answers(given, {}) for given in (ours, theirs))
    return asked.compare(*answers, limits=lambda _, spread: Limits(limit and limit * spread, exact=exact, **limits))


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


def test_the_requests_are_random_ids_that_fit_and_one_longer_row():
    # numpy.random.Generator(PCG64(0)).integers(0, 10, (2, 2)), then (1, 4)
    rows = [(8, 6), (5, 2), (3, 0, 0, 0)]
    asked = draw()
    assert [row.ids for row in asked.rows] == rows
    assert asked.requests[:3] == [*map(Logits, rows)]
    whole, half = [Generate(row, budget=2, exact=True) for row in rows[:2]], Generate(rows[2][:2], budget=2, exact=True)
    assert asked.requests[3:] == [*whole, half]
    assert draw("label", positions=None, prompts=1).requests[0].ids[:4] == (8, 6, 5, 2)
    assert [len(request.ids) for request in draw("label", positions=None).requests] == [32, 32, 160]
    assert [len(request.ids) for request in draw("label", positions=100).requests] == [32, 32, 100]
    assert [request.budget for request in draw(positions=1).requests[2:]] == [1, 1]


def test_the_long_row_reaches_behind_a_window_of_attention():
    longest = [max(len(row.ids) for row in draw(positions=None, sliding_window=size).rows) for size in (512, 4096)]
    assert longest == [576, 160]
    assert draw(positions=None).kept == 192


def test_an_encoder_decoder_with_labels_reads_one_end_where_the_text_ends():
    for end, rows in ((8, [(9, 8), (5, 8)]), (6, [(8, 6), (5, 6)]), (None, [(8, 6), (5, 2)])):
        asked = draw("label", is_encoder_decoder=True, eos_token_id=end)
        assert [request.ids for request in asked.requests[:2]] == rows


def test_numbers_and_tokens_are_compared():
    asked = parity()
    numbers = np.array([[1.0, -1.0], [3.0, -3.0]], np.float32)  # their deviation is the root of 5
    ours = [numbers, Written((1, 2), "ab", ended=False)]
    same = compare(asked, ours, ours)
    assert (same["passed"], same["max_logit_difference"], same["tokens"], same["equal_tokens"]) == (True, 0, 2, 2)
    assert same["logit_spread"] == pytest.approx(5**0.5)
    assert (same["prompts"], same["requests"]) == (1, {"logits": 1, "generate": 1})
    turned = [numbers + 1, Written((1, 3), "ac", ended=False)]
    found = compare(asked, ours, turned)
    assert (found["passed"], found["max_logit_difference"], found["equal_tokens"]) == (False, 1, 1)
    assert found["failures"] == [
        "the export does not answer like model: logits differ by 1 (at most 1.12 allowed), 1 of 2 choices equal"
    ]
    assert compare(asked, ours, turned, exact=False)["passed"] is True
    assert compare(asked, ours, turned, exact=False, limit=0.4)["passed"] is False  # 0.4 * 5 ** 0.5 < 1
    short = compare(asked, ours, [numbers, Written((1,), "a", ended=True)])
    assert (short["passed"], short["equal_tokens"], short["tokens"]) == (False, 1, 2)


def test_what_is_measured_beside_the_largest_difference():
    """Two equal choices of three, by hand: 2 ln 3 - ... of (1/2, 1/2) and (1/4, 3/4) is ln 2 - ln 3 / 2."""
    asked = parity("label", rows=[(1,), (2,), (3,)])
    half, quarter = np.log(np.array([0.5, 0.5])), np.log(np.array([0.25, 0.75]))
    ours, theirs = [half, quarter, quarter], [quarter, quarter, quarter]
    found = compare(asked, ours, theirs, exact=False, limit=None)
    measured = found["measured"]["random"]
    assert measured["kl"] == pytest.approx((math.log(2) - math.log(3) / 2) / 3, abs=1e-6)
    assert measured["top1"] == pytest.approx(2 / 3)  # of two equal numbers the first is chosen
    assert measured["mean_difference"] == pytest.approx((math.log(2) + math.log(1.5)) / 6, abs=1e-6)
    assert (measured["positions"], found["tolerance"], found["bits_per_byte"]) == (3, None, None)


def text_parity(ids, num_bytes):
    return parity(asked=Probes([Row(ids, num_bytes)], [Logits(ids)]))


def test_bits_per_byte_are_those_of_the_next_tokens():
    """Four bytes in two tokens behind the first: 1 + 2 bits by the model, 2 + 2 by the export."""
    asked = text_parity((0, 1, 2), 4)
    shares = {"ours": [[0.25, 0.5, 0.25], [0.5, 0.25, 0.25], [1 / 3] * 3]}
    shares["theirs"] = [[0.5, 0.25, 0.25], *shares["ours"][1:]]
    ours, theirs = ([np.log(np.array(each, np.float32))] for each in shares.values())
    found = compare(asked, ours, theirs, exact=False, limit=None, bits=0.34)
    assert found["bits_per_byte"] == pytest.approx({"model": 0.75, "export": 1, "growth": 1 / 3, "bytes": 4}, abs=1e-6)
    assert found["passed"] is True
    failed = compare(asked, ours, theirs, exact=False, limit=None, bits=0.05)
    assert failed["failures"] == [
        "the export does not answer like model: text takes 33.3% more bits per byte (at most 5.0% allowed)"
    ]
    assert failed["limits"] == {"bits": 0.05}


def test_the_likeliest_tokens_are_counted_on_text():
    asked = text_parity((0, 1, 2), 4)
    ours = [np.eye(3, dtype=np.float32)]
    assert compare(asked, ours, [np.roll(ours[0], 1, axis=1)], limit=None, top1=0.98, exact=False)["failures"] == [
        "the export does not answer like model: 0.0% of the likeliest choices are the same but for ties"
        " (at least 98.0% allowed)"
    ]
    assert compare(asked, ours, [ours[0] * 7], limit=None, top1=0.98, exact=False)["passed"] is True


@pytest.mark.parametrize(("gap", "alike"), [(0.22, 1), (0.23, 2 / 3)])
def test_a_choice_that_the_model_holds_for_almost_as_likely_is_a_tie(gap, alike):
    ours = np.array([[1, 1 - gap, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    theirs = ours.copy()
    theirs[0, 1] = 2
    found = compare(text_parity((0, 1, 2), 4), [ours], [theirs], limit=None, exact=False, top1=0.98)
    assert found["measured"]["text"]["top1"] == pytest.approx(2 / 3)
    assert found["measured"]["text"]["top1_but_ties"] == pytest.approx(alike)
    assert found["passed"] is (alike == 1)


def test_the_position_from_which_on_numbers_differ_is_said():
    asked = parity(rows=[tuple(range(10)) * 20])
    asked = replace(asked, asked=replace(asked.asked, requests=asked.asked.requests[:1], kept=192))
    ours = np.random.default_rng(0).normal(size=(192, 10)).astype(np.float32)
    theirs = ours.copy()
    theirs[32:] += 1  # position 40 of 200, of which the last 192 are compared
    (failure,) = compare(asked, [ours], [theirs])["failures"]
    assert failure.endswith("first at position 40 of a row of 200 tokens")


def test_vectors_point_the_same_way():
    asked = parity("vector", asked=Probes([], [Embed("a"), Embed("b")]))
    ours = [np.array([1.0, 0.0], np.float32), np.array([0.0, 2.0], np.float32)]
    theirs = [ours[0] * 3, np.array([2.0, 2.0], np.float32)]
    found = compare(asked, ours, theirs, limit=None, exact=False, cosine=0.99)
    assert found["cosine"] == pytest.approx(0.5**0.5)
    assert "the cosine of a vector and the model's is 0.7071 (at least 0.99 allowed)" in found["failures"][0]
    assert compare(asked, ours, [ours[0] * 3, ours[1]], limit=None, exact=False, cosine=0.99)["passed"] is True


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
    found = compare(parity(answer, **fields), *given)
    assert (found["equal_tokens"], found["tokens"]) == (equal, total)
    top1 = found["measured"]["random"]["top1"]
    assert top1 == (equal / total if total else None)


def test_the_size_of_a_number_is_its_spread():
    found = compare(parity("number"), [np.array([-4.0])], [np.array([-4.0])])
    assert found["logit_spread"] == 4


def test_another_vocabulary_is_another_model():
    one, other = ([np.zeros((2, size), np.float32), Written((1, 2), "", ended=False)] for size in (10, 12))
    found = compare(parity(), one, other)
    assert (found["passed"], found["failures"]) == (
        False, ["the export answers with numbers [2, 12], and model with [2, 10]"],
    )  # fmt: skip


TALK = ({"role": "user", "content": "Hi"},)


@pytest.mark.parametrize(
    ("borders", "words"),
    [
        ({"read": [[1], [2, 7, 8, 9, 9]]},
         "reads text otherwise: 'b' as the ids ...[7, 8, 9, 9], and model as ...[7, 8]"),
        ({"read": [[2], [3]]}, "reads text otherwise: 'a' as the ids [2], and model as [1]; so do 1 more"),
        ({"ends": frozenset({2, 9})}, "stops writing at the ids [2, 9], and model at [9]"),
        ({"rendered": ["<u>Hi", "<u>hi<a>"]},
         "renders a chat of 1 turns otherwise: at character 3 it has '<u>hi<a>', and model '<u>Hi<a>'"),
        ({"rendered": ["<u>Hi", None]},
         "renders a chat of 1 turns otherwise: the export refuses it, and model does not"),
    ],
)  # fmt: skip
def test_what_stands_around_the_numbers_is_compared(borders, words):
    asked = parity()
    asked = replace(asked, asked=replace(asked.asked, texts=("a", "b"), chats=(TALK,)))
    given = [np.ones((2, 10), np.float32), Written((1, 2), "", ended=False)]
    alike = {"read": [[1], [2, 7, 8]], "ends": frozenset({9}), "rendered": ["<u>Hi", "<u>Hi<a>"]}

    def found(*, early=False, **changed):
        sides = Answers(given, {}, **alike), Answers(given, {}, **alike | changed)
        return asked.compare(*sides, limits=lambda *_: Limits(0.0, exact=True), stops_early=early)

    assert found()["passed"]
    assert found()["equal"] == {"texts": 2, "chats": 2, "ends": [9]}
    assert found(read=None, ends=None, rendered=None)["passed"], "a runtime may have no tokenizer"
    assert found(**borders)["failures"] == [f"the export {words}"]
    if "ends" in borders:
        early = found(**borders, early=True)
        assert (early["failures"], early["notes"]) == ([], ["the export also stops at the ids [2]"])
        assert found(ends=frozenset({2}), early=True)["failures"], "an end that is missing is no note"


def test_chats_that_both_refuse_are_not_counted_as_rendered():
    asked = parity()
    asked = replace(asked, asked=replace(asked.asked, chats=(TALK,)))
    given = [np.ones((2, 10), np.float32), Written((1, 2), "", ended=False)]

    def found(*rendered):
        sides = (Answers(given, {}, rendered=rendered) for _ in range(2))
        return asked.compare(*sides, limits=lambda *_: Limits(0.0, exact=True))

    assert (found("Hi", None)["equal"]["chats"], found("Hi", None)["notes"]) == (1, [])
    none = found(None, None)
    assert (none["equal"]["chats"], none["passed"]) == (0, True)
    assert none["notes"] == ["model renders none of 2 chats, and the export neither"]


def test_bits_per_byte_of_a_model_that_knows_nothing_are_said_to_prove_little():
    few = {"model": 8.7, "export": 8.6}
    assert parity()._proves_little(Limits(bits=0.05), few) == [
        "model takes 8.7 bits per byte of text, as chance does: that the export takes as many proves little"
    ]
    assert parity()._proves_little(Limits(bits=0.05), {"model": 1.2}) == []
    assert parity()._proves_little(Limits(top1=0.98), few) == []


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_model_that_answers_no_number_is_to_blame_itself(number):
    words = "what the model in 'model' answers to random tokens is NaN or infinite"
    with pytest.raises(NotFiniteError, match=words):
        parity("label").ask_original(Fixed(np.array([0, number])), "toy")


def test_what_a_runtime_does_not_answer_is_said_before_it_is_asked():
    with pytest.raises(ConfigError, match="the runtime 'toy' does not answer generate requests: it is too small"):
        parity().ask_original(Fixed(refuses=Generate), "toy")


def test_vectors_of_texts_or_of_tokens_are_enough():
    requests = [Logits((1, 2)), Embed("a")]
    asked = parity("vector", asked=Probes([Row((1, 2))], requests))
    ours = asked.ask_original(Fixed(np.ones(2), np.ones(2)), "toy")
    theirs = asked.ask_original(Fixed(np.ones(2), refuses=Logits), "toy")
    assert theirs.given[0] is None
    found = asked.compare(ours, theirs, limits=lambda *_: Limits(0.0))
    assert (found["passed"], found["prompts"]) == (True, 1)
    with pytest.raises(ConfigError, match="the runtime 'toy' does not answer logits requests"):
        asked.ask_original(Fixed(refuses=(Logits, Embed)), "toy")


def test_answers_come_in_the_order_of_the_requests():
    asked = parity("label", rows=[(1,), (2,)])
    given = [np.array([float(i)]) for i in range(2)]
    answers = asked.ask_original(Fixed(*given), "toy")
    assert ([row.tolist() for row in answers.given], answers.versions) == ([[0], [1]], {"toy": "1"})


def test_of_long_rows_the_last_positions_travel():
    row = tuple(range(5))
    asked = parity(asked=Probes([Row(row)], [Logits(row)], kept=2))
    answers = asked.ask_original(Fixed(np.arange(10.0).reshape(5, 2)), "toy")
    assert answers.given[0].tolist() == [[6, 7], [8, 9]]
