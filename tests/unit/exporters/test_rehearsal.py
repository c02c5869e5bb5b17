"""What of a server's answers is a difference, by hand; the server itself is started by the stage's tests."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from llmkit.evaluation.fresh import Answers
from llmkit.evaluation.probes import Probes
from llmkit.exporters import _rehearsal
from llmkit.runtimes import Embed, Generate, Logits, Written

END = 3


def rehearse(monkeypatch, requests, given, replies, *, exact=True):
    """Compare what a runtime has given with what a server replies, which is the same by both routes."""

    @contextmanager
    def started(script):
        left = iter(replies)

        def ask(path, body):
            if path == "/invocations":
                return next(left)
            return {"predictions": replies} if body else {"status": "ok"}

        yield ask

    monkeypatch.setattr(_rehearsal, "_started", started)
    answers = Answers(given, {}, ends=frozenset({END}))
    return _rehearsal.rehearse(Path("serve"), Probes((), requests), answers, exact=exact)


def texts(*found):
    return [{"choices": [{"text": text}]} for text in found]


def written(text, *ids):
    return Written(ids, text, ended=False)


ASKED = [Logits((1, 2)), Generate((5, 6), 4, exact=True), Generate((7,), 4, exact=True)]


def test_equal_texts_pass_and_logits_are_not_asked(monkeypatch):
    given = [np.zeros((2, 9)), written("ab", 8, 9), written("cd", 9)]
    found = rehearse(monkeypatch, ASKED, given, texts("ab", "cd"))
    assert dict(found.facts) == {_rehearsal.SAGEMAKER: "2 of 2", _rehearsal.VERTEX: "2 of 2"}
    assert not found.failures


def test_a_server_stops_at_an_end_and_nowhere_else(monkeypatch):
    """The runtime was asked to write on behind the end; without one in its ids, a shorter text is another."""
    given = [None, written("ab and on", 8, END, 9), written("cd", 9, 9)]
    assert not rehearse(monkeypatch, ASKED, given, texts("ab", "cd")).failures
    failures = rehearse(monkeypatch, ASKED, given, texts("ab", "c")).failures
    assert failures[0] == (
        "the server answers otherwise than the model in it: /invocations of SageMaker, request 2 of 2, has 'c', and the"
        " runtime 'cd'"
    )
    assert len(failures) == 2


@pytest.mark.parametrize(("replies", "fails"), [(("ab", "x"), 0), (("x", "y"), 2)])
def test_of_rounded_weights_half_have_to_be_equal(monkeypatch, replies, fails):
    given = [None, written("ab", 8), written("cd", 9)]
    found = rehearse(monkeypatch, ASKED, given, texts(*replies), exact=False)
    assert len(found.failures) == fails
    assert found.facts[_rehearsal.VERTEX] == ("0 of 2" if fails else "1 of 2")


def test_vectors_may_differ_by_a_thousandth(monkeypatch):
    given, asked = [np.array([1.0, -2.0]), np.array([1.0, 0.0])], [Embed("a"), Embed("b")]

    def reply(*numbers):
        return {"data": [{"embedding": list(numbers)}]}

    assert not rehearse(monkeypatch, asked, given, [reply(1.001, -2.0), reply(1.0, 0.0)]).failures
    failures = rehearse(monkeypatch, asked, given, [reply(1.0, -2.0), reply(1.0, 0.01)]).failures
    assert "request 2 of 2, has another vector" in failures[0]


def test_of_other_heads_nothing_is_asked(monkeypatch):
    assert dict(rehearse(monkeypatch, [Logits((1,))], [np.zeros(2)], []).facts) == {}
