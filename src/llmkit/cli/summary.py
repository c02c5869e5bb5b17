"""`llmkit summary`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmkit.cli import options as o

if TYPE_CHECKING:
    from llmkit.core.lineage import Node
    from llmkit.core.manifest import Artifact


def summary(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Artifacts.")],
    json: o.Json = False,
) -> None:
    """Show the results of every stage that led to some artifacts, and the lineage of the first."""
    from llmkit.cli._lineage import lineage_tree, manifest_of
    from llmkit.core.console import Console
    from llmkit.core.lineage import trace
    from llmkit.core.manifest import MANIFEST
    from llmkit.core.reading import reading
    from llmkit.stages import load_stage

    roots = [trace(directory, manifest_of(directory)) for directory in directories]
    stages: dict[str, Artifact] = {}
    for root in roots:
        _collect(root, stages)
    console = Console(json_mode=json)
    if json:
        console.print_json({"status": "done", "exit_code": 0, "stages": [_facts(item) for item in stages.values()]})
        return
    for artifact in stages.values():
        manifest = artifact.manifest
        console.print(f"{manifest.stage}: {artifact.path} ({manifest.kind} {manifest.id[:12]})")
        stage = load_stage(manifest.stage)
        with reading(artifact.path / MANIFEST):
            facts = stage.summarize(artifact)
        console.table([(f"  {label}", value) for label, value in facts])
    console.print("lineage")
    console.print(lineage_tree(roots[0]))


def _collect(node: Node, stages: dict[str, Artifact]) -> None:
    """Add the artifacts below a node, inputs first, each once."""
    from llmkit.cli._lineage import shown_path
    from llmkit.core.manifest import Artifact

    for item in node.inputs:
        _collect(item, stages)
    if node.manifest is not None:
        stages.setdefault(node.path, Artifact(Path(shown_path(Path(node.path))), node.manifest))


def _facts(artifact: Artifact) -> dict[str, Any]:
    manifest = artifact.manifest
    return {"path": str(artifact.path), "stage": manifest.stage, "id": manifest.id, "metrics": manifest.metrics}
