"""What `llmkit lineage` and `llmkit summary` share: open an artifact, and draw what it was made from."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.tree import Tree

from llmkit.core.inputs import missing_path
from llmkit.core.lineage import Node
from llmkit.core.manifest import Manifest, no_artifact, read_manifest
from llmkit.stages import BESIDE, STAGES, load_stage


def manifest_of(directory: Path) -> Manifest:
    """Return the manifest of what must be an artifact."""
    if not directory.exists():
        raise missing_path(directory, role="DIR")
    manifest = read_manifest(directory)
    if manifest is None:
        raise no_artifact(directory)
    return manifest


def stage_version(name: str) -> int | None:
    """Return the behaviour version of a stage as it is here; None for one that is not."""
    return load_stage(name).version if name in {*STAGES, *BESIDE} else None


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
