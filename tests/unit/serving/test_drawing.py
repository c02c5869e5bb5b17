from __future__ import annotations

import math

import numpy as np
import pytest

from llmkit.serving.drawing import Draws, chances_of
from llmkit.serving.engine import Sampling

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))


def drawn(count=4000, **told):
    draws = Draws(Sampling(**told), 7)
    return np.bincount([draws.choose(LOGITS) for _ in range(count)], minlength=4) / count


def test_temperature_0_takes_the_likeliest():
    assert drawn(5, temperature=0).tolist() == [1, 0, 0, 0]


def test_temperature_1_draws_by_the_models_own_chances():
    assert drawn() == pytest.approx([0.5, 0.25, 0.15, 0.1], abs=0.03)


def test_half_the_temperature_squares_the_chances():
    squares = np.array([0.25, 0.0625, 0.0225, 0.01])
    assert drawn(temperature=0.5) == pytest.approx(squares / squares.sum(), abs=0.03)


@pytest.mark.parametrize(("told", "kept"), [
    ({"top_k": 2}, [0.5, 0.25, 0, 0]),
    ({"top_p": 0.7}, [0.5, 0.25, 0, 0]),  # 0.5 is less than 0.7, 0.75 is more
    ({"top_p": 0.4}, [0.5, 0, 0, 0]),
    ({"min_p": 0.25}, [0.5, 0.25, 0.15, 0]),
    ({"top_k": 3, "min_p": 0.4}, [0.5, 0.25, 0, 0]),
    ({"top_k": 9}, [0.5, 0.25, 0.15, 0.1]),
])  # fmt: skip
def test_what_narrows_the_draw(told, kept):
    expected = np.array(kept)
    assert drawn(**told) == pytest.approx(expected / expected.sum(), abs=0.03)


def test_a_seed_gives_the_same_tokens():
    first, again, other = (Draws(Sampling(), seed) for seed in (3, 3, 4))
    tokens = [[draws.choose(LOGITS) for _ in range(30)] for draws in (first, again, other)]
    assert tokens[0] == tokens[1] != tokens[2]


def test_what_is_not_allowed_is_not_drawn():
    draws = Draws(Sampling(), 1)
    allowed = np.array([False, True, False, True])
    assert {draws.choose(LOGITS, allowed) for _ in range(100)} == {1, 3}


def test_penalties_are_taken_from_what_has_been_written():
    # 0.5 and 0.25 are ln 2 apart: once a token is written, 0.7 more than makes up for it.
    draws = Draws(Sampling(temperature=0, presence_penalty=0.7), 0)
    assert [draws.choose(LOGITS) for _ in range(3)] == [0, 1, 0]
    draws = Draws(Sampling(temperature=0, frequency_penalty=0.7), 0)
    assert [draws.choose(LOGITS) for _ in range(4)] == [0, 1, 0, 2]


def test_log_probabilities_are_the_models_own():
    found = chances_of(LOGITS + 3, 2, 2, lambda token: b"%d" % token)
    assert found.logprob == pytest.approx(math.log(0.15), abs=1e-6)
    assert [(top.id, top.bytes) for top in found.top] == [(0, b"0"), (1, b"1")]
    assert found.top[0].logprob == pytest.approx(math.log(0.5), abs=1e-6)
