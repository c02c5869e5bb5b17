"""Find out which columns of some data are the fields of a row, by the names under which columns usually hold them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from llmkit.data.column_names import nearest_column, quoted

_USUAL_SHOWN = 4


class RowMismatch(Exception):  # noqa: N818 - no error of the user, but an answer
    """Why some data are no rows of a kind; `num_found` of its fields are there.

    Args:
        reason: In words, with the nearest name.
        num_found: How near it came.
        unreadable: All columns are there, and what stands in them makes no row.
    """

    def __init__(self, reason: str, num_found: int = 0, *, unreadable: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.num_found, self.unreadable = reason, num_found, unreadable


def match(
    aliases: Mapping[str, Sequence[str]],
    given: Mapping[str, str],
    names: Sequence[str],
    *,
    optional: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return the column of each field.

    A column that is named like the field is the field's; else the one column that has one of its usual names, upper and
    lower case alike, and that no other field has taken.

    Args:
        aliases: Per field its usual names, its own first.
        given: Columns that the user has named.
        names: Columns of the data.
        optional: Fields that need no column.

    Raises:
        RowMismatch: A field has no column, or more than one could be it.
    """
    for field, column in given.items():
        if column not in names:
            raise RowMismatch(f"no column '{column}' for {field}{nearest_column(column, names)}")
    found = dict(given)
    found |= {field: field for field in aliases if field not in found and field in {*names} - {*given.values()}}
    missing = []
    for field in [name for name in aliases if name not in found]:
        usual = [name.casefold() for name in aliases[field]]
        fitting = [name for name in names if name.casefold() in usual and name not in found.values()]
        if len(fitting) > 1:
            raise RowMismatch(f"{field} may be '{fitting[0]}' or '{fitting[1]}': name one in columns", len(found))
        if fitting:
            found[field] = fitting[0]
        elif field not in optional:
            missing.append(field)
    if missing:
        free = [name for name in names if name not in found.values()]
        raise RowMismatch(_no_column(missing[0], aliases[missing[0]], free), len(found))
    return {field: found[field] for field in aliases if field in found}


def _no_column(field: str, usual: Sequence[str], free: Sequence[str]) -> str:
    """Say that a field has no column, with the column whose name comes nearest to one of its usual names."""
    guesses = [
        (difflib.SequenceMatcher(None, wanted, name.casefold()).ratio(), name) for wanted in usual for name in free
    ]
    ratio, name = max(guesses, default=(0.0, ""), key=lambda guess: guess[0])
    guess = f"; did you mean {quoted(name)}?" if ratio >= 0.6 else ""
    more = ", ..." if len(usual) > _USUAL_SHOWN else ""
    return f"no column for {field} (usually {', '.join(usual[:_USUAL_SHOWN])}{more}){guess}"
