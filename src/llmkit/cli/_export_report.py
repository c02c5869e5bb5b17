"""`llmkit export --report`: several formats of one model, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmkit.core.claim import make_directory
from llmkit.core.console import Console
from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family
from llmkit.data.artifacts import Export
from llmkit.stages import _export_report as found_by


def check_alone(values: dict[str, Any]) -> None:
    """Find out whether options were given that a report has no use for: they are of writing an export.

    Raises:
        ConfigError: There are; the message names one.
    """
    used = ("text", "output", "json", "quiet", "verbose")
    given = next((name for name, value in values.items() if value and name not in used), None)
    if given is not None:
        option = {"format_": "format", "sets": "set"}.get(given, given).replace("_", "-")
        raise ConfigError(
            f"--report: it compares exports that are there, and --{option} is of writing one",
            hint="llmkit export --report DIR --report DIR",
        )


def report_formats(directories: list[Path], text: str | None, output: Path | None, *, json: bool) -> None:
    """Measure exports, print a table, and write a page into the folder that `--output` names."""
    if output is not None and output.exists() and not output.is_dir():
        raise ConfigError(f"--output {output} is a file", hint="choose a directory")
    if output is not None:  # before minutes of measuring
        make_directory(output)
    console = Console(json_mode=json)
    source: Any = None if text is None else Family("source", shorthand=("files", "path")).parse(text)
    found = found_by.report(directories, source, console)
    if output is not None:
        found_by.write_page(found, Export(output).report)
    if json:
        page = {} if output is None else {"report": str(Export(output).report)}
        console.print_json({"status": "done", "exit_code": 0, "formats": found_by.facts(found), **page})
        return
    console.table([one.row() for one in found], headers=found_by.HEADERS)
    if output is not None:
        console.print(f"report  {Export(output).report}")
