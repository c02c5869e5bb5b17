from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.page import (
    Card,
    Cells,
    Difference,
    Histogram,
    Interval,
    Line,
    Page,
    PartsRow,
    Plot,
    Stat,
    compact,
    histogram_ticks,
    number,
    percent,
    size,
)
from llmkit.core.page_charts import round_values, tick_label
from llmkit.core.page_style import STYLE
from pages_html import parse


@pytest.fixture
def parsed(tmp_path):
    def call(page):
        page.write(tmp_path / "page.html")
        return parse((tmp_path / "page.html").read_text(encoding="utf-8"))

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
    with page.figures(), page.figure(EVIL, EVIL):
        page.intervals([(EVIL, [Interval(EVIL, 1.0, note=EVIL)]), ("", [])])
        page.cells(Cells([EVIL], [EVIL], [[1.0]], EVIL, EVIL), EVIL)
        page.plot({EVIL: Line([(0, 1)])}, Plot(EVIL, EVIL, diagonal=True, marked=True))
    page.cards([Card(EVIL, EVIL, EVIL, EVIL, "", EVIL)])
    page.columns([(EVIL, EVIL, "")])
    page.table(["a", "b"], [[Stat(EVIL, EVIL), Difference(1.0, 0.0, 2.0, word=EVIL)]])
    page.histograms([Histogram(EVIL, [(EVIL, EVIL)], [(0.0, EVIL), (0.5, EVIL), (1.0, EVIL)], [1], [1])])
    found = parsed(page)
    assert found.all("script") == []
    assert found.text.count(EVIL) == 12 + 8 + 4 + 6 + 2 + 3 + 4 + 3 + 4 + 2 + 3
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|src=|href=\"(?!#)|url\(", html)
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


def test_a_tiny_bar_is_seen_and_none_at_zero(parsed):
    page = Page("report")
    page.bars([("all", 10**6), ("one", 1), ("none", 0)])
    page.parts_table(["name"], [PartsRow("a", [(0.0, 0.9999, 0), (0.9999, 0.0001, 1)], [])])
    bars = parsed(page).all("i")
    assert [bar["style"] for bar in bars[:3]] == ["width:100.00%", "width:0.01%", "width:0.00%"]
    assert [bar.get("class") for bar in bars[:3]] == [None, None, "zero"]
    # By its right end: its least width would stick out of the track.
    assert bars[4]["style"] == "right:0.000%;width:0.010%;background:var(--b)"
    assert ".track i { position: absolute; top: 0; bottom: 0; min-width: 3px }" in STYLE
    assert ".bar i.zero { min-width: 0 }" in STYLE


@pytest.mark.parametrize("folder", ["corpus", "corpus/.partial"])
def test_the_title_names_the_artifact(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    Page("Corpus report", "1 of 2").write(tmp_path / folder / "report.html")
    html = (tmp_path / folder / "report.html").read_text(encoding="utf-8")
    assert "<title>corpus: Corpus report</title>" in html
    assert "<h1>Corpus report<span> corpus</span></h1>" in html


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        (1.0, 3.0, [1, 1.5, 2, 2.5, 3]), (0, 100, [0, 25, 50, 75, 100]), (1, 797, [200, 400, 600]),
        (3.07, 4.91, [3.5, 4, 4.5]), (0.0, 2.9e-3, [0, 1e-3, 2e-3]), (-1, 1, [-1, -0.5, 0, 0.5, 1]), (7, 7, [7]),
    ],
)  # fmt: skip
def test_ticks_are_round(low, high, values):
    assert round_values(low, high) == pytest.approx(values)


def test_there_is_no_half_a_step():
    assert round_values(10, 12, whole=True) == [10, 11, 12]
    assert round_values(0, 9, whole=True) == [0, 5]
    assert round_values(3, 100, whole=True) == [25, 50, 75, 100]


@given(st.floats(-1e9, 1e9), st.floats(1e-9, 1e9))
def test_ticks_lie_inside_and_are_few(low, span):
    high = low + span
    found = round_values(low, high)
    assert 1 <= len(found) <= 5
    if high > low and span > abs(low) * 1e-6:
        assert len(found) >= 2
        assert all(low - span * 1e-6 <= value <= high + span * 1e-6 for value in found)


@pytest.mark.parametrize(
    ("value", "step", "label"),
    [(1.5, 0.5, "1.5"), (2.0, 0.5, "2"), (2.50002, 1e-4, "2.50002"), (1000.0, 250, "1,000"), (2.5e6, 5e5, "2.5M"),
     (3e-4, 1e-4, "0.0003"), (2e-5, 1e-5, "2e-05"), (7.25, 0.0, "7.25")],
)  # fmt: skip
def test_tick_labels(value, step, label):
    assert tick_label(value, step) == label


def test_ticks_of_histograms_by_hand():
    powers = [2.0**i for i in range(21)]  # 1 to 1,048,576
    found = histogram_ticks(powers, compact)
    assert [label for _, label in found] == ["1", "100", "10k", "1M"]
    assert found[0][0] == 0
    # 100 lies between 64 and 128, the bin from 6/20 on.
    assert found[1][0] == pytest.approx((6 + 36 / 64) / 20)
    assert histogram_ticks([0.0, 0.25, 0.5, 0.75, 1.0], str) == [(0, "0.0"), (0.5, "0.5"), (1, "1.0")]
    assert [label for _, label in histogram_ticks([100.0, 200.0, 400.0, 800.0, 1600.0], compact)] == [
        "100",
        "200",
        "500",
        "1k",
    ]


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
    page.histograms([Histogram("words", [], [(0.0, "0"), (1.0, "10")], [4, 2], [0, 1])])
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
