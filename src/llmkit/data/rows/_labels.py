"""Labels and their types: a class, several classes, or a number; strings, lists of strings and floats in Parquet."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from llmkit.data.column_names import quoted
from llmkit.data.rows import Row
from llmkit.data.rows._values import RowError, describe, list_of, value_of

if TYPE_CHECKING:
    import pyarrow as pa

LABEL_NAMES = ("label", "labels", "class", "category", "sentiment", "target", "score", "stars", "rating")
"""Names under which columns usually hold a label, the field's own first."""


class Labelled(Row):
    """Rows of texts with a label."""

    label: Literal["auto", "class", "classes", "number"] = "auto"
    """What the label is: one `class` (a string; integers and booleans are kept as their text), any number of `classes`
    (a list, also as JSON in a string), or a `number`. `auto` goes by a sample: lists are classes, numbers of which one
    has a fraction are numbers, all else is a class."""

    def recognize(self, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Self:
        """Fill in the columns, and what the label is."""
        found = super().recognize(names, rows)
        if self.label != "auto":
            return found
        column = found.column("label")
        return found.model_copy(update={"label": label_type(row.get(column) for row in rows)})

    def describe(self) -> str:
        """Return the kind, its fields, the columns they are read from, and what the label is."""
        return f"{super().describe().removesuffix(')')}: {self.label})"

    def parse(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the texts and the label."""
        column = self.column("label")
        label = parse_label(value_of(raw, column), self.label, f"field '{column}'")
        return {**super().parse(raw), "label": label}

    def schema(self) -> list[pa.Field]:  # type: ignore[override]
        """Return the columns of the texts and of the label."""
        import pyarrow as pa

        types = {"classes": pa.list_(pa.string()), "number": pa.float64()}
        return [*super().schema(), pa.field("label", types.get(self.label, pa.string()))]

    def target(self, row: Mapping[str, Any]) -> Any:
        """Return the label; several classes in order, since theirs means nothing."""
        return sorted(row["label"]) if isinstance(row["label"], list) else row["label"]

    def show(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return the texts and the label."""
        label = row["label"]
        return [*super().show(row), ("label", ", ".join(label) if isinstance(label, list) else str(label))]


def label_type(values: Iterable[Any]) -> Literal["class", "classes", "number"]:
    """Return what some labels are; those that are missing say nothing."""
    present = [value for value in values if value is not None and value != ""]
    if any(isinstance(value, list) or _is_json_list(value) for value in present):
        return "classes"
    numbers = [_number(value) for value in present]
    fractions = any(number is not None and not number.is_integer() for number in numbers)
    return "number" if fractions and None not in numbers else "class"


def parse_label(value: Any, kind: str, what: str) -> str | list[str] | float:
    """Return a label as it is stored.

    Args:
        value: The raw value.
        kind: `class`, `classes` or `number`; `auto` is a class, where there was no sample.
        what: What to call it in errors.

    Raises:
        RowError: It is missing or of another type.
    """
    if kind == "classes":
        items = list_of(value, what)
        return list(dict.fromkeys(class_name(item, f"{what}[{i}]") for i, item in enumerate(items)))
    if kind == "number":
        number = _number(value)
        if number is None:
            shown = quoted(value) if isinstance(value, str) else describe(value)
            raise RowError(f"{what} is {shown}, not a number")
        return number
    if isinstance(value, float) and not value.is_integer():
        raise RowError(f"{what} is the number {value}, where labels are classes; label: number reads numbers")
    return class_name(value, what)


def class_name(value: Any, what: str) -> str:
    """Return the name of a class: a string without blanks around it, or the text of an integer or boolean.

    Raises:
        RowError: It is none, such as a number with a fraction.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    if not isinstance(value, str):
        shown = f"the number {value}" if isinstance(value, float) else describe(value)
        raise RowError(f"{what} is {shown}, not a string or an integer")
    name = value.strip()
    if not name:
        raise RowError(f"{what} is empty")
    return name


def _number(value: Any) -> float | None:
    """Return a finite number, which may be written as a string; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or "_" in str(value):
        return None  # Python would read `1_000`
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _is_json_list(value: Any) -> bool:
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return False
    try:
        list_of(value, "")
    except RowError:
        return False
    return True
