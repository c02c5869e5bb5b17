"""Hard-wrapped paragraphs are recognised at any width; what breaks its lines on purpose is left alone."""

from __future__ import annotations

import re
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layouts import CODE, FREE_VERSE, LIST, LOG, MENU, PARAGRAPHS, TABLE, VERSE
from llmkit.cleaning.features import Features
from llmkit.data.sources import Record
from llmkit.data.sources.python_docs import PythonDocs


def lines(text: str) -> list[str]:
    """Return the units of a text, the lines of each joined by one blank."""
    found = Features(text)
    spans = found.units.spans
    return [" ".join(text[s:e].split()) for s, e in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)]


@pytest.mark.parametrize("width", [40, 55, 65, 72, 80, 100])
def test_paragraphs_are_found_at_every_width(width: int) -> None:
    assert lines("\n\n".join(textwrap.fill(p, width) for p in PARAGRAPHS)) == PARAGRAPHS


def test_layouts_of_paragraphs() -> None:
    indented = "\n".join(textwrap.fill(p, 66, initial_indent="    ") for p in PARAGRAPHS)
    assert lines(indented) == PARAGRAPHS
    margin = "\n\n".join(textwrap.fill(p, 78, initial_indent=" " * 7, subsequent_indent=" " * 7) for p in PARAGRAPHS)
    assert lines(margin) == PARAGRAPHS
    double = "\n\n".join(textwrap.fill(p, 66).replace("\n", "\n\n") for p in PARAGRAPHS)
    assert lines(double) == PARAGRAPHS


def test_quoted_lines_and_list_items_are_paragraphs_too() -> None:
    quoted = textwrap.fill(PARAGRAPHS[0], 70, initial_indent="> ", subsequent_indent="> ")
    item = textwrap.fill(PARAGRAPHS[1], 70, initial_indent="- ", subsequent_indent="  ")
    found = Features(f"Anna wrote:\n{quoted}\n\n{item}\n{item}")
    assert len(found.units.closed) == 4


def test_a_heading_and_a_signature_stay_by_themselves() -> None:
    text = f"CHAPTER I\n{textwrap.fill(PARAGRAPHS[0], 66)}\n\nRegards,\nAnna"
    assert lines(text) == ["CHAPTER I", PARAGRAPHS[0], "Regards,", "Anna"]


@pytest.mark.parametrize("text", [VERSE, FREE_VERSE, CODE, TABLE, LIST, MENU, LOG], ids=str.split)
def test_what_breaks_its_lines_on_purpose_is_left_alone(text: str) -> None:
    assert not Features(text).units.joined.any()
    both = Features(f"{text}\n\n" + "\n\n".join(textwrap.fill(p, 72) for p in PARAGRAPHS))
    assert not both.units.joined[: text.count("\n") + 1].any()
    assert len(both.units.closed) == text.count("\n") + 1 + len(PARAGRAPHS)


@pytest.mark.parametrize("width", [25, 30, 38])
def test_chinese_is_wrapped_between_characters(width: int) -> None:
    sentence = "话说天下大势，分久必合，合久必分。周末七国分争，并入于秦；及秦灭之后，楚汉分争，又并入于汉。"
    paragraph = sentence * 4
    rows = re.findall(rf".{{{width}}}[，。；]*|.+", paragraph)
    found = Features("\n".join([*rows, "", *rows]))
    assert len(found.units.closed) == 2
    assert found.units.closed.all()
    poem = "春江潮水连海平，海上明月共潮生。\n滟滟随波千万里，何处春江无月明！\n江流宛转绕芳甸，月照花林皆似霰。"
    assert not Features(poem).units.joined.any()


def test_manuals_of_python_are_mostly_paragraphs() -> None:
    source = PythonDocs(heldout_fraction=0, include=["topics"])
    texts = [record.text for file in source.files() for record in source.read(file) if isinstance(record, Record)]
    found = [Features(text).units for text in texts if len(text) > 3000]
    assert len(found) > 20
    joined = sum(int(units.joined.sum()) for units in found)
    assert joined > 0.45 * sum(len(units.joined) for units in found)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab A1.\n\t >-中。　—", max_size=300))
def test_any_text_gives_units_that_cover_its_lines(text: str) -> None:
    found = Features(text)
    units, spans = found.units, found.lines
    assert len(units.closed) == len(units.worded) == len(units.spans.starts) == int((~units.joined).sum())
    if len(spans.starts):
        assert units.spans.starts[0] == spans.starts[0]
        assert units.spans.ends[-1] == spans.ends[-1]


@pytest.mark.parametrize("text", ["(", "a\n(", "-", "1", "1.", "(a", "(a)", "\n(\n("])
def test_nothing_behind_the_last_character_is_read(text: str) -> None:
    """Compiled loops check no bounds: the same loop in Python does."""
    from llmkit.cleaning import line_shapes
    from llmkit.text.characters import character_table, code_points

    codes, info = code_points(text), character_table().info
    start = len(text) - len(text.rsplit("\n", maxsplit=1)[-1])
    assert line_shapes._item_end.py_func(codes, info, start, len(text)) == start


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"https://example.org/a/long/path/to/the/file/{i}.html\n" for i in range(1, 6)),
        "".join(f"key_{i:02}: the value of this thing here is\n" for i in range(8)),
        "".join(f"error: cannot open the file number {i} in here\n" for i in range(8)),
        "".join(f"export variable{i}=some value that is long {i}\n" for i in range(8)),
        "aback: by surprise and without a warning\nabash: to make somebody feel ashamed of it\n"
        "abate: to become less strong or less bad\nabbey: a house in which monks or nuns live\n"
        "abide: to bear somebody or something well\n",
        "".join(f"{i * 7**60:064x}  file{i}.txt\n" for i in range(6)),
        "春天的花园里有很多美丽的花朵和绿色的树\n秋天的田野上有很多金色的稻谷和红色的果\n"
        "夏天的海边有很多快乐的孩子和漂亮的贝壳\n冬天的山上有很多洁白的雪花和安静的小屋\n",
    ],
    ids=["addresses", "names and values", "errors", "code", "glossary", "digests", "headings"],
)
def test_entries_of_one_length_are_no_paragraph(text: str) -> None:
    assert lines(text) == [" ".join(line.split()) for line in text.splitlines()]
