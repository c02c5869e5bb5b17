"""`llmkit lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmkit.cli import options as o
from llmkit.core.errors import CheckFailedError, DataError


def lineage(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An artifact.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file again; exit 7 if anything changed.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Show what an artifact was made from, back to the raw files."""
    from llmkit.cli._lineage import lineage_tree, manifest_of, stage_version
    from llmkit.core.console import Console
    from llmkit.core.lineage import trace
    from llmkit.core.manifest import MANIFEST

    try:
        manifest = manifest_of(directory)
    except DataError as error:
        if verify and (directory / MANIFEST).exists():  # an artifact that is none any more has drifted, too
            raise CheckFailedError(f"lineage has drifted:\n  {error.message}", error.hint) from error
        raise
    root = trace(directory, manifest, verify=verify, version=stage_version)
    problems = list(dict.fromkeys(f"{node.path}: {text}" for node in root.walk() for text in node.problems))
    console = Console(json_mode=json)
    if json and not (verify and problems):
        console.print_json({"status": "done", "exit_code": 0, "verified": verify, "lineage": root.as_json()})
    console.print(lineage_tree(root))
    if problems and verify:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise CheckFailedError("lineage has drifted:\n  " + "\n  ".join(problems[:5]) + more)
    if verify:
        console.print(f"verified: {sum(1 for _ in root.walk())} nodes, nothing has changed")
