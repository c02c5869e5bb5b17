"""Sphinx configuration; `sphinx-build -W --keep-going -b html docs docs/_build/html` needs no network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from llmkit import __version__

project = "llmkit"
author = copyright = "llmkit contributors"
version = release = __version__

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = f"llmkit {__version__}"
