"""Tables as programs write them: delimiters, quotes that are none, escapes, ends of lines, missing headers."""

from __future__ import annotations

import csv
import io

import pytest
from source_rows import read, summary, texts, write

from llmkit.data.sources import Record
from llmkit.data.sources.files import Files

SPEECH = ['"Come in," she said.', "Nobody came.", 'He said "no"', '"Wait', "for", 'me"', "the end"]


def tsv(rows, name="text"):
    return "".join(f"{number}\t{row}\n" for number, row in [("id", name), *enumerate(rows)])


def test_speech_in_a_table_without_quoting_swallows_no_row(tmp_path):
    assert texts(read(write(tmp_path / "a.tsv", tsv(SPEECH)))) == SPEECH
    assert texts(read(write(tmp_path / "b.tsv", "text\n" + "\n".join(SPEECH)))) == SPEECH
    whole = ['"Hello."', "x", '"Good night."']
    assert texts(read(write(tmp_path / "c.tsv", tsv(whole)))) == whole


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_csv_writes_is_told_by_the_file(tmp_path, delimiter, quoting):
    rows = [[n, text, "3,50; 4|5"] for n, text in enumerate([*SPEECH, "one\ntwo", "a\tb", 'x ""'])]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerows([["id", "text", "price, EUR"], *rows])
    result = read(write(tmp_path / f"a.{'tsv' if delimiter == chr(9) else 'csv'}", out.getvalue()))
    assert texts(result) == [row[1] for row in rows]
    assert result[0].meta == {"id": "0", "price, EUR": "3,50; 4|5"}


def test_speech_that_a_quoted_table_begins_lines_with_swallows_no_row(tmp_path):
    rows = tsv(['"a\tb"', '"x ""y"""', '"Wait', "for", 'me"', "end"])
    assert texts(read(write(tmp_path / "a.tsv", rows))) == ["a\tb", 'x "y"', '"Wait', "for", 'me"', "end"]


def test_quotes_escaped_by_a_backslash(tmp_path):
    content = 'id,text\n1,"He said \\"wait here\\", and left"\n2,"C:\\new"\n3,"one\n\\"two\\" \\\\"\n'
    assert texts(read(write(tmp_path / "a.csv", content))) == [
        'He said "wait here", and left',
        "C:\\new",
        'one\n"two" \\',
    ]


def test_a_first_line_that_names_the_delimiter(tmp_path):
    assert read(write(tmp_path / "a.csv", "\ufeffsep=;\r\ntext;n\r\na, b;1\r\n")) == [
        Record(0, "a, b", "a", meta={"n": "1"})
    ]
    assert texts(read(write(tmp_path / "b.csv", "sep=^\ntext^n\na^1\n"))) == ["a"]


@pytest.mark.parametrize("content", [
    "id,text\r1,one\r2,\"two, \r\n3\"\r",
    "id,text\n1,one\n2,\"two, \n3\"\n",
    "id,text\r\n1,one\r\n2,\"two, \n3\"",
])  # fmt: skip
def test_ends_of_lines(tmp_path, content):
    result = texts(read(write(tmp_path / "a.csv", content)))
    assert [text.replace("\r\n", "\n").replace("\n\n", "\n") for text in result] == ["one", "two, \n3"]


def test_a_lone_return_in_a_field_and_rows_of_a_joined_file(tmp_path):
    content = 'id,text\n1,"one, \rtwo"\n2,three\rfour\n3,five\r4,six\r5,"seven, eight"\n6,nine\n'
    assert summary(read(write(tmp_path / "a.csv", content))) == [
        "one, \rtwo",
        "three\rfour",
        "five",
        "six",
        "seven, eight",
        "nine",
    ]


def test_a_table_without_a_header_loses_no_row_and_shows_no_value(tmp_path):
    content = "Anna Berg,anna@example.com,The first of the letters came.\nBo,bo@example.com,The second came late.\n"
    path = write(tmp_path / "a.csv", content)
    assert summary(read(path)) == ["! no field 'text'; the row has: column1, column2, column3"] * 2
    expected = ["The first of the letters came.", "The second came late."]
    assert texts(read(path, text_field="column3")) == expected
    assert texts(read(write(tmp_path / "b.csv", "\n".join(expected)))) == expected  # its only column is the text
    assert texts(read(write(tmp_path / "c.csv", "x,text\ny,b\n"), header=False, text_field="column2")) == ["text", "b"]
    assert read(write(tmp_path / "d.csv", "1,a.\n"), header=True) == []


def test_the_config_says_it(tmp_path):
    path = write(tmp_path / "a.csv", 'n~text\n1~"a\n2~b"\n3~\\"c\\"\n')
    assert texts(read(path, delimiter="~", quoting="none")) == ['"a', 'b"', '\\"c\\"']
    assert texts(read(path, delimiter="~", quoting="none", escape="backslash"))[2] == '"c"'
    assert texts(read(path, delimiter="~", quoting="quotes"))[0] == "a\n2~b"
    with pytest.raises(ValueError, match="expected one character, tab, or auto"):
        Files(path="x", delimiter="::")
    assert Files(path="x", delimiter="tab").delimiter == "\t"


def test_what_was_found_out_is_said(tmp_path):
    write(tmp_path / "a.csv", '"text";n\n"a";1\n')
    write(tmp_path / "b.csv", "text;n\na;1\n")
    write(tmp_path / "c.tsv.gz", tsv(SPEECH))
    write(tmp_path / "d.txt", "x")
    source = Files(path=str(tmp_path))
    assert source.describe() == [
        'a.csv and 1 more: semicolons between fields, fields may stand in quotes, where "" is one;'
        " the first row names the columns",
        "c.tsv.gz: tabs between fields, quotes are ordinary characters; the first row names the columns",
    ]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        (
            "a.tsv",
            'text\n"line one\nline two"\n"line three\nline four"\n',
            ["line one\nline two", "line three\nline four"],
        ),
        ("a.tsv", '"text"\n"a\nb"\n"c"\n', ["a\nb", "c"]),
        ("a.tsv", 'text\n"Yes," he said\nno\n"open\nend"\n', ['"Yes," he said', "no", '"open', 'end"']),
        ("a.csv", "It is good.\nIt is bad.\n", ["It is good.", "It is bad."]),
    ],
)
def test_a_single_column(tmp_path, name, data, expected):
    (tmp_path / name).write_text(data)
    assert texts(read(tmp_path / name)) == expected


@pytest.mark.parametrize("name", ["0", '"What did you like?"'])
def test_a_name_like_no_value_below_it_is_a_name(tmp_path, name):
    (tmp_path / "a.csv").write_text(f"{name}\nthe sea\nthe boat\n")
    assert texts(read(tmp_path / "a.csv", text_field=name.strip('"'))) == ["the sea", "the boat"]
