"""The shipped recipes of `export`, each as it stands: they read what the quickstart leaves in `build`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.recipes import shipped_recipes

RECIPES = sorted(path.stem for path in (shipped_recipes() / "export").glob("*.yaml"))
FORMATS = {"deployment", "gguf", "onnx", "openvino", "quantized", "safetensors"}


def test_every_format_has_one():
    assert {name.partition("-")[0] for name in RECIPES} == FORMATS


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_it_runs(cli, chain, name):
    Path("build").mkdir()
    for folder in ("model", "corpus"):
        Path("build", folder).symlink_to(chain.root / folder)
    done = cli("export", "-r", name, "-o", "out")
    assert done.code == 0, done.err
    receipt = json.loads(Path("out/parity.json").read_text(encoding="utf-8"))
    assert receipt["proven"] and receipt["passed"]
    assert receipt["exporter"]["type"] == name.partition("-")[0]
