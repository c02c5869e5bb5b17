from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.text.sentences import sentence_starts


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\t ", []),
        ("One", ["One"]),
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("  One. Two.  ", ["One. ", "Two.  "]),
        ("Pi is 3.14 and a.b.c is a name.", ["Pi is 3.14 and a.b.c is a name."]),
        ('He said "No." Then (yes!) he left.', ['He said "No." ', "Then (yes!) ", "he left."]),
        ("Wait... what?! Yes.", ["Wait... ", "what?! ", "Yes."]),
        ("A line\nAnother\n\n  indented", ["A line\n", "Another\n\n  ", "indented"]),
        ("春天来了。花开了！真的吗？是", ["春天来了。", "花开了！", "真的吗？", "是"]),
        ("他说：“走。”我们走了。", ["他说：“走。”", "我们走了。"]),
        ("等等……好吧。 Fine.", ["等等……", "好吧。 ", "Fine."]),
        ("\n\nAfter blank lines. End", ["After blank lines. ", "End"]),
    ],
)
def test_sentences(text, sentences):
    starts = sentence_starts(text)
    assert [text[a:b] for a, b in pairwise([*starts, len(text)])] == sentences


@given(st.text(st.sampled_from('ab.!?。！” "\n\t…)'), max_size=30))
def test_starts_ascend_and_stand_on_text(text):
    starts = sentence_starts(text)
    assert starts == sorted(set(starts))
    assert all(not text[start].isspace() for start in starts)
    assert bool(starts) == bool(text.strip())
    assert not starts or not text[: starts[0]].strip()
