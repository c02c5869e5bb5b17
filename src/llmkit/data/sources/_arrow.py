"""Rows of Arrow batches as JSON has them: bytes that are text become text, and what is only meta costs no row."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from llmkit.data.rows import RowError
from llmkit.data.sources._columns import distinct_names
from llmkit.data.sources._rows import Decode, plain, text_or_base64
from llmkit.data.sources._text import Decoder

if TYPE_CHECKING:
    import pyarrow as pa

_UNHOLDABLE = (ValueError, OverflowError, LookupError, NotImplementedError)
"""Raised for what Python cannot hold: invalid UTF-8, years beyond 9999, unknown time zones (a `KeyError`)."""


def batch_rows(
    batch: pa.RecordBatch, used: Collection[str] = (), encoding: str = "auto"
) -> list[dict[str, Any] | RowError]:
    """Return the rows; one whose text cannot be read is an error and costs no other.

    Writers without the annotation for text (Impala, Hive, old Spark) leave it as bytes.

    Args:
        batch: The rows.
        used: Columns that hold text: bytes in them are decoded, or their row is an error. In all other columns bytes
            that are no UTF-8 become base64, and moments that Python does not have are written by their number.
        encoding: Encoding of such text; `auto` is as in files of lines.
    """
    names = distinct_names(batch.schema.names)
    columns: list[list[Any]] = []
    failures: dict[int, RowError] = {}
    for name, column in zip(names, batch.columns, strict=True):
        if name not in used:
            columns.append(_values(column, text_or_base64))
            continue
        columns.append(_values(column, strictly(name, encoding), utf8=encoding in ("auto", "utf-8")))
        failures.update({i: value for i, value in enumerate(columns[-1]) if type(value) is RowError})
    rows: list[Any] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
    for index, failure in failures.items():
        rows[index] = failure
    return rows


def strictly(name: str, encoding: str = "auto") -> Decode:
    """Return what decodes the bytes in a column that holds text, or raises `RowError`."""

    def decode(data: bytes) -> str:
        try:
            return Decoder(encoding, lambda: data)(data)
        except RowError as error:
            raise RowError(f"field '{name}' holds bytes that are no text: {error}") from None

    return decode


def _values(column: pa.Array, decode: Decode, *, utf8: bool = True) -> list[Any]:
    """Return the values of a column, with an error in the place of each that cannot be decoded."""
    import pyarrow as pa
    import pyarrow.types as pt

    kind = column.type
    if pt.is_dictionary(kind) and _is_binary(kind.value_type):
        column = column.dictionary_decode()
        kind = column.type
    try:
        if _is_binary(kind) and not pt.is_fixed_size_binary(kind) and utf8:
            column = column.cast(pa.string())  # as a rule all of it is UTF-8, and this takes no Python
            kind = column.type
        values: list[Any] = column.to_pylist()
        if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_integer(kind) or pt.is_boolean(kind):
            return values
        if not pt.is_fixed_size_binary(kind):
            return [plain(value, decode) for value in values]
    except (RowError, *_UNHOLDABLE):
        pass
    return [_attempt(scalar, decode) for scalar in column]


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow.types as pt

    return any(
        of_kind(kind) for of_kind in (pt.is_binary, pt.is_large_binary, pt.is_binary_view, pt.is_fixed_size_binary)
    )


def _attempt(scalar: pa.Scalar, decode: Decode) -> Any:
    try:
        return _value(scalar, decode)
    except RowError as error:
        return error


def _value(scalar: pa.Scalar, decode: Decode) -> Any:
    """Return one value part by part, so that what cannot be held in it costs nothing else. It is slow."""
    import pyarrow.types as pt

    kind = scalar.type
    if not scalar.is_valid:
        return None
    if hasattr(kind, "storage_type") or pt.is_dictionary(kind) or pt.is_run_end_encoded(kind) or pt.is_union(kind):
        return _value(scalar.value, decode)
    if pt.is_struct(kind):
        return {kind.field(i).name: _value(scalar[i], decode) for i in range(kind.num_fields)}
    if pt.is_map(kind):
        return [[_value(pair[0], decode), _value(pair[1], decode)] for pair in scalar.values]
    if pt.is_nested(kind):
        return [_value(item, decode) for item in scalar.values]
    if pt.is_fixed_size_binary(kind):
        return decode(scalar.as_py().rstrip(b"\0"))  # which shorter text is filled up with
    if hasattr(scalar, "as_buffer"):
        return decode(scalar.as_buffer().to_pybytes())
    try:
        return plain(scalar.as_py())
    except _UNHOLDABLE:
        return _moment(scalar)


def _moment(scalar: pa.Scalar) -> str:
    """Write a date, a time or a duration that Python does not have, in ISO format; times are UTC."""
    import numpy as np
    import pyarrow.types as pt

    kind = scalar.type
    if pt.is_date(kind):
        days = np.datetime64(scalar.value, "D" if pt.is_date32(kind) else "ms")
        return str(days.astype("datetime64[D]"))
    if pt.is_timestamp(kind):
        return str(np.datetime64(scalar.value, kind.unit)) + ("+00:00" if kind.tz else "")
    return str(scalar.value)
