"""Facts about encoded rows, against a plain count of the same."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.data import row_facts
from llmkit.data.packing import IGNORED, Column, EncodedRows, Example
from llmkit.data.row_facts import RowFacts

N = IGNORED


def of(rows, *, spoken=True, **columns):
    known = {"input_ids": Column(), "labels": Column(pad=IGNORED), **columns}
    return RowFacts.of(EncodedRows.of(known, [Example(row) for row in rows]), spoken=spoken)


def chat(prompt, answer, after=()):
    """A row of one answer: labels stand at the position before the token that they are."""
    ids = [*prompt, *answer, *after]
    return {"input_ids": ids, "labels": [*[N] * (len(prompt) - 1), *answer, *[N] * (len(after) + 1)]}


def test_targets_beginnings_and_ends():
    rows = [chat([1, 5], [6, 7, 2]), chat([1, 1, 5], [2], [9]), {"input_ids": [4], "labels": [N]}]
    facts = of(rows)
    assert facts.targets.tolist() == [3, 1, 0]
    assert (facts.first.tolist(), facts.second.tolist()) == ([1, 1, 4], [5, 1, -1])
    assert facts.last.tolist() == [2, 2, -1]


def test_copies_and_other_answers_to_one_question():
    rows = [
        chat([1, 5], [6, 2], [9]), chat([1, 5], [6, 2], [9]),  # copies
        chat([1, 5], [7, 7, 2], [9]),  # another answer, longer
        chat([5, 1], [6, 2], [9]),  # another question of the same ids
        chat([1, 8], [6, 2], [9]),
    ]  # fmt: skip
    facts = of(rows)
    assert facts.duplicates() == 1
    assert facts.conflicts() == 3


def test_of_several_answers_the_last_one_counts():
    def talk(first, second):
        ids = [1, 5, first, 2, 5, second, 2]
        return {"input_ids": ids, "labels": [N, first, 2, N, second, 2, N]}

    assert of([talk(6, 7), talk(6, 8)]).conflicts() == 2
    assert of([talk(6, 7), talk(3, 8)]).conflicts() == 0  # what they are shown differs


@pytest.mark.parametrize(("label", "column"), [
    ([0, 1, 0], Column("int32", None)), ([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]], Column("float32", None)),
])  # fmt: skip
def test_labels_of_one_shape(label, column):
    rows = [{"input_ids": ids, "labels": one} for ids, one in zip([[5, 6], [5, 6], [5, 6]], label, strict=True)]
    facts = of(rows, spoken=False, labels=column)
    assert (facts.duplicates(), facts.conflicts()) == (1, 3)
    assert facts.targets.tolist() == [1, 1, 1]


def test_pairs_are_compared_by_both_sequences():
    other = {"other_input_ids": Column()}
    rows = [{"input_ids": [5], "other_input_ids": [six], "labels": [1]} for six in (6, 7, 6)]
    facts = of(rows, spoken=False, **other)
    assert (facts.duplicates(), facts.conflicts()) == (1, 0)


def test_rows_without_ids_are_none():
    pixels = EncodedRows.of({"pixels": Column("float32", None)}, [Example({"pixels": [0.5]})])
    assert RowFacts.of(pixels, spoken=False) is None


answers = st.lists(st.integers(2, 4), min_size=1, max_size=3)


@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=30), st.integers(1, 40))
def test_any_rows_in_any_chunks_are_counted_as_a_dictionary_counts_them(pairs, chunk):
    before, row_facts.CHUNK_TOKENS = row_facts.CHUNK_TOKENS, chunk
    try:
        facts = of([chat([1, *prompt], answer) for prompt, answer in pairs])
    finally:
        row_facts.CHUNK_TOKENS = before
    keys = [(tuple(prompt), tuple(answer)) for prompt, answer in pairs]
    said = defaultdict(set)
    for prompt, answer in keys:
        said[prompt].add(answer)
    assert facts.duplicates() == len(keys) - len(set(keys))
    assert facts.conflicts() == sum(len(said[prompt]) > 1 for prompt, _ in keys)
    assert facts.targets.tolist() == [len(answer) for _, answer in keys]
    assert facts.last.tolist() == [answer[-1] for _, answer in keys]
    assert facts.asked.dtype == facts.answer.dtype == np.uint64
