"""`llmkit lineage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.tree import Tree

from llmkit.cli import options as o
from llmkit.core.console import Console
from llmkit.core.errors import CheckFailedError, DataError
from llmkit.core.inputs import missing_path
from llmkit.core.lineage import Node, trace
from llmkit.core.manifest import MANIFEST, Manifest, read_manifest


def lineage(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An artifact.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Hash every file again; exit 7 if anything changed.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Show what an artifact was made from, back to the raw files."""
    root = trace(directory, manifest_of(directory), verify=verify)
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


def manifest_of(directory: Path) -> Manifest:
    """Return the manifest of what must be an artifact."""
    if not directory.exists():
        raise missing_path(directory, role="DIR")
    manifest = read_manifest(directory)
    if manifest is None:
        raise DataError(f"{directory} is not an llmkit artifact (it has no {MANIFEST})")
    return manifest


def shown_path(path: Path) -> str:
    """Return a path relative to the current directory where it lies below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def lineage_tree(node: Node, tree: Tree | None = None) -> Tree:
    """Return the tree as rich draws it."""
    path = shown_path(Path(node.path))
    if node.kind == "files":
        facts = f"{node.num_files:,} raw file{'s' if node.num_files != 1 else ''}, {node.num_bytes / 1e6:.1f} MB"
    else:
        facts = f"{node.kind} {node.id[:12]}" + (f", by {node.manifest.stage}" if node.manifest else "")
    label = f"{escape(path)} [dim]{escape(f'({facts})')}[/dim]"
    label = f"{node.role}: {label}" if node.role else label
    for problem in node.problems[:3]:
        label += f" [red]{escape(problem)}[/red]"
    branch = Tree(label) if tree is None else tree.add(label)
    for item in node.inputs:
        lineage_tree(item, branch)
    return branch
