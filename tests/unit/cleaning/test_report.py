from __future__ import annotations

import pytest

from llmkit.cleaning.measures import MEASURES, NUM_BINS
from llmkit.cleaning.report import make_report, notes_on
from llmkit.cleaning.report_page import _middle, make_page
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.cleaning.steps.shuffle import Shuffle
from llmkit.cleaning.tally import Tally
from llmkit.data.corpus import Document
from llmkit.data.sources import Broken, RawFile

FILE = RawFile("/in/deep/a.jsonl", "a.jsonl", 100)
EVIL = "<script>alert(1)</script>"
STEPS = [Normalize(), Length(min_chars=5), ExactDuplicates(), Length(min_chars=6), Shuffle()]


def build(fates, file=FILE):
    """Tally documents of four bytes whose fates are: None (kept), a step's position and rule, or "broken"."""
    tally = Tally()
    tally.file(file)
    zeros = (4.0, 1.0, 4.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    for number, fate in enumerate(fates):
        document = Document(f"{number:032x}", "text", "web", "en")
        tally.row(file)
        if fate == "broken":
            tally.failed(Broken(number, "invalid JSON", number + 1, EVIL), file, f"{file.path}:{number + 1}")
            continue
        tally.read(document, zeros)
        if fate is None:
            tally.kept(document, file.path, zeros)
        else:
            tally.rejected(fate[0], document, file.path, Drop(fate[1], EVIL, "limit"))
    return tally


MIXED = ["broken", (1, "length.min_chars"), (1, "length.min_chars"), (1, "length.max_chars"), (2, "exact_duplicates"),
         (3, "length.min_chars"), None, None, None, None]  # fmt: skip


def report_of(tally, kept=4, rewritten=0):
    return make_report(tally, STEPS, bytes_kept=4 * kept - rewritten, held_out=0)


def test_the_steps_are_a_funnel_from_read_to_kept():
    report = report_of(build(MIXED))
    assert report["documents"] == {"read": 10, "kept": 4, "rejected": 5, "failed": 1}
    assert [(step["reached"], step["dropped"]) for step in report["steps"]] == [(9, 0), (9, 3), (6, 1), (5, 1), (4, 0)]
    assert report["steps"][1]["rules"] == [
        {"rule": "length.min_chars", "documents": 2, "bytes": 8},
        {"rule": "length.max_chars", "documents": 1, "bytes": 4},
    ]
    assert report["steps"][3]["rules"] == [{"rule": "length.min_chars", "documents": 1, "bytes": 4}]
    assert report["rules"][0] == {"rule": "length.min_chars", "documents": 3, "bytes": 12}


def test_bytes_add_up():
    report = report_of(build(MIXED), rewritten=3)
    assert report["bytes"] == {"read": 36, "kept": 13, "dropped": 20, "rewritten": 3}


def test_sources_languages_and_measures():
    report = report_of(build(MIXED))
    assert report["sources"] == {"web": {"read": 9, "kept": 4, "bytes_kept": 16, "fell_by": {"length.min_chars": 3}}}
    assert report["languages"] == {"en": {"kept": 4, "dropped": 5}}
    chars = report["measures"][0]
    assert (chars["name"], len(chars["edges"]), len(chars["after"]["bins"])) == ("characters", NUM_BINS + 1, NUM_BINS)
    assert (sum(chars["before"]["bins"]), sum(chars["after"]["bins"])) == (9, 4)
    assert (chars["before"]["mean"], chars["after"]["median"]) == (4, 4)
    assert len(report["measures"]) == len(MEASURES)


def test_notes_point_out_idle_and_greedy_steps_but_no_order():
    tally = build([(1, "length.min_chars"), (1, "length.min_chars"), (3, "length.min_chars"), None])
    tally.changed(0)
    tally.counted(2, {"texts with copies": 0, "label conflicts": 0})
    assert notes_on(STEPS, tally) == ["note: step 2 (exact_duplicates) neither changed nor dropped a document"]
    tally = build([(1, "length.min_chars"), (1, "length.min_chars"), (1, "length.min_chars"), None])
    tally.counted(0, {"fixed": 1})  # a step that only counts has done something
    tally.counted(2, {"label conflicts": 1})
    tally.changed(3)
    assert notes_on(STEPS, tally) == [
        "note: step 1 (length) dropped 75% of the documents that reached it",
        "note: step 2 (exact_duplicates) found 1 text with different labels",
    ]


def test_over_half_is_of_what_reached_the_step():
    """Two of five documents are less than half of all, but two thirds of what the first step left."""
    fates = [(1, "length.max_chars")] * 2 + [(3, "length.min_chars")] * 2 + [None]
    tally = build(fates)
    notes = notes_on(STEPS, tally)
    assert "note: step 3 (length) dropped 67% of the documents that reached it" in notes
    assert not any("step 1 (length)" in note for note in notes)


def test_notes_count_unreadable_rows():
    tally = build(["broken", None])
    assert notes_on([], tally) == ["note: 1 of 2 rows could not be read"]


def html_of(tally, tmp_path, steps=STEPS, kept=4):
    report = make_report(tally, steps, bytes_kept=4 * kept, held_out=2)
    samples = {rule: [row for _, row in heap] for rule, heap in tally.samples.items()}
    page = make_page(report, samples, ["min_chars: 5"] * len(steps))
    page.write(tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_escapes_what_comes_from_the_data(tmp_path):
    html = html_of(build(MIXED, RawFile(f"/in/{EVIL}.jsonl", "a", 1)), tmp_path)
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_page_shows_each_part(tmp_path):
    html = html_of(build(MIXED), tmp_path)
    for text in ("4 of 10 documents kept (40.0%)", "From read to kept", "1 of 10 rows could not be read", "Sources",
                 "Languages", "Samples of what fell", "held out at the source", "a.jsonl", "/in/deep"):  # fmt: skip
        assert text in html, text
    assert html.count("<svg") == len(MEASURES)
    assert html.count("<summary>") == 4 + 1  # four rules and the files


def test_without_languages_there_is_no_table_of_them(tmp_path):
    tally = build(MIXED)
    for counter in (tally.languages, tally.languages_dropped):
        counter.clear()
        counter["und"] = 4
    assert "Languages" not in html_of(tally, tmp_path)


def test_the_page_lists_two_hundred_files(tmp_path):
    tally = build([None])
    for number in range(250):
        tally.add(build([None], RawFile(f"/in/deep/{number:03}.jsonl", f"{number:03}.jsonl", 1)))
    html = html_of(tally, tmp_path, kept=251)
    assert "198.jsonl" in html.replace("<wbr>", "")
    assert "199.jsonl" not in html.replace("<wbr>", "")
    assert "and 51 more in report.json" in html


def test_files_at_urls_keep_their_whole_names(tmp_path):
    tally = build([None], RawFile("s3://bucket/a.jsonl", "a.jsonl", 1))
    tally.add(build([None], RawFile("s3://bucket/b.jsonl", "b.jsonl", 1)))
    assert "s3://bucket/b.jsonl" in html_of(tally, tmp_path, kept=2).replace("<wbr>", "")


@pytest.mark.parametrize(
    ("bins", "shown"),
    [
        ([0] * 10 + [5] * 8 + [0] * 22, (10, 18)),
        ([0] * 10 + [5] * 7 + [0] * 23, (10, 18)),  # made even, for a tick in the middle
        ([0] * 39 + [9], (34, 40)),
        ([9] + [0] * 39, (0, 6)),
        ([0] * 40, (34, 40)),
        ([0] * 20 + [2000, 2000] + [0] * 17 + [1], (20, 26)),  # one giant among 4,001
        ([1] * 40, (0, 40)),
    ],
)
def test_a_histogram_shows_the_bins_that_hold_nearly_all(bins, shown):
    assert _middle(bins) == shown
