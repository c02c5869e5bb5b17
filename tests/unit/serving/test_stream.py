from __future__ import annotations

import threading

import pytest

from llmkit.serving.engine import EngineDiedError, Piece, Usage
from llmkit.serving.stream import Stream
from loops import in_a_loop


def stream(cancelled=lambda: None):
    return Stream(0, cancelled)


def test_what_a_slow_reader_has_not_fetched_is_one_piece():
    one = stream()
    one.put(Piece("a", (1,)))
    one.put(Piece("b", (2,)))
    one.put(Piece("c", finish="stop", usage=Usage(1, 3)))
    assert list(one) == [Piece("abc", (1, 2), finish="stop", usage=Usage(1, 3))]


def test_a_thread_waits_for_the_next_piece():
    one = stream()
    threading.Timer(0.05, one.put, [Piece("late", finish="stop")]).start()
    assert one.text() == "late"


def test_a_coroutine_waits_for_the_next_piece():
    one = stream()

    async def read():
        return [piece.text async for piece in one]

    threading.Timer(0.05, one.put, [Piece("late", finish="stop")]).start()
    assert in_a_loop(read()) == ["late"]


def test_an_error_comes_behind_what_is_there():
    one = stream()
    one.put(Piece("begun"))
    one.fail(EngineDiedError("dead"))
    pieces = iter(one)
    assert next(pieces).text == "begun"
    with pytest.raises(EngineDiedError, match="dead"):
        next(pieces)


def test_cancelling_ends_it_once():
    calls = []
    one = stream(lambda: calls.append(1))
    one.put(Piece("half"))
    one.cancel()
    one.cancel()
    one.put(Piece("never read"))
    assert [(piece.text, piece.finish) for piece in one] == [("half", "cancelled")]
    assert calls == [1]


def test_what_has_ended_is_not_cancelled():
    one = stream(lambda: pytest.fail("it has ended"))
    one.put(Piece("all", finish="stop"))
    one.cancel()
    assert one.text() == "all"
