"""Bytes and characters, against Python's own decoder and the alphabet of `tokenizers`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, pre_tokenizers

from llmkit.text.utf8 import byte_characters, first_character


def test_the_characters_of_bytes_are_those_of_tokenizers():
    characters = byte_characters()
    assert sorted(characters) == sorted(pre_tokenizers.ByteLevel.alphabet())
    decoder = decoders.ByteLevel()
    assert [decoder.decode([character]) for character in characters[:128]] == [chr(byte) for byte in range(128)]
    assert decoder.decode([characters[byte] for byte in "中é".encode()]) == "中é"


@given(st.characters(exclude_categories=["Cs"]), st.text())
def test_a_whole_character(char, after):
    data = (char + after).encode()
    assert first_character(data) == range(ord(char), ord(char) + 1)


@given(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), st.data())
def test_a_part_may_become_every_character_that_begins_with_it(char, data):
    whole = char.encode()
    part = whole[: data.draw(st.integers(1, len(whole) - 1))]
    found = first_character(part)
    assert ord(char) in found
    surrogates = range(0xD800, 0xE000)
    assert all(chr(point).encode().startswith(part) for point in found if point not in surrogates)
    for beside in (found.start - 1, found.stop):
        if beside < 0x110000 and beside not in surrogates:
            assert not chr(beside).encode().startswith(part)
    assert first_character(part + b"a") == found
    assert len(first_character(whole[1:])) == 0


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\xe4", range(0x4000, 0x5000)),
        (b"\xe4\xb8", range(0x4E00, 0x4E40)),
        (b"\xe0", range(0x800, 0x1000)),
        (b"\xf4", range(0x100000, 0x110000)),
        (b"\xc0", range(0)),
        (b"\xff", range(0)),
    ],
)
def test_parts_by_hand(data, found):
    assert first_character(data) == found
