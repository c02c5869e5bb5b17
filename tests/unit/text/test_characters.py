"""The table of characters against `unicodedata`, against Unicode's property `Script`, and by hand."""

from __future__ import annotations

import re
import unicodedata

import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.text import characters
from llmkit.text.characters import (
    SCRIPT_SHIFT,
    SCRIPTS,
    character_table,
    code_points,
    has_script,
    script_class,
    unspaced_class,
)
from llmkit.text.characters import flags_of as flags


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


UNICODE = {
    "Han": r"[\p{Script=Han}〆\u302a-\u302d]",  # of all scripts by Unicode, since Japanese and Korean use them, too
    "Kana": r"[\p{Script=Hiragana}\p{Script=Katakana}〱-〵〼ー\uff70\uff9e\uff9f]",  # of both kinds of kana
    **{name: rf"\p{{Script={name}}}" for name in ("Thai", "Lao", "Khmer", "Myanmar", "Tibetan")},
}
"""Which characters belong to the scripts without spaces."""


def test_scripts_without_spaces_are_those_of_unicode():
    patterns = {name: regex.compile(pattern) for name, pattern in UNICODE.items()}
    wrong = []
    for code in range(0x20000):
        char = chr(code)
        category = unicodedata.category(char)
        if category[0] not in "LM" and category != "Nl":
            continue
        script = next((name for name, pattern in patterns.items() if pattern.match(char)), None)
        found = SCRIPTS[flags(char) >> SCRIPT_SHIFT]
        if (script is not None) != bool(flags(char) & characters.UNSPACED) or script not in (None, found):
            wrong.append((hex(code), script, found))
    assert wrong == []


def test_digits_of_scripts_without_spaces_are_words():
    for char in "๑໑១၁༡７":
        assert flags(char) & (characters.WORD | characters.UNSPACED | characters.DIGIT) == (
            characters.WORD | characters.DIGIT
        ), char


def test_hangul_and_bopomofo_are_words():
    for char in "가ㄱㄅ":
        assert flags(char) & (characters.WORD | characters.UNSPACED) == characters.WORD, char


def test_blocks_described_by_their_first_character_are_uniform():
    for block in characters._UNIFORM:
        found = {characters._describe(chr(code)) for code in range(block.start, block.stop)}
        assert len(found) == 1, hex(block.start)


def test_classes_of_regular_expressions_are_the_table():
    info, every = character_table().info, "".join(map(chr, range(0x110000)))
    unspaced = {ord(char) for char in re.findall(f"[{unspaced_class()}]", every)}
    assert unspaced == {code for code in range(0x110000) if info[code] & characters.UNSPACED}
    kana = {ord(char) for char in re.findall(f"[{script_class('Kana')}]", every)}
    assert kana == {code for code in range(0x110000) if SCRIPTS[info[code] >> SCRIPT_SHIFT] == "Kana"}


def test_a_script_is_found_anywhere():
    assert has_script("see 中", "Han")
    assert not has_script("かな、가。〜", "Han")
    assert has_script("・カ", "Kana")
    assert not has_script("约翰・史密斯", "Kana")  # a middle dot between foreign names is no kana
    assert not has_script("", "Latin")


def test_code_points_keep_surrogates():
    assert code_points("a中\ud800😀").tolist() == [0x61, 0x4E2D, 0xD800, 0x1F600]
