"""What labelled rows are, for an objective: recognized by their columns, and of a kind that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from llmkit.core.errors import ConfigError
from llmkit.core.manifest import read_manifest
from llmkit.core.registry import Family
from llmkit.data.rows import Row, recognize
from llmkit.data.sources import Source
from llmkit.data.sources._tabular import Tabular
from llmkit.objectives.rows import RowObjective


def choose_rows(sources: Sequence[Source], objective: RowObjective, columns: Mapping[str, str]) -> list[Source]:
    """Return sources that know what rows they give: where it is not said, of the kinds that the objective reads.

    Args:
        sources: As the config has them.
        objective: What is to be trained.
        columns: Columns of fields that the user has named, for all sources.

    Raises:
        ConfigError: The columns of a source do not make such rows.
    """
    found: list[Source] = []
    for source in sources:
        ours = read_manifest(Path(source.root())) is not None
        if ours or not isinstance(source, Tabular) or source.kind() == "examples":
            found.append(source)
            continue
        try:
            kind = recognize(objective.rows, *source.sample(), {**source.columns, **columns})
        except ConfigError as error:
            error.hint = error.hint and "name them: -s columns.FIELD=COLUMN; the fields are those above"
            raise
        found.append(source.model_copy(update={"row": kind, "columns": {}}))
    return found


def check_kind(kind: Row | None, objective: RowObjective) -> Row:
    """Make sure that an objective reads a kind of rows.

    Raises:
        ConfigError: It does not; the hint has the objectives that do.
    """
    if kind is not None and kind.type_name in objective.rows:
        return kind
    family = Family("row_objective")
    others = [name for name in family.members() if kind and kind.type_name in cast("Any", family.load(name)).rows]
    held = "text" if kind is None else kind.describe()
    raise ConfigError(
        f"objective: {objective.type_name} reads {' or '.join(objective.rows)}, and the data hold {held}",
        hint=f"-s objective={others[0]} reads them" if others else "llmkit clean --row NAME makes rows of other kinds",
    )
