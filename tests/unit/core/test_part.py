from __future__ import annotations

import ast
from pathlib import Path
from typing import Annotated

from llmkit.core import config, own, own_files, part, registry
from llmkit.core.config import Config
from llmkit.core.part import Budget, NotIdentity, dump
from llmkit.data.sources.files import Files
from llmkit.exporters.safetensors import Safetensors
from llmkit.stages import clean


class Depths(Config):
    """A group, which has no type."""

    depths: dict[str, list[int]] = {"a": [1, 2]}
    """Numbers."""


class Toy(Config):
    """A config with a marked field of each kind."""

    size: int = 4
    """Decides the result."""
    steps: Annotated[int | None, Budget] = None
    """How far."""
    workers: Annotated[int, NotIdentity] = 1
    """Does not count."""
    exporter: Safetensors = Safetensors()
    """A part."""
    group: Depths = Depths()
    """A group."""


def test_what_is_written_out_says_the_type_of_parts_alone():
    assert dump(Toy(steps=3)) == {
        "size": 4,
        "steps": 3,
        "workers": 1,
        "exporter": {"type": "safetensors", **dump(Safetensors())},
        "group": {"depths": {"a": [1, 2]}},
    }
    assert Safetensors().spec() == {"type": "safetensors", **dump(Safetensors())}


def test_an_identity_is_without_the_marked_fields_at_any_depth():
    given = clean.Config(inputs=[Files(path="a", text_field="body")], workers=3)
    identity = dump(given, mode="json", identity=True)
    assert "workers" in dump(given)
    assert set(identity) == {"inputs", "steps"}
    assert "path" in dump(given)["inputs"][0]
    assert "path" not in identity["inputs"][0]
    assert identity["inputs"][0]["text_field"] == "body"


def test_a_run_and_its_extension_have_one_identity_without_the_budget():
    assert dump(Toy(steps=3), identity=True) != dump(Toy(steps=5), identity=True)
    assert dump(Toy(steps=3), identity=True, budget=False) == dump(Toy(steps=5), identity=True, budget=False)
    assert set(dump(Toy(), identity=True, budget=False)) == {"size", "exporter", "group"}


def imports(module):
    """Return what a module imports of llmkit, inside functions too."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "__future__"}


def test_parts_families_and_configs_stand_one_above_the_other():
    assert {name for name in imports(part) if name.startswith("llmkit")} == {"llmkit.core.own"}
    assert not {"llmkit.core.part", "llmkit.core.registry", "llmkit.core.config"} & {*imports(own), *imports(own_files)}
    assert "llmkit.core.part" in imports(registry)
    assert "llmkit.core.config" not in imports(registry)
    assert {"llmkit.core.part", "llmkit.core.registry"} <= imports(config)
