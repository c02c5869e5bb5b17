"""A model in the files of a runtime, and what the comparison with the model has found.

DIR/parity.json  README.md  and what the runtime loads
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmkit.core.durable import write_json
from llmkit.core.move import OWN
from llmkit.data.artifacts._folder import Folder


class Export(Folder):
    """Kind `export`. Its payload is what the exporter writes."""

    KIND = "export"
    PARITY = "parity.json"

    def files(self) -> list[Path]:
        """Return what is there so far: asked before anything is added, what the exporter has written."""
        return [path for path in sorted(self.path.rglob("*")) if path.is_file() and path.name not in OWN]

    def write_parity(self, parity: Mapping[str, Any]) -> None:
        """Write how the answers of model and export compare."""
        write_json(self.path / self.PARITY, parity)
