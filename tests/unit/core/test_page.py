from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest

from llmkit.core.page import Page, number

VOID = {"meta", "line", "polyline", "circle", "br"}


class Checked(HTMLParser):
    """Parse a page; every opened element must be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.open, self.found, self.text = [], [], []
        self.feed(html)
        assert self.open == [], f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture
def parsed(tmp_path):
    def call(page):
        page.write(tmp_path / "page.html")
        return Checked((tmp_path / "page.html").read_text(encoding="utf-8"))

    return call


EVIL = "<script>alert(\"1\")</script> & 'x'"


def test_everything_is_escaped_and_nothing_is_fetched(parsed, tmp_path):
    page = Page(EVIL, EVIL)
    page.heading(EVIL)
    page.facts({EVIL: EVIL})
    page.table([EVIL], [[EVIL]])
    page.bars([(EVIL, 1.0)])
    page.quote(EVIL, EVIL)
    page.lines({EVIL: [(0, 1), (1, 2)]}, x=EVIL, y=EVIL)
    found = parsed(page)
    assert found.all("script") == []
    assert found.text.count(EVIL) == 13  # the title stands in the head and in the page
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|src=|href=|url\(", html)
    assert 'charset="utf-8"' in html


def test_lone_surrogates_do_not_stop_the_report(parsed):
    page = Page("report")
    page.quote("a broken row", "caf\udce9")
    assert "caf?" in parsed(page).text


def test_a_table_aligns_columns_of_numbers(parsed):
    page = Page("report")
    page.table(["name", "count", "mixed"], [["a", 1234, 1], ["b", 0.25, "x"]])
    found = parsed(page)
    assert [cell.get("class") for cell in found.all("th")] == [None, "n", None]
    assert [cell.get("class") for cell in found.all("td")] == [None, "n", None] * 2
    assert [text for text in found.text if text in ("1,234", "0.25")] == ["1,234", "0.25"]
    empty = Page("report")
    empty.table(["name"], [])
    assert [cell.get("class") for cell in parsed(empty).all("th")] == [None]


def test_bars_are_shares_of_the_largest(parsed):
    page = Page("report")
    page.bars([("a", 8), ("b", 2), ("c", 0)])
    assert [bar["style"] for bar in parsed(page).all("i")] == ["width:100.00%", "width:25.00%", "width:0.00%"]
    zero = Page("report")
    zero.bars([("a", 0)])
    assert [bar["style"] for bar in parsed(zero).all("i")] == ["width:0.00%"]
    empty = Page("report")
    empty.bars([])
    assert "nothing" in parsed(empty).text


def points(found):
    return [[tuple(map(float, p.split(","))) for p in line["points"].split()] for line in found.all("polyline")]


def test_curves(parsed):
    page = Page("report")
    page.lines(
        {"a": [(0, 1.0), (50, 3.0), (100, 2.0)], "b": [(0, 1.0), (100, math.nan), (100, 3.0)]}, x="step", y="loss"
    )
    found = parsed(page)
    first, second = points(found)
    (left, low), (middle, high), (right, between) = first
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    assert between == pytest.approx((low + high) / 2, abs=0.1)
    assert high < low  # SVG counts downwards
    assert second == [(left, low), (right, high)]
    assert {"1", "1.5", "2", "2.5", "3", "25", "50", "75", "100", "step", "loss"} <= set(found.text)


@pytest.mark.parametrize(
    "curve",
    [[(0, 1)], [(3e9, 2.5e9)], [(0, 7.0), (10, 7.0)], [(1e9, 1e12), (1e9 + 1, 1e12)], [(0, -1e-12), (1, 1e-12)]],
)
def test_flat_and_tiny_curves_stay_inside_the_picture(parsed, curve):
    page = Page("report")
    page.lines({"a": curve}, x="x", y="y")
    found = parsed(page)
    assert all(0 <= px <= 900 and 0 <= py <= 300 for px, py in points(found)[0])
    assert len(found.all("circle")) == (len(curve) == 1)


def test_no_finite_points(parsed):
    page = Page("report")
    page.lines({"a": [(0, math.inf), (1, math.nan)], "b": []}, x="x", y="y")
    found = parsed(page)
    assert "no points yet" in found.text
    assert found.all("svg") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (1234567, "1,234,567"), (0.123456, "0.1235"), (1.5, "1.5"), (0.00001234, "1.234e-05"),
        (True, "True"), (None, "None"), ("x", "x"), (math.inf, "inf"), (math.nan, "nan"), (-0.5, "-0.5"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text
