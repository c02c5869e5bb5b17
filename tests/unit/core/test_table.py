"""Tables as text: nothing is padded at its end, words and numbers stay whole in every width."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from llmkit.core.table import table_lines

ROWS = [
    ("documents", "5,283 kept of 8,511 (62.1%)"),
    ("fell", "length.min_chars 3,074, exact_duplicates 89, near_duplicates 54, near_duplicates.short 11"),
]


def test_as_wide_as_it_needs_where_there_is_no_terminal():
    long = "word " * 100 + "end"
    assert table_lines([("a", long, "1"), ("bb", "x")], ("name", "text", "n")) == [
        f"name  {'text':{len(long)}}  n", f"a     {long}  1", "bb    x",
    ]  # fmt: skip
    assert table_lines([]) == []


def test_cells_are_wrapped_between_words_by_hand():
    assert table_lines(ROWS, width=52) == [
        "documents  5,283 kept of 8,511 (62.1%)",
        "fell       length.min_chars 3,074, exact_duplicates",
        "           89, near_duplicates 54,",
        "           near_duplicates.short 11",
    ]
    assert table_lines([("a b", "1,000"), ("c", "20")], ("a", "n"), numbers_from=1, width=8) == [
        "a      n",
        "a  1,000",
        "b",
        "c     20",
    ]


def test_columns_share_what_there_is():
    rows = [("steps.0.type", "some words that go on for a while and then some more of them", "recipe.yaml:3")]
    assert table_lines(rows, ("field", "value", "from"), width=60) == [
        "field         value                            from",
        "steps.0.type  some words that go on for a      recipe.yaml:3",
        "              while and then some more of",
        "              them",
    ]


def test_what_fits_in_no_width_is_a_block_a_row():
    path = "/a/long/path/that/nobody/can/break/anywhere.yaml:17"
    assert table_lines([("inputs.0", "raw", path)], ("field", "value", "from"), width=40) == [
        "field  value  from",
        "inputs.0",
        "    value: raw",
        f"    from: {path}",
    ]


def test_an_interval_stays_whole_and_an_empty_column_takes_no_room():
    rows = [("acc", "a", "0.5000 [0.4100, 0.5900]", "", "80"), ("", "b", "0.6000 [0.5100, 0.6900]", "", "80")]
    headers = ("score", "run", "value", "samples", "n")
    assert table_lines(rows, headers, width=32) == [
        "score  run  value             n",
        "acc    a    0.5000            80",
        "            [0.4100, 0.5900]",
        "       b    0.6000            80",
        "            [0.5100, 0.6900]",
    ]
    assert table_lines(rows, headers)[0].split() == list(headers), "in a pipe every column is there"
    assert table_lines(rows, headers, width=24) == [
        "score  run  value  n",
        "acc",
        "    run: a",
        "    value: 0.5000",
        "           [0.4100, 0.5900]",
        "    n: 80",
        "    run: b",
        "    value: 0.6000",
        "           [0.5100, 0.6900]",
        "    n: 80",
    ]


def test_chinese_goes_on_at_any_character():
    assert table_lines([("\u8bf4\u660e", "\u6625\u5929\u6765\u4e86\u82b1\u5f00\u4e86")], width=12) == [
        "\u8bf4\u660e  \u6625\u5929\u6765", "      \u4e86\u82b1\u5f00", "      \u4e86",
    ]  # fmt: skip


cells = st.lists(st.sampled_from(["word", "1,234.5", "a.long.dotted.name", "x", "\u6625\u5929", "and"]), max_size=12)


@given(st.lists(st.tuples(*[cells.map(" ".join)] * 3), min_size=1, max_size=4), st.integers(40, 110))
def test_no_word_is_broken_and_no_line_too_long(rows, width):
    lines = table_lines(rows, ("name", "value", "from"), width=width)
    assert all(line == line.rstrip() for line in lines)
    assert max(map(cell_len, lines)) <= width
    wanted = {word for row in rows for cell in row for word in cell.split() if word.isascii()}
    assert wanted <= {word for line in lines for word in line.split()}


_TERMINAL = """
import fcntl, struct, sys, termios
fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, int(sys.argv[1]), 0, 0))
from llmkit.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


def on_terminal(columns, *arguments):
    """Run a command on a terminal of so many columns; return its lines."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    run = subprocess.Popen(
        [sys.executable, "-c", _TERMINAL, str(columns), *arguments], stdout=theirs, stderr=subprocess.DEVNULL,
        stdin=theirs, env=environment,
    )  # fmt: skip
    os.close(theirs)
    data = b""
    try:
        while part := os.read(ours, 65536):
            data += part
    except OSError:
        pass  # the other side is closed
    os.close(ours)
    assert run.wait() == 0
    return data.decode().replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[22m", "").split("\r\n")


@pytest.mark.parametrize(
    ("columns", "arguments"),
    [
        (80, ["recipes", "list"]),
        (100, ["schema", "clean", "--fields"]),
        (80, ["clean", "-r", "english", "-i", "x", "--dry-run"]),
    ],
    ids=["recipes", "schema", "dry run"],
)
def test_commands_on_a_terminal(columns, arguments):
    piped = subprocess.run([sys.executable, "-m", "llmkit", *arguments], capture_output=True, text=True, check=True)
    assert [line for line in piped.stdout.splitlines() if line != line.rstrip()] == []
    shown = on_terminal(columns, *arguments)
    words = {word for line in piped.stdout.splitlines() for word in line.split() if word.isascii()}
    lost = words - {word for line in shown for word in line.split()}
    assert not {word for word in lost if len(word) < columns - 20}
    too_long = [line for line in shown if len(line) > columns]
    assert all(len(max(line.split(), key=len)) > columns - 25 for line in too_long)
