from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from llmkit.serving.stopping import Stops

TEXT = st.text("ab\n", max_size=20)


def shown(stops, pieces):
    """What is shown of pieces, and whether it was stopped."""
    found = ""
    for piece in pieces:
        text, stopped = stops.add(piece)
        found += text
        if stopped:
            return found, True
    return found + stops.rest(), False


def test_a_stop_text_over_the_border_of_pieces_is_not_shown():
    stops = Stops(["STOP"])
    assert [stops.add(piece) for piece in ("one S", "TO", "P two")] == [("one ", False), ("", False), ("", True)]


def test_what_only_begins_like_one_is_shown_in_the_end():
    stops = Stops(["STOP"])
    assert stops.add("one STO") == ("one ", False)
    assert stops.rest() == "STO"


def test_without_stop_texts_nothing_is_held_back():
    assert Stops([]).add("anything") == ("anything", False)


@given(TEXT, st.lists(st.text("ab\n", min_size=1, max_size=3), max_size=3), st.lists(st.integers(0, 20), max_size=5))
def test_any_cut_shows_what_comes_before_the_first_stop_text(text, stops, cuts):
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(borders)]
    ends = [(text.find(stop) + len(stop), stop) for stop in stops if stop in text]
    found, stopped = shown(Stops(stops), pieces)
    assert stopped == bool(ends)
    if not ends:
        assert found == text
        return
    assert text.startswith(found)
    assert not any(stop in found for stop in stops)
    assert any(text[len(found) :].startswith(stop) for stop in stops), "it ends where one begins"
