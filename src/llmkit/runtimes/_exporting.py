"""What to type where a directory holds nothing that a runtime loads."""

from __future__ import annotations

from pathlib import Path

from llmkit.core.manifest import read_manifest


def way_to(folder: Path, option: str) -> str:
    """Return the command that writes what is missing: of an export, which is no model, from the model it was made of.

    Args:
        folder: The directory.
        option: What chooses the exporter that writes it: `--format onnx`.
    """
    manifest = read_manifest(folder)
    models = [item.path for item in manifest.inputs if item.role == "model"] if manifest is not None else []
    made_of = models[0] if models and manifest is not None and manifest.kind == "export" else folder
    return f"llmkit export --model {made_of} {option} -o DIR writes one"
