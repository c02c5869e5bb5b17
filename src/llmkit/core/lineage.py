"""Walk from an artifact back to the raw files it was made from, and check that nothing has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.digest import digest_file
from llmkit.core.errors import DataError
from llmkit.core.manifest import Input, Manifest, read_manifest

INPUT_FILES = "inputs.jsonl"
"""File of an artifact that lists its raw input files, one JSON object a line: source, name, path, bytes, digest."""


@dataclass
class Node:
    """An artifact or a group of raw files in the lineage tree.

    Attributes:
        path: Where it was when it was used.
        kind: Artifact kind, or `files`.
        role: What it was to the artifact above it.
        id: Artifact id, or digest of the files.
        manifest: The manifest, if it was found.
        problems: What no longer matches, in words; empty if all is well or nothing was verified.
        inputs: What it was made from.
        num_files: Number of raw files in a group.
        num_bytes: Bytes of the raw files in a group.
    """

    path: str
    kind: str
    role: str
    id: str
    manifest: Manifest | None = None
    problems: list[str] = field(default_factory=list)
    inputs: list[Node] = field(default_factory=list)
    num_files: int = 0
    num_bytes: int = 0

    def walk(self) -> Iterator[Node]:
        """Yield this node and all below it."""
        yield self
        for node in self.inputs:
            yield from node.walk()

    def as_json(self) -> dict[str, Any]:
        """Return the tree as plain values."""
        facts = {"num_files": self.num_files, "num_bytes": self.num_bytes} if self.kind == "files" else {}
        return {
            "path": self.path,
            "kind": self.kind,
            "role": self.role,
            "id": self.id,
            "stage": self.manifest.stage if self.manifest else None,
            **facts,
            "problems": self.problems,
            "inputs": [node.as_json() for node in self.inputs],
        }


def trace(directory: Path, manifest: Manifest, *, verify: bool = False) -> Node:
    """Return the lineage tree of an artifact.

    Args:
        directory: The artifact's directory.
        manifest: Its manifest.
        verify: Hash every file again and compare; without it only the chain of ids is checked.
    """
    node = Node(str(directory.resolve()), manifest.kind, "", manifest.id, manifest)
    _expand(node, verify, {}, ())
    return node


def _expand(node: Node, verify: bool, seen: dict[str, Node], way: tuple[str, ...]) -> None:
    assert node.manifest is not None
    directory = Path(node.path)
    way = (*way, f"{node.path}\0{node.id}")
    if verify:
        node.problems += _changed_outputs(directory, node.manifest)
    for item in node.manifest.inputs:
        node.inputs.append(_input_node(item, directory, verify, seen, way))


def _input_node(item: Input, above: Path, verify: bool, seen: dict[str, Node], way: tuple[str, ...]) -> Node:
    key = f"{item.path}\0{item.digest}\0{item.role}"
    if f"{item.path}\0{item.digest}" in way:  # only an edited manifest says so, and walking it would never end
        return Node(item.path, item.kind, item.role, item.digest, problems=["is named as made from itself"])
    if key in seen:  # one tokenizer or corpus may feed several artifacts: hash it once
        return seen[key]
    node = Node(item.path, item.kind, item.role, item.digest, num_files=item.num_files, num_bytes=item.num_bytes)
    seen[key] = node
    if item.kind == "files":
        if verify:
            node.problems += _changed_files(above, item)
        return node
    try:
        manifest = read_manifest(Path(item.path))
    except (DataError, OSError) as error:
        node.problems.append(str(error))
        return node
    if manifest is None:
        node.problems.append("no longer there")
    elif manifest.id != item.digest:
        node.problems.append(f"made again since: it is {manifest.id[:12]} now")
    else:
        node.manifest = manifest
        _expand(node, verify, seen, way)
    return node


def _changed_outputs(directory: Path, manifest: Manifest) -> list[str]:
    return [
        problem
        for output in manifest.outputs
        if (problem := _check(directory / output.path, output.digest, output.path))
    ]


def _changed_files(above: Path, item: Input) -> list[str]:
    try:
        # A digest that a server stated (an ETag, a revision) is not one of bytes: nothing to compare it with.
        entries = [entry for entry in raw_files(above) if entry["source"] == item.path and not entry.get("stated")]
        files = [(entry["path"], entry["digest"]) for entry in entries]
    except (ValueError, TypeError, KeyError):
        return [f"{above / INPUT_FILES}, which lists the files, cannot be read"]
    return [problem for path, digest in files if (problem := _check(Path(path), digest, path))]


def raw_files(directory: Path) -> list[dict[str, Any]]:
    """Read the list of raw input files of an artifact; empty where it has none."""
    path = directory / INPUT_FILES
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def _check(path: Path, digest: str, shown: str) -> str | None:
    if not path.is_file():
        return f"{shown} is missing"
    return None if digest_file(path) == digest else f"{shown} has changed"
