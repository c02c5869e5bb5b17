"""report.html of `llmkit compare`."""

from __future__ import annotations

from pathlib import Path

from llmkit.core.page import Page
from llmkit.evaluation.comparison import Comparison
from llmkit.evaluation.comparison_table import HEADERS, foot, rows


def write_page(found: Comparison, path: Path) -> None:
    """Write the page."""
    page = Page("Comparison", f"with {found.columns[0].name}")
    page.table(HEADERS, rows(found))
    page.notes([*found.notes, *foot(found)])
    page.write(path)
