"""Run llmkit with the toys of tests/toys as further members of its families; STEP kills it, as in killed.py."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import killed

TOYS = Path(__file__).parents[1] / "toys"


FAMILIES = {"rows": "llmkit.data.rows", "row_objectives": "llmkit.objectives.rows"}


def add_toys() -> None:
    """Let the families find the toys, as if their files lay beside the others'."""
    for folder, package in FAMILIES.items():
        importlib.import_module(package).__path__.append(str(TOYS / folder))


def remove_toys() -> None:
    """Let them find the toys no longer."""
    for folder, package in FAMILIES.items():
        importlib.import_module(package).__path__.remove(str(TOYS / folder))


if __name__ == "__main__":
    add_toys()
    sys.exit(killed.main())
