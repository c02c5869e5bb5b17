"""The options that stages share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RUN = "Run"
OUTPUT = "Messages"

Recipe = Annotated[
    str | None, typer.Option("--recipe", "-r", metavar="FILE|NAME", help="Recipe file, or the name of a shipped one.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Set any recipe field by its dotted path; repeatable."),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where the artifact goes; required.")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="Worker processes.")]
MaxSteps = Annotated[int | None, typer.Option("--max-steps", min=1, help="Optimizer steps to train for.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace a finished artifact of another config.", rich_help_panel=RUN),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first broken record.", rich_help_panel=RUN)]
Resume = Annotated[
    str,
    typer.Option("--resume", metavar="auto|never", help="Go on from an interrupted run.", rich_help_panel=RUN),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print the resolved config and where each value comes from.", rich_help_panel=RUN),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and the result.", rich_help_panel=OUTPUT)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Debug messages too.", rich_help_panel=OUTPUT)]
