"""What holds for all readers of markup: input made to break them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps import _markup_markdown, _markup_roff, _markup_rst, _markup_wiki
from llmkit.cleaning.steps._markup_blocks import Kept

READERS = {
    "wiki": _markup_wiki.to_text,
    "markdown": _markup_markdown.to_text,
    "roff": _markup_roff.to_text,
    "rst": _markup_rst.to_text,
}

MARKS = "` `` * ** _ [ ] ( ) [[ ]] {{ }} {| |} | <ref> </ref> <!-- --> :: :a: \\ \\f \\( ' = # ~~~ +-+ &amp; &#1;"
PIECES = [
    *MARKS.split(),
    *("a", "word ", "中文", "。", "\n", "\n\n", "    ", ".. ", ".SH ", ".if n \\{\\\n", ".TS\n", "```\n", "> ", "- "),
    *("-{", "}-", "\0", "\ud800", "\x85"),
]


def test_set_aside_text_survives_cut_marks():
    kept = Kept()
    mark = kept.keep("code")
    assert kept.restore(f"a {mark} b") == "a code b"
    assert kept.restore("half " + mark[:-1]) == "half 0"
    assert kept.restore("\0" + "7\0 of another") == " of another"


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@pytest.mark.parametrize("name", READERS)
def test_nothing_fails_and_no_mark_is_left(name: str, source: str):
    text = READERS[name](source)
    assert "\0" not in text
    assert len(text) <= 3 * len(source) + 20
    assert json.dumps(text)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("unit", ["[", "[[", "{{", "*a", "`", "\\[", "<!--", ".if n \\{\n", ":`", "|a", "([x]("])
def test_a_megabyte_of_opening_marks_comes_to_an_end(name: str, unit: str):
    text = READERS[name]("中文 " + unit * (1_000_000 // len(unit)))
    assert text.startswith("中文")
