"""The table of characters against `unicodedata` and by hand."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.text import characters
from llmkit.text.characters import SCRIPT_SHIFT, SCRIPTS, character_table


def flags(char: str) -> int:
    return int(character_table().info[ord(char)])


@settings(deadline=None)  # the first call compiles
@given(st.characters(max_codepoint=0x1FFFF))
def test_flags_follow_unicode(char: str) -> None:
    category = unicodedata.category(char)
    assert bool(flags(char) & characters.SPACE) == char.isspace()
    assert bool(flags(char) & characters.DIGIT) == (category == "Nd")
    assert bool(flags(char) & characters.UPPER) == (category in ("Lu", "Lt"))
    assert bool(flags(char) & characters.MARK) == (category[0] == "M")
    if category[0] == "L":
        assert flags(char) & characters.LETTER
        assert bool(flags(char) & characters.WORD) != bool(flags(char) & characters.UNSPACED)
    lower = char.lower()
    assert chr(int(character_table().folded[ord(char)])) == (lower if len(lower) == 1 else char)


def test_scripts() -> None:
    text = "aé中々〇〇あアｱＡก가яأ\U00020000"
    assert [SCRIPTS[flags(char) >> SCRIPT_SHIFT] for char in text] == [
        "Latin", "Latin", "Han", "Han", "Han", "Han", "Kana", "Kana", "Kana", "Latin", "Thai", "Hangul", "Cyrillic",
        "Arabic", "Han",
    ]  # fmt: skip


def test_invisible_characters() -> None:
    for char in "\x00\x7f\u200b\ufeff\ud800\ue000\U000f0000\U000e0001":
        assert flags(char) & characters.INVISIBLE, hex(ord(char))
    for char in "\n\ta中😀\u0301\U000e0100":
        assert not flags(char) & characters.INVISIBLE, hex(ord(char))


def test_terminal_punctuation() -> None:
    assert all(flags(char) & characters.TERMINAL for char in ".!?…。！？｡؟।")
    assert not any(flags(char) & characters.TERMINAL for char in ",;:，、；a中")
