"""Arrow's types as JSON has them: text in every type of bytes, and values of meta that Python cannot hold."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_rows import read, summary, texts

from llmkit.data.sources import Broken, Record

TEXTS = ["The boats lie at the quay.", "港口里停着三条船。", "", None]
BYTES = [None if text is None else text.encode() for text in TEXTS]
KINDS = [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())]
BAD = "field 'text' holds bytes that are no text: invalid UTF-8 at byte 1"


def write_table(path, columns, schema=None):
    table = pa.table(columns, schema)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table)
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_bytes_that_are_text_are_text_and_others_an_unreadable_row(tmp_path, name, kind):
    if name == "a.parquet" and kind == KINDS[-1]:
        kind = pa.binary()  # which Parquet stores as a dictionary of its own
    values = pa.array([*BYTES, b"a\xff"], pa.binary()).cast(kind)
    path = write_table(tmp_path / name, {"text": values, "n": range(5), "raw": values})
    assert summary(read(path)) == [*TEXTS[:3], "! field 'text' is null, not a string", f"! {BAD}"]
    assert [row.meta for row in read(path)[:2]] == [{"n": 0, "raw": TEXTS[0]}, {"n": 1, "raw": TEXTS[1]}]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_text_of_a_fixed_size_ends_before_what_fills_it_up(tmp_path, name):
    path = write_table(tmp_path / name, {"text": pa.array([b"a\0\0", b"bcd", b"a\xff\0", None], pa.binary(3))})
    assert summary(read(path)) == ["a", "bcd", f"! {BAD}", "! field 'text' is null, not a string"]


def test_bytes_in_the_declared_encoding(tmp_path):
    path = write_table(tmp_path / "a.parquet", {"text": ["船".encode("big5"), b"ok"]})
    assert texts(read(path, encoding="big5")) == ["船", "ok"]
    chinese = "我们在这里说的是中国的事情，他们也知道。"
    assert texts(read(write_table(tmp_path / "b.parquet", {"text": [chinese.encode("gbk")]}))) == [chinese]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_bytes_in_conversations(tmp_path, name):
    turn = pa.struct([("role", pa.binary()), ("content", pa.binary())])
    good = [{"role": b"user", "content": "你好".encode()}, {"role": b"assistant", "content": b"hello"}]
    bad = [good[0], {"role": b"assistant", "content": b"a\xff"}]
    columns = {"messages": pa.array([good, bad, good], pa.list_(turn)), "raw": pa.array([[b"\xff"]] * 3)}
    first, second, third = read(write_table(tmp_path / name, columns), row="messages")
    messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "hello"}]
    assert first.fields == third.fields == {"messages": messages}
    assert third.meta == {"raw": ["/w=="]}
    assert second == Broken(1, BAD.replace("text' ", "messages' "))


def test_bytes_that_are_no_text_do_not_cost_the_row_in_meta(tmp_path):
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff"))
    path = write_table(tmp_path / "a.parquet", {"text": ["x", "y"], "note": broken})
    assert read(path) == [Record(0, "x", "a", meta={"note": "a"}), Record(1, "y", "a", meta={"note": "/w=="})]


def _moments(numbers, kind):
    return pa.array(numbers, pa.int32() if kind == pa.date32() else pa.int64()).view(kind)


@pytest.mark.parametrize(
    ("kind", "number", "expected"),
    [
        (pa.date32(), 2932897, "10000-01-01"),
        (pa.date64(), 2932897 * 86_400_000, "10000-01-01"),
        (pa.timestamp("s"), 253402300800, "10000-01-01T00:00:00"),
        (pa.timestamp("ms", "UTC"), 253402300800000, "10000-01-01T00:00:00.000+00:00"),
        (pa.timestamp("us"), -62135596800000001, "0000-12-31T23:59:59.999999"),
        (pa.timestamp("us", "Mars/Phobos"), 1_000_000, "1970-01-01T00:00:01.000000+00:00"),
        (pa.timestamp("s", "+25:00"), 1, "1970-01-01T00:00:01+00:00"),
        (pa.duration("s"), 2**52, str(2**52)),
    ],
    ids=str,
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_moment_that_python_does_not_have_does_not_cost_the_row(tmp_path, kind, number, expected, nested):
    values = _moments([0, number], kind)
    if nested:
        values = pa.ListArray.from_arrays([0, 1, 2], pa.StructArray.from_arrays([values], names=["at"]))
    first, second = read(write_table(tmp_path / "a.arrow", {"text": ["x", "y"], "when": values}))
    assert (first.text, second.text) == ("x", "y")
    assert second.meta["when"] == ([{"at": expected}] if nested else expected)


def test_every_other_type_has_a_value_also_where_one_of_its_kind_has_none(tmp_path):
    far = _moments([2932897], pa.date32())
    maps = pa.MapArray.from_arrays([0, 1], ["k"], far)
    columns = {
        "text": ["x"],
        "map": maps,
        "view": pa.array([[1, 2]], pa.list_view(pa.int8())),
        "fixed": pa.FixedSizeListArray.from_arrays(far, 1),
        "union": pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [far]),
        "runs": pa.RunEndEncodedArray.from_arrays([1], far),
        "uuid": pa.array([bytes(range(16))], pa.uuid()),
        "half": pa.array([0.5], pa.float16()),
        "kinds": pa.DictionaryArray.from_arrays([0], far),
    }
    (row,) = read(write_table(tmp_path / "a.arrow", columns))
    assert row.meta == {
        "map": [["k", "10000-01-01"]],
        "view": [1, 2],
        "fixed": ["10000-01-01"],
        "union": "10000-01-01",
        "runs": "10000-01-01",
        "uuid": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "half": 0.5,
        "kinds": "10000-01-01",
    }


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_columns_of_one_name_are_numbered_as_in_tables(tmp_path, name):
    table = pa.table([["the first"], ["the second"]], names=["text", "text"])
    (row,) = read(write_table(tmp_path / name, table.columns, table.schema))
    assert (row.text, row.meta) == ("the first", {"text.1": "the second"})
