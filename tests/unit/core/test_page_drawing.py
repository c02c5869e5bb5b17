"""What the pages draw: where marks, bands, cells and ends of intervals lie, by hand, and that all can read them."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.page import Card, Cells, Difference, Interval, Line, Page, Plot, Stat, score
from llmkit.core.page_style import STYLE
from pages_html import parse

SHARES = st.floats(-5, 5).map(lambda value: round(value, 3))


@pytest.fixture
def drawn(tmp_path):
    def call(add):
        page = Page("report")
        add(page)
        page.write(tmp_path / "page.html")
        return parse((tmp_path / "page.html").read_text(encoding="utf-8"))

    return call


def lefts(found, tag):
    return [
        float(re.search(r"left:([-\d.]+)%", one["style"])[1])
        for one in found.all(tag)
        if "left" in one.get("style", "")
    ]


def numbers(path):
    return [float(text) for text in re.findall(r"-?[\d.]+", path)]


def test_intervals_lie_where_their_numbers_are(drawn):
    rows = [Interval("model", 0.5, 0.4, 0.6), Interval("baseline", 0.3, 0.2, 0.4, colour=1)]
    found = drawn(lambda page: page.intervals([("acc", rows)]))
    # The axis goes from 0.2 to 0.6 and 4% of that further at both ends.
    begin, span = 0.2 - 0.016, 0.4 + 0.032
    assert lefts(found, "b") == pytest.approx([100 * (v - begin) / span for v in (0.5, 0.3)], abs=0.01)
    assert lefts(found, "i") == pytest.approx([100 * (v - begin) / span for v in (0.4, 0.2)], abs=0.01)
    assert [mark["class"] for mark in found.all("b")] == ["s0", "s1"]  # another shape, for whom colours do not tell
    labels = [one.get("aria-label") for one in found.all("div") if one.get("role") == "img"]
    assert labels == [
        "acc model 0.5000, 95% interval 0.4000 to 0.6000", "acc baseline 0.3000, 95% interval 0.2000 to 0.4000",
    ]  # fmt: skip
    assert {"0.2", "0.4", "0.6"} <= set(found.text)


@given(st.lists(st.tuples(SHARES, SHARES, SHARES).map(sorted), min_size=1, max_size=6), st.booleans())
def test_no_mark_leaves_its_axis(triples, zero):
    from llmkit.core.page_scores import intervals

    html = intervals([("a", [Interval("x", value, low, high) for low, value, high in triples])], zero=zero)
    for left, width in re.findall(r"left:(-?[\d.]+)%(?:;width:(-?[\d.]+)%)?", html):
        assert -0.01 <= float(left) <= 100.01
        assert float(left) + float(width or 0) <= 100.02
        assert float(width or 0) >= 0


def test_bars_begin_at_zero_on_either_side(drawn):
    found = drawn(lambda page: page.intervals([("", [Interval("up", 1.0), Interval("down", -1.0)])], zero=True))
    bars = [numbers(bar["style"].partition("background")[0]) for bar in found.all("i")]
    assert bars[0] == pytest.approx([50, 50 / 1.08], abs=0.01)
    assert bars[1] == pytest.approx([50 - 50 / 1.08, 50 / 1.08], abs=0.01)


def test_a_difference_is_drawn_beside_zero_and_said_in_words(drawn):
    cell = Difference(-0.02, -0.05, 0.01)
    found = drawn(lambda page: page.table(["", "difference"], [["acc", cell]]))
    (zero, mark) = lefts(found, "u")[0], lefts(found, "b")[0]
    assert zero == 50
    assert mark == pytest.approx(50 - 50 * 0.02 / (0.05 * 1.15), abs=0.01)
    (said,) = [one["aria-label"] for one in found.all("div") if one.get("class") == "zero"]
    assert said == "difference \u22120.0200, 95% interval \u22120.0500 to 0.0100"
    assert "\u22120.0200" in found.text


def test_cells_are_coloured_by_their_share_of_the_row(drawn):
    cells = Cells(["a", "\u6e21\u8239"], ["a", "b"], [[3, 1], [None, 0]], "label", "said", by_row=True)
    found = drawn(lambda page: page.cells(cells, "Confusion"))
    styles = [one.get("style", "") for one in found.all("td") if "title" in one]
    assert [re.findall(r"(\d+)%", style) for style in styles] == [["75"], ["25"], [], ["0"]]
    assert ["color:var(--page)" in style for style in styles] == [True, False, False, False]
    titles = [one["title"] for one in found.all("td") if "title" in one]
    assert titles[0] == "label a, said a: 3 (75.0% of the row)"
    assert titles[2] == "label \u6e21\u8239, said a: nothing"
    assert found.all("table")[0]["aria-label"] == "Confusion"


def test_a_heat_map_is_coloured_from_0_to_1_and_a_wide_one_has_no_numbers(drawn):
    columns = [str(i) for i in range(11)]
    cells = Cells(["0%"], columns, [[i / 10 for i in range(11)]])
    found = drawn(lambda page: page.cells(cells, "Heat"))
    styles = [one["style"] for one in found.all("td")]
    assert [int(re.search(r"(\d+)%", style)[1]) for style in styles] == list(range(0, 101, 10))
    assert "0.3" not in found.text
    assert found.all("table")[0]["class"] == "cells small"


def test_a_band_lies_around_its_line(drawn):
    line = Line([(0, 1.0), (10, 2.0)], [0.0, 1.0], [2.0, 3.0])
    found = drawn(lambda page: page.plot({"model": line}, Plot("position", "bits", marked=True)))
    band = numbers(found.all("path")[0]["d"])
    points = numbers(found.all("polyline")[0]["points"])
    xs, ys = points[::2], points[1::2]
    assert band[::2] == pytest.approx([*xs, *xs[::-1]])
    upper, lower = band[1:4:2], band[5:8:2][::-1]
    assert [(a + b) / 2 for a, b in zip(upper, lower, strict=True)] == pytest.approx(ys, abs=0.1)
    assert found.text.count("model: position 10, bits 2 (1 to 3)") == 1
    assert found.all("svg")[0]["aria-label"] == "bits by position: model from 1 at 0 to 2 at 10"


def test_points_that_are_not_finite_are_left_out_with_their_intervals():
    line = Line([(0, 1.0), (1, float("nan")), (2, 3.0)], [0.5, 1.0, float("nan")], [1.5, 2.0, float("inf")]).finite()
    assert line == Line([(0, 1.0), (2, 3.0)], [0.5, 3.0], [1.5, 3.0])


def test_a_diagonal_has_equal_axes(drawn):
    plot = Plot("probability", "share right", 420, 340, diagonal=True, marked=True)
    found = drawn(lambda page: page.plot({"": Line([(0.2, 0.1), (0.9, 0.7)])}, plot))
    (line,) = [one for one in found.all("line") if "stroke-dasharray" in one and "x1" in one and one["x1"] != one["x2"]]
    assert (float(line["x1"]), float(line["y1"])) == (46, 340 - 24)
    assert (float(line["x2"]), float(line["y2"])) == (420 - 12, 10)
    assert "where both are equal" in found.text


def test_sizes_that_double_are_as_far_from_each_other(drawn):
    line = Line([(1, 1.0), (2, 2.0), (4, 3.0), (8, 4.0)])
    found = drawn(lambda page: page.plot({"": line}, Plot("batch", "tokens/s", marked=True)))
    xs = numbers(found.all("polyline")[0]["points"])[::2]
    steps = [b - a for a, b in pairwise(xs)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.15)
    assert {"1", "2", "4", "8"} <= set(found.text)


def test_steps_that_grow_from_nothing_get_as_much_room_at_the_beginning(drawn):
    line = Line([(x, 1.0) for x in (0, 1, 3, 7, 15, 511)])
    found = drawn(lambda page: page.plot({"": line}, Plot("tokens before", "loss", marked=True, grows=True)))
    xs = numbers(found.all("polyline")[0]["points"])[::2]
    steps = [b - a for a, b in pairwise(xs)]
    assert steps == pytest.approx([steps[0]] * 4 + [5 * steps[0]], abs=0.3)
    assert {"0", "2", "8", "32", "128"} <= set(found.text), "every second power, of many"


def test_more_lines_than_colours_differ_by_their_dashes(drawn):
    lines = {str(i): Line([(0, i), (1, i)]) for i in range(9)}
    found = drawn(lambda page: page.plot(lines, Plot("x", "y", marked=True)))
    kinds = [(one["stroke"], one.get("stroke-dasharray")) for one in found.all("polyline")]
    assert len(set(kinds)) == 9


def test_cards_lead_to_their_sections(drawn):
    def add(page):
        page.cards([Card("quartz", "0.6120", "acc", "+0.0720", "good", "task-1"), Card("other", "1.2")])
        page.heading("quartz", anchor="task-1")

    found = drawn(add)
    assert [one["href"] for one in found.all("a")] == ["#task-1"]
    assert [one.get("id") for one in found.all("h2")] == ["task-1"]
    assert "+0.0720 better" in found.text


def test_cells_with_small_lines(drawn):
    found = drawn(lambda page: page.table(["a"], [[Stat("0.5", "0.4 to 0.6", "good")]]))
    assert [one.get("class") for one in found.all("td")] == ["n"]
    assert {"0.5", "0.4 to 0.6"} <= set(found.text)


@pytest.mark.parametrize(
    ("value", "sign", "text"),
    [(0.61234, False, "0.6123"), (110_404.83, False, "110,405"), (18.12345, False, "18.12"), (0.05, True, "+0.0500"),
     (-0.05, True, "\u22120.0500"), (None, False, "-"), (float("nan"), False, "-"), (9_999_999.0, False, "9,999,999"),
     (13_276_861_735.9, True, "+13.28G"), (-23_145_206.7, False, "\u221223.15M"), (999_960_000.0, False, "1G")],
)  # fmt: skip
def test_scores_line_up(value, sign, text):
    assert score(value, sign=sign) == text


SIMULATED = {
    "all": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Machado et al. 2009, full severity, on linear RGB."""


def linear(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


def seen(colour, matrix):
    """CIE Lab of a colour as somebody sees it."""
    r, g, b = (min(max(sum(m * c for m, c in zip(row, linear(colour), strict=True)), 0), 1) for row in matrix)
    x, y, z = (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047, 0.2126 * r + 0.7152 * g + 0.0722 * b, 0.0
    z = (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def contrast(one, other):
    low, high = sorted(0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(linear, (one, other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_stay_apart_for_everybody(scheme):
    named = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", STYLE.split(":root")[1 + scheme].split("}")[0]))
    colours = [named[name] for name in "abcd"]
    assert min(contrast(colour, named["page"]) for colour in colours) >= 3
    assert contrast(named["ink"], named["page"]) >= 7
    assert contrast(named["dim"], named["page"]) >= 4.5
    for matrix in SIMULATED.values():
        points = [seen(colour, matrix) for colour in colours]
        nearest = min(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) ** 0.5 for p, q in combinations(points, 2))
        assert nearest >= 24
