from __future__ import annotations

import unicodedata

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmkit.data.split import SPLITS, split_of
from llmkit.tokenization import folding
from llmkit.tokenization.folding import Folding, Splitter, _folded

FRACTIONS = {"validation_fraction": 0.3, "test_fraction": 0.3}


def split(splitter, texts):
    encoded = [text.encode() for text in texts]
    sides, unusual = splitter.split(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)]))
    return [SPLITS[side] for side in sides], unusual


def check(texts):
    assert split(Splitter(**FRACTIONS), texts)[0] == [split_of(text, **FRACTIONS) for text in texts]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(max_size=20), max_size=8))
@example(["Straße", "STRASSE", "ﬁﬂ", "１２３ＡＢＣ", "½…", "e\u0301", "é", "가", "\u1100\u1161", "￣ ¨", "ﷺ"])
@example(["", " ", "\u3000\n", " a  b\t\u2029c ", "a b c", "ẞ", "İ", "ǅ", "ſ\u0323\u0307"])
@example(["ﷺ" * 40, "㎏", "\u0344", "\u0cc6\u0cc2"])
def test_splits_are_those_of_split_of(texts):
    check(texts)


def test_real_sentences():
    check(
        [
            "The quick brown fox. " * 20,
            "天下大势，分久必合，合久必分。" * 9,
            "Ünïcödé Ελληνικά Русский",
            "한국어 문장",
            "हिन्दी",
        ]
    )


def test_every_character_alone_and_between_others():
    # Surrogates cannot stand in UTF-8. A hash tells little, so compare what is hashed, character by character.
    for point in (*range(0xD800), *range(0xE000, 0x30000)):
        folded = _folded(chr(point))
        if folded is None:
            continue
        for before in ("a", "e\u0301", "가", "中"):
            text = f"{before}{chr(point)}b"
            normal = "".join(" " if c.isspace() else c for c in unicodedata.normalize("NFKC", text).casefold())
            plain = unicodedata.normalize("NFKC", before).casefold()
            assert normal == f"{plain}{folded.decode()}b", hex(point)


def test_what_composes_is_left_to_split_of():
    for point in range(0x110000):
        decomposition = unicodedata.decomposition(chr(point)).split()
        if len(decomposition) == 2 and "<" not in decomposition[0]:
            assert _folded(chr(int(decomposition[1], 16))) is None, hex(point)
    assert all(_folded(chr(point)) is None for point in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)))


def test_characters_of_a_new_kind_are_pointed_at_once():
    splitter = Splitter(**FRACTIONS)
    # Greek (U+03xx) and Chinese (U+4Exx), each at the last byte of its first character; ASCII is not unusual.
    assert split(splitter, ["ab", "bΩ", "Ω一丁"])[1] == [4, 9]
    assert split(splitter, ["aΩ一"])[1] == []
    assert split(splitter, ["aΩ一二", "🦊"])[1] == [12]
    assert split(Splitter(**FRACTIONS), ["aΩ"])[1] == [2]


def test_a_splitter_keeps_to_one_table(monkeypatch):
    # Threads that ask at the same time may get a table each: what a splitter knows must be in its own.
    monkeypatch.setattr(folding, "_folding", Folding)
    splitter = Splitter(**FRACTIONS)
    texts = [f"Ωμέγα {i}" for i in range(50)] + [f"{i}ΩΣ" for i in range(50)]
    for batch in (texts[:1], texts):
        assert split(splitter, batch)[0] == [split_of(text, **FRACTIONS) for text in batch]
