"""Tables with very many columns, of equal names or not: time grows with their number, not with its square."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from source_rows import read

from llmkit.data.rows import _values
from llmkit.data.sources._formats.table import _distinct

WIDE = 50_000
"""So many that comparing every name with every other would take minutes."""


def slow(names):
    """Number every taken name by trying one number after the other."""
    found = []
    for name in names:
        free = (f"{name}.{count}" for count in itertools.count(1))
        found.append(name if name not in found else next(other for other in free if other not in found + names))
    return found


@given(st.lists(st.sampled_from(["", "a", "a.1", "a.1.1", "a.2", "b", ".1", ".2"]), max_size=12))
def test_names_are_numbered_as_by_trying(names):
    assert _distinct(names) == slow(names)
    assert len(set(_distinct(names))) == len(names)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(
    "names",
    [[""] * WIDE, ["a"] * WIDE, [f"c{i}" for i in range(WIDE)], ["a", *(f"a.{i}" for i in range(1, WIDE // 2))] * 2],
    ids=["no names", "one name", "many names", "names that look numbered"],
)
def test_a_wide_table(tmp_path, names, suffix):
    mark = "," if suffix == ".csv" else "\t"
    rows = [mark.join(["text", *names]), mark.join(["kept", *["1"] * len(names)])]
    (tmp_path / f"wide{suffix}").write_text("\n".join(rows) + "\n")
    (record,) = read(tmp_path)
    assert record.text == "kept"
    assert len(record.meta) == len(names)


def test_the_nearest_name_is_looked_for_once_a_file(tmp_path, monkeypatch):
    # Every row of a table without the text column fails, and a look at all names takes longer than to read the row.
    looks = []
    real = _values.difflib.get_close_matches
    monkeypatch.setattr(
        _values.difflib, "get_close_matches", lambda *words, **how: looks.append(words) or real(*words, **how)
    )
    header = ",".join(["texts", *(f"c{i}" for i in range(200))])
    (tmp_path / "a.csv").write_text("\n".join([header, *["x" + ",1" * 200] * 50]) + "\n")
    found = read(tmp_path)
    assert len(found) == 50
    assert all("did you mean 'texts'?" in broken.reason for broken in found)
    assert len(looks) == 1
