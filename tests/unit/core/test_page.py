from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest

from llmkit.core.page import Histogram, Page, PartsRow, compact, number, percent, size

VOID = {"meta", "line", "polyline", "circle", "br", "wbr"}


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
    page.text(EVIL)
    page.notes([EVIL])
    page.key({EVIL: 0})
    with page.folded(EVIL, EVIL):
        page.quote(EVIL, EVIL, prose=True)
    page.parts_table([EVIL, EVIL], [PartsRow("row", [], [EVIL], EVIL)])
    page.histograms([Histogram(EVIL, [(EVIL, EVIL)], (EVIL, EVIL, EVIL), [1], [1])])
    found = parsed(page)
    assert found.all("script") == []
    assert found.text.count(EVIL) == 13 + 7 + 4 + 6  # the title stands in the head and in the page
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


def test_parts_of_a_bar_are_placed_by_their_shares(parsed):
    page = Page("report")
    rows = [PartsRow("a", [(0.0, 0.25, 0), (0.25, 0.5, 1), (0.75, 0.0, 3)], [7, ""]), PartsRow("b", [], [0, "x"])]
    page.parts_table(["name", "count", "what"], rows)
    found = parsed(page)
    assert [bar["style"] for bar in found.all("i")] == [
        "left:0.000%;width:25.000%;background:var(--a)",
        "left:25.000%;width:50.000%;background:var(--b)",
    ]
    assert [cell["class"] for cell in found.all("td")] == ["track", "n", "n zero", "track", "n zero", "n"]


def test_long_names_may_break_at_their_joints(parsed):
    page = Page("report")
    page.parts_table(["name"], [PartsRow("gopher_quality.min_words", [], [])])
    found = parsed(page)
    assert len(found.all("wbr")) == 3
    assert "".join(found.text).endswith("gopher_quality.min_words\n")


def test_histograms_share_one_scale(parsed):
    page = Page("report")
    page.histograms([Histogram("words", [], ("0", "5", "10"), [4, 2], [0, 1])])
    before, after = (path["d"] for path in parsed(page).all("path"))
    assert before == "M0 80V4.0H110.0V42.0H220.0V80Z"  # 4 is the top, at 4; 2 is half of the way down to 80
    assert after == "M0 80V80.0H110.0V61.0H220.0V80Z"


def test_folded_parts_are_closed_and_may_be_open(parsed):
    page = Page("report")
    for is_open in (True, False):
        with page.folded("more", is_open=is_open):
            page.text("inside")
    assert parsed(page).all("details") == [{"open": None}, {}]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.83, "2.8"), (53.8, "54"), (512, "512"), (999.6, "1k"), (16_384, "16.4k"), (1_048_576, "1.05M"),
     (2.5e9, "2.5G"), (0.25, "0.25")],
)  # fmt: skip
def test_compact(value, text):
    assert compact(value) == text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (237, "237 B"), (999, "999 B"), (1000, "1.0 kB"), (13_488, "13.5 kB"), (999_600, "1.00 MB"),
     (18_147_087, "18.15 MB"), (5e12, "5.00 TB"), (5e15, "5,000.00 TB")],
)  # fmt: skip
def test_size(num_bytes, text):
    assert size(num_bytes) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 9, "0.0%"), (1, 9, "11.1%"), (9, 9, "100.0%"), (1, 10_000, "<0.1%"), (9_999, 10_000, ">99.9%"), (0, 0, "")],
)
def test_percent(part, whole, text):
    assert percent(part, whole) == text
