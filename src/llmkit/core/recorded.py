"""What the run in an output directory was given, before there is a build of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llmkit.core.manifest import PARTIAL, read_manifest
from llmkit.core.move import RUN


def recorded(out: Path, field: str) -> Any:
    """Return the value of a field of the config: an unfinished run's, else a finished one's; None where it has none.

    Raises:
        DataError: The manifest cannot be read.
    """
    try:
        config = json.loads((out / PARTIAL / RUN).read_text(encoding="utf-8"))["config"]
    except (OSError, ValueError, TypeError, KeyError):  # there is none, or it was killed while it was written
        manifest = read_manifest(out)
        config = None if manifest is None else manifest.config.get("written")
    return config.get(field) if isinstance(config, dict) else None
