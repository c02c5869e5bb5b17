"""What labelled rows are, for an objective: recognized by their columns, and of a kind that it reads."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.found import hub_name, way
from llmkit.core.found import recognize as recognized
from llmkit.core.manifest import read_manifest
from llmkit.core.registry import Family
from llmkit.data.rows import UNNAMED, Row, recognize
from llmkit.data.sources import Source
from llmkit.data.sources._tabular import Tabular
from llmkit.data.sources.files import Files
from llmkit.objectives.rows import RowObjective


def choose_rows(
    sources: Sequence[Source], objective: RowObjective, columns: Mapping[str, str], role: str = "data"
) -> list[Source]:
    """Return sources that know what rows they give: where it is not said, of the kinds that the objective reads.

    Args:
        sources: As the config has them.
        objective: What is to be trained.
        columns: Columns of fields that the user has named, for all sources.
        role: The config field that names the sources.

    Raises:
        ConfigError: The columns of a source do not make such rows.
    """
    found: list[Source] = []
    for source in sources:
        if isinstance(source, Files) and (name := hub_name(source.path)) and "/" in name:
            raise DataError(f"{role}: no such file or directory: {name}", way("hub", ("examples",), name))
        ours = read_manifest(Path(source.root())) is not None
        if ours or not isinstance(source, Tabular) or source.kind() == "examples":
            found.append(source)
            continue
        try:
            kind = recognize(objective.rows, *source.sample(), {**source.columns, **columns}, source.path).whole()
        except ConfigError as error:
            if error.hint == UNNAMED:
                error.hint = "name them: -s columns.FIELD=COLUMN; the fields are those above"
            error.hint = _way(source, objective, columns) or error.hint
            raise
        found.append(source.model_copy(update={"row": kind, "columns": {}}))
    return found


def _way(source: Tabular, objective: RowObjective, columns: Mapping[str, str]) -> str | None:
    """Return what reads rows that an objective does not read, or makes such rows of them; None if nothing is known."""
    names, rows = source.sample()
    with contextlib.suppress(ConfigError):
        if others := _objectives(recognize(None, names, rows, {**source.columns, **columns})):
            return f"-s objective={others[0]} reads them"
    found = recognized(source.root())
    if found == "preferences" and "prompt_completion" not in objective.rows:
        return None
    return way(found, ("examples",), source.path) if found in ("preferences", "text", "ids") else None


def _objectives(kind: Row | None) -> list[str]:
    """Return the objectives that read a kind of rows."""
    family = Family("row_objective")
    return [name for name in family.members() if kind and kind.type_name in cast("Any", family.load(name)).rows]


def check_kind(kind: Row | None, objective: RowObjective) -> Row:
    """Make sure that an objective reads a kind of rows.

    Raises:
        ConfigError: It does not; the hint has the objectives that do.
    """
    if kind is not None and kind.type_name in objective.rows:
        return kind
    others = _objectives(kind)
    held = "text" if kind is None else kind.describe()
    raise ConfigError(
        f"objective: {objective.type_name} reads {' or '.join(objective.rows)}, and the data hold {held}",
        hint=f"-s objective={others[0]} reads them" if others else "llmkit clean --row NAME makes rows of other kinds",
    )
