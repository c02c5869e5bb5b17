"""What people and programs see: results on stdout, all else on stderr, plain lines where there is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import rich.console
from rich.markup import escape
from rich.text import Text

from llmkit.core import stop
from llmkit.core.json import dumps
from llmkit.core.progress import PlainProgress, Progress, RichProgress
from llmkit.core.table import table_lines


class Console:
    """Output of one command.

    Args:
        quiet: Only warnings, errors and the result.
        verbose: Debug lines as well.
        json_mode: Print exactly one JSON object on stdout instead of tables.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, json_mode: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose
        self.json_mode = json_mode
        self.out = _rich(sys.stdout)
        self.err = _rich(sys.stderr)

    def info(self, message: str) -> None:
        """Say what is going on."""
        if not self.quiet:
            self.err.print(escape(_plain(message)))

    def debug(self, message: str) -> None:
        """Say it only with `-v`."""
        if self.verbose:
            self.err.print(f"[dim]{escape(_plain(message))}[/dim]")

    def warn(self, message: str) -> None:
        """Say what may not be as the user thinks."""
        self.err.print(f"[yellow]warning:[/yellow] {escape(_plain(message))}")

    def error(self, message: str, hint: str | None = None) -> None:
        """Say what went wrong and what to do next."""
        self.err.print(f"[red]error:[/red] {escape(_plain(message))}")
        if hint:
            self.err.print(f"[dim]  ->[/dim] {escape(_plain(hint))}")

    def print(self, message: Any = "") -> None:
        """Print a part of the result on stdout; nothing in JSON mode."""
        if not self.json_mode:
            self.out.print(escape(_plain(message)) if isinstance(message, str) else message)

    def print_json(self, value: dict[str, Any]) -> None:
        """Print the one JSON object of `--json`."""
        stop.conclude()
        sys.stdout.write(dumps(value, indent=2, default=str) + "\n")
        sys.stdout.flush()

    def table(self, rows: Sequence[Sequence[str]], headers: Sequence[str] = (), *, numbers_from: int = 99) -> None:
        """Print rows on stdout, columns from `numbers_from` on aligned to the right.

        On a terminal cells are wrapped between words; in a pipe a row is a line, whatever its length.
        """
        width = self.out.width if self.out.is_terminal else None
        cells = [[_plain(str(cell)) for cell in row] for row in rows]
        for number, line in enumerate(table_lines(cells, headers, numbers_from=numbers_from, width=width)):
            self.print(Text(line, style="bold" if headers and number == 0 else ""))

    def progress(self, what: str, *, total: float | None = None, unit: str = "") -> Progress:
        """Return a progress display to be used as a context manager."""
        if self.quiet:
            return Progress(what, total=total, unit=unit)
        kind = RichProgress if self.err.is_terminal else PlainProgress
        return kind(what, total=total, unit=unit, console=self.err)


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        """Leave the exception to the command line: rich itself would exit with 1 where `| head` had enough."""
        raise  # noqa: PLE0704 - rich calls this inside its `except BrokenPipeError`


def _plain(text: str) -> str:
    """Show control characters instead of obeying them: names and texts come from the data."""
    return "".join(c if c in "\n\t" or (ord(c) >= 32 and not 127 <= ord(c) < 160) else f"\\x{ord(c):02x}" for c in text)


def _rich(stream: Any) -> rich.console.Console:
    # A pipe has no width: 80 columns would cut paths and break tables that a script reads.
    width = None if stream is not None and stream.isatty() else 240
    return _Console(file=stream, highlight=False, soft_wrap=True, width=width, emoji=False)
