"""Tables with very many columns, of equal names or not: time grows with their number, not with its square."""

from __future__ import annotations

import csv
import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_rows import read

from llmkit.data.rows import _values
from llmkit.data.sources import Broken
from llmkit.data.sources._columns import distinct_names

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
    assert distinct_names(names) == slow(names)
    assert len(set(distinct_names(names))) == len(names)


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


def by_row(data, num_columns, mark):
    """Read a table as its rows are defined, however long that takes: each from its first line on."""
    lines, found, at = data.splitlines(keepends=True), [], 0
    while at < len(lines):
        if not lines[at].strip(" \t\r\n"):
            at += 1
            continue
        reader = csv.reader(lines[at:], delimiter=mark, strict=True)
        try:
            values = next(reader)
        except csv.Error:
            values = []
        plain = lines[at].rstrip("\r\n").split(mark)
        taken = lines[at : at + reader.line_num]
        speech = mark == "\t" and len(taken) > 1 and all(line.count(mark) == num_columns - 1 for line in taken)
        if len(values) == num_columns and not speech:
            found.append(values)
            at += reader.line_num
            continue
        found.append(plain if mark == "\t" and len(plain) == num_columns else None)
        at += 1
    return found


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    suffix=st.sampled_from([".csv", ".tsv"]),
    lines=st.lists(st.text(alphabet='"x,\t', max_size=7).filter(lambda line: line.strip()), max_size=9),
)
def test_quotes_read_as_if_every_row_began_anew(tmp_path, suffix, lines):
    mark = "," if suffix == ".csv" else "\t"
    body = "".join(f"{line}\n" for line in lines)
    (tmp_path / f"a{suffix}").write_text(f"text{mark}b\n{body}")
    found = read(tmp_path / f"a{suffix}", quoting="quotes", delimiter=mark, header=True)
    values = [None if isinstance(row, Broken) else [row.text, row.meta["b"]] for row in found]
    assert values == by_row(body, 2, mark)


@pytest.mark.parametrize(
    "line",
    ['x"{mark}y{mark}"z', '"x{mark}1', 'x"{mark}"z', '"""'],
    ids=["too many columns", "one quote", "never closed", "three quotes"],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_quotes_that_take_the_rest_of_the_file_take_it_once(tmp_path, suffix, line):
    # Where each of these rows read on to the end of the file, this would take hours.
    mark = "," if suffix == ".csv" else "\t"
    body = (line.format(mark=mark) + "\n") * 20_000
    (tmp_path / f"a{suffix}").write_text(f"text{mark}b\n{body}last{mark}row\n")
    found = read(tmp_path / f"a{suffix}")
    assert found[-1].text == "last"


def test_a_row_within_one_that_failed_is_counted_from_its_own_line(tmp_path):
    # The first row takes both fields of several lines; the row that begins at the second line has the last of them.
    (tmp_path / "a.csv").write_text('text,b\nx,"a\nz","b\nc"\n7,ok\n')
    found = read(tmp_path / "a.csv", quoting="quotes", delimiter=",", header=True)
    assert [None if isinstance(row, Broken) else (row.text, row.meta["b"]) for row in found] == [
        None,
        ('z"', "b\nc"),
        ("7", "ok"),
    ]
