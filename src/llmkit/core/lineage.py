"""Walk from an artifact back to the raw files it was made from, and check that nothing has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.audit import Version, audit, changed
from llmkit.core.errors import DataError
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import Input, Manifest, article, read_manifest

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


def trace(directory: Path, manifest: Manifest, *, verify: bool = False, version: Version = lambda _: None) -> Node:
    """Return the lineage tree of an artifact.

    Args:
        directory: The artifact's directory.
        manifest: Its manifest.
        verify: Hash every file again and compare, see `llmkit.core.audit`; without it only the chain of ids is checked.
        version: Knows the stages of this llmkit.
    """
    node = Node(str(directory.resolve()), manifest.kind, "", manifest.id, manifest)
    _Tracer(verify, version).expand(node, ())
    return node


class _Tracer:
    def __init__(self, verify: bool, version: Version) -> None:
        self.verify, self.version = verify, version
        self.seen: dict[str, Node] = {}

    def expand(self, node: Node, above: tuple[str, ...]) -> None:
        assert node.manifest is not None
        if self.verify:
            node.problems += audit(Path(node.path), node.manifest, self.version)
        for item in node.manifest.inputs:
            node.inputs.append(self.input_node(item, (*above, node.path)))

    def input_node(self, item: Input, above: tuple[str, ...]) -> Node:
        node = Node(item.path, item.kind, item.role, item.digest, num_files=item.num_files, num_bytes=item.num_bytes)
        if item.path in above and item.kind != "files":
            node.problems.append("is named as made from itself")
            return node
        key = f"{item.path}\0{item.digest}\0{item.role}"
        if key in self.seen:  # one tokenizer or corpus may feed several artifacts: hash it once
            return self.seen[key]
        self.seen[key] = node
        if item.kind == "files":
            if self.verify:
                node.problems += _changed_files(Path(above[-1]), item)
            return node
        try:
            manifest = read_manifest(Path(item.path))
        except (DataError, OSError) as error:
            raise_limit(error)
            node.problems.append(error.message if isinstance(error, DataError) else str(error))
            return node
        if manifest is None:
            node.problems.append("no longer there")
        elif manifest.id != item.digest:
            node.problems.append(f"made again since: it is {manifest.id[:12]} now")
        else:
            if manifest.kind != item.kind:
                node.problems.append(f"was {article(item.kind)} when it was used, and is {article(manifest.kind)} now")
            node.manifest = manifest
            self.expand(node, above)
        return node


def _changed_files(above: Path, item: Input) -> list[str]:
    try:
        # A digest that a server stated (an ETag, a revision) is not one of bytes: nothing to compare it with.
        entries = [entry for entry in raw_files(above) if entry["source"] == item.path]
        files = [(Path(entry["path"]), entry["digest"]) for entry in entries if not entry.get("stated")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return [f"{above / INPUT_FILES}, which lists the files, cannot be read"]
    if item.num_files and not entries:
        return [f"{above / INPUT_FILES} lists none of its {item.num_files} files"]
    return [problem for path, digest in files if (problem := changed(path, digest, str(path)))]


def raw_files(directory: Path) -> list[dict[str, Any]]:
    """Read the list of raw input files of an artifact; empty where it has none."""
    path = directory / INPUT_FILES
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
