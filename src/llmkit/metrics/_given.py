"""Predictions and references as all metrics take them."""

from __future__ import annotations

from collections.abc import Sequence

from llmkit.core.errors import DataError

References = Sequence[str | Sequence[str]]
"""For each prediction one text, or several that are as right."""


def checked(name: str, predictions: Sequence[str], references: References) -> tuple[list[str], list[list[str]]]:
    """Return predictions and, for each, its references as a list.

    Args:
        name: Of the metric, for errors.
        predictions: Texts.
        references: As many; each is a text, or several.

    Raises:
        DataError: There are no predictions, not as many of both, or one has no reference.
    """
    said, wanted = list(predictions), [[one] if isinstance(one, str) else list(one) for one in references]
    if not said:
        raise DataError(
            f"metric '{name}': there are no predictions to score",
            "check that the evaluation data has rows and that none were filtered out",
        )
    if len(said) != len(wanted):
        raise DataError(
            f"metric '{name}': {len(said):,} predictions, but references of {len(wanted):,}", "give each its own"
        )
    for row, options in enumerate(wanted):
        if not options:
            raise DataError(
                f"metric '{name}': prediction {row} has an empty list of references",
                "give every row at least one reference, or leave the row out",
            )
    return said, wanted
