"""Print which packages of this environment are not of the versions in constraints.txt: `make freshness` runs it."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def moved(constraints: str, installed: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return name, tested and installed version of each package of another version, or of none that was tested.

    Args:
        constraints: Text of constraints.txt.
        installed: Versions by name; a local label (`2.13.0+cpu`) says how a version was built.
    """
    lines = (line.partition("==") for line in constraints.splitlines() if "==" in line and not line.startswith("#"))
    tested = {plain(name.strip()): version.strip() for name, _, version in lines}
    versions = sorted((plain(name), version.partition("+")[0]) for name, version in installed.items())
    return [(name, tested.get(name, "-"), version) for name, version in versions if tested.get(name) != version]


def main() -> None:
    """Print a table of what moved."""
    ours = {"pip", "setuptools", "wheel", "llmkit"}
    found = {item.metadata["Name"]: item.version for item in metadata.distributions()}
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    rows = moved(text, {name: version for name, version in found.items() if plain(name) not in ours})
    for name, before, now in [("package", "tested", "now"), *rows]:
        print(f"{name:28} {before:20} {now}")
    if not rows:
        print("everything is of the versions that were tested")


if __name__ == "__main__":
    main()
