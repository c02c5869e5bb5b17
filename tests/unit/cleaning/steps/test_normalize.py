"""One form for all text; nothing changes what has it already."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps.normalize import Normalize
from llmkit.data.corpus import Document


def normalize(text: str, **fields: Any) -> str:
    return Normalize(**fields).rewrite(text, Document(id="0", text="", source="s"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc\x85d\u2028e\u2029f", "a\nb\nc\nd\ne\nf"),
        ("\ufeffa\x00b\x1fc\x7fd\x9fe\u200bf\u2060g\xadh", "abcdefgh"),
        ("क\u200d्ष می\u200cخواهم", "क\u200d्ष می\u200cخواهم"),
        ("e\u0301, ガ", "é, ガ"),
        ("a  \nb\t\n中\u3000\nc\xa0", "a\nb\n中\nc"),
        ("  indented\tcode  here", "  indented\tcode  here"),
        ("\n\na\n\n\n\n\nb\n\n", "a\n\n\nb"),
        ("ｆｕｌｌ，１２！", "ｆｕｌｌ，１２！"),
        ("", ""),
        ("\x00", ""),
    ],
)
def test_one_form(text: str, expected: str):
    assert normalize(text) == expected


@pytest.mark.parametrize("text", ["", "plain\n\ttext  x\n\n\nend", "“中文”，\u3000标点！ é\n第二行", "😀\u200d"])
def test_what_is_in_form_is_the_same_object(text: str):
    assert normalize(text) is text
    assert normalize(text, form="none", full_width="fold_letters") is text


def test_collapsed_spaces():
    text = "\u3000\u3000段落\u3000一\n  two\t three \xa0four\n\tfive\n\nsix  "
    assert normalize(text, collapse_spaces=True) == "段落 一\ntwo three four\nfive\n\nsix"
    words = "one two\nthree"
    assert normalize(words, collapse_spaces=True) is words


def test_blank_lines():
    assert normalize("a\n\n\n\nb\n\nc", max_blank_lines=1) == "a\n\nb\n\nc"
    assert normalize("a\n\nb", max_blank_lines=0) == "a\nb"
    assert normalize("a \n \n \n \nb") == "a\n\n\nb"


def test_full_width_letters_and_digits_are_folded_but_not_punctuation():
    assert normalize("Ａｚ０９，！（ｘ）：　ー", full_width="fold_letters") == "Az09，！（x）：　ー"


def test_no_composition_where_not_asked():
    assert normalize("e\u0301", form="none") == "e\u0301"


def reference(text: str) -> str:
    """The rules one after the other, without any short cut."""
    text = re.sub("\r\n?|\x85|\u2028|\u2029", "\n", text)
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u200b\u2060\ufeff\u00ad]", "", text)
    text = unicodedata.normalize("NFC", text)
    text = "\n".join(line.rstrip(" \t\u3000\xa0") for line in text.split("\n"))
    return re.sub(r"\n{4,}", "\n\n\n", text).strip("\n")


ALPHABET = st.sampled_from("ab  \t\n\n\n\r\u3000\xa0\x85\u2028\x00\x0b\x7f\x80\u200b\ufeffé中e\u0301\xad\ud800Ａ")


@given(st.text(ALPHABET, max_size=20))
def test_the_short_cuts_change_nothing(text: str):
    once = normalize(text)
    assert once == reference(text)
    assert normalize(once) == once


@given(st.text(ALPHABET, max_size=20))
def test_collapsed_text_has_no_run_of_blanks(text: str):
    once = normalize(text, collapse_spaces=True, max_blank_lines=0)
    assert not re.search("[\t\xa0\u3000]|  |^ | $|\n\n", once, re.MULTILINE)
    assert re.sub(r"\s", "", once) == re.sub(r"\s", "", reference(text))
