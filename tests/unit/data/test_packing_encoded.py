"""Encoded rows: columns of any shape, in memory, on disk and joined."""

from __future__ import annotations

import numpy as np
import pytest

from llmkit.data.packing import Column, EncodedRows, Example
from llmkit.data.packing.encoded import save_joined

COLUMNS = {
    "input_ids": Column(pad=9),
    "labels": Column(pad=-100),
    "weight": Column("float64", pad=0.5),
    "score": Column("float32", pad=None),
    "box": Column("int16", pad=None),
}
EXAMPLES = [
    Example({"input_ids": [1, 2, 3], "labels": [4], "weight": [], "score": 0.25, "box": [[1, 2], [3, 4]]}, 1, 10),
    Example({"input_ids": [5], "labels": [6, -100], "weight": [2, 3], "score": -1, "box": [[5, 6], [7, 8]]}, 2, 20),
    Example({"input_ids": [], "labels": [], "weight": [4], "score": 3, "box": [[9, 9], [0, 0]]}, 0, 0),
]


@pytest.fixture(params=["memory", "disk", "joined"])
def rows(request, tmp_path):
    """The three examples, kept in every way."""
    made = EncodedRows.of(COLUMNS, EXAMPLES, [4, 7, 8])
    if request.param == "memory":
        return made
    parts = [made]
    if request.param == "joined":
        nothing = EncodedRows.of(COLUMNS, [])
        pieces = [(EXAMPLES[:1], [4]), (EXAMPLES[1:], [7, 8])]
        parts = [nothing, *(EncodedRows.of(COLUMNS, *piece) for piece in pieces), nothing]
    save_joined(tmp_path / "rows", parts)
    return EncodedRows.open(tmp_path / "rows")


def test_what_is_known_of_the_rows(rows):
    assert len(rows) == 3
    assert rows.ragged == ["input_ids", "labels", "weight"]
    assert [rows.lengths(name).tolist() for name in rows.ragged] == [[3, 1, 0], [1, 2, 0], [0, 2, 1]]
    assert rows.positions.tolist() == [4, 7, 8]
    assert rows.num_bytes.tolist() == [10, 20, 0]
    assert rows.columns["box"] == Column("int16", None, (2, 2))
    assert rows.values["input_ids"].dtype == np.int32


def test_rows_are_padded_to_the_longest_of_those_asked_for(rows):
    found = rows.padded(np.array([1, 0]))
    expected = {
        "input_ids": [[5, 9, 9], [1, 2, 3]], "input_ids_length": [1, 3],
        "labels": [[6, -100], [4, -100]], "labels_length": [2, 1],
        "weight": [[2, 3], [0.5, 0.5]], "weight_length": [2, 0],
        "score": [-1, 0.25],
        "box": [[[5, 6], [7, 8]], [[1, 2], [3, 4]]],
    }  # fmt: skip
    assert {name: array.tolist() for name, array in found.items()} == expected
    floats = {"weight", "score"}
    assert all(array.dtype == (np.float32 if name in floats else np.int64) for name, array in found.items())
    assert rows.padded(np.array([1]))["input_ids"].tolist() == [[5]]
    assert rows.padded(np.array([2]))["input_ids"].shape == (1, 0)


def test_stretches_are_read_from_within_rows(rows):
    found = rows.flat("input_ids", np.array([1, 0, 0]), np.array([0, 1, 0]), np.array([1, 2, 1]))
    assert found.tolist() == [5, 2, 3, 1]


def test_tokens_are_those_of_all_sequences_and_at_least_one():
    columns = {"input_ids": Column(), "rejected_input_ids": Column(), "labels": Column()}
    examples = [{"input_ids": [1, 2], "rejected_input_ids": [3], "labels": [1] * 9}, {name: [] for name in columns}]
    assert EncodedRows.of(columns, [Example(example) for example in examples]).num_tokens.tolist() == [3, 1]


def test_rows_are_numbered_where_nothing_else_is_said():
    assert EncodedRows.of(COLUMNS, EXAMPLES).positions.tolist() == [0, 1, 2]


def test_no_rows_are_kept_as_well(tmp_path):
    save_joined(tmp_path / "rows", [EncodedRows.of(COLUMNS, [])])
    rows = EncodedRows.open(tmp_path / "rows")
    assert (len(rows), rows.num_tokens.size) == (0, 0)
    assert list(rows.columns) == list(COLUMNS)


def test_a_folder_is_written_over(tmp_path):
    for examples in (EXAMPLES, EXAMPLES[1:2]):
        save_joined(tmp_path / "rows", [EncodedRows.of(COLUMNS, examples)])
    assert EncodedRows.open(tmp_path / "rows").padded(np.array([0]))["labels"].tolist() == [[6, -100]]
