"""What the artifacts of all kinds have in common."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class Folder:
    """The folder of an artifact, finished or in the making.

    Attributes:
        KIND: The kind, as manifests name it.
        PAYLOAD: Patterns of the files that make up the id.

    Args:
        path: The folder.
    """

    KIND: ClassVar[str]
    PAYLOAD: ClassVar[tuple[str, ...]]
    CARD = "README.md"
    """The card, which hubs and `datasets` read."""
    REPORT = "report.html"
    """The page for people; every kind but exports and indexes has one."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def card(self) -> Path:
        """The card."""
        return self.path / self.CARD

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.path / self.REPORT
