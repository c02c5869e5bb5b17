"""Run llmkit with the toys of tests/toys as further members of its families; STEP kills it, as in killed.py."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import killed

TOYS = Path(__file__).parents[1] / "toys"


def add_toys() -> None:
    """Let the families find the toys, as if their files lay beside the others'."""
    for family, package in (("rows", "llmkit.data.rows"), ("row_objectives", "llmkit.objectives.rows")):
        path = importlib.import_module(package).__path__
        if str(TOYS / family) not in path:
            path.append(str(TOYS / family))


if __name__ == "__main__":
    add_toys()
    sys.exit(killed.main())
