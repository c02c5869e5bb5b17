"""What a comparison of evaluations has found.

DIR/results.json  report.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llmkit.core.durable import write_json
from llmkit.data.artifacts._folder import Folder


class Differences(Folder):
    """Kind `comparison`."""

    KIND = "comparison"
    RESULTS = "results.json"
    PAYLOAD = (RESULTS,)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write scores, differences and tests."""
        write_json(self.path / self.RESULTS, results)

    def results(self) -> dict[str, Any]:
        """Return what was written."""
        found: dict[str, Any] = json.loads((self.path / self.RESULTS).read_text(encoding="utf-8"))
        return found
