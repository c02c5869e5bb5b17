"""Which runtime a model's files are for, and the model loaded by it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.errors import ConfigError
from llmkit.core.found import is_gguf

if TYPE_CHECKING:
    from llmkit.runtimes import Running, Runtime


def runtime_for(where: str) -> str:
    """Return what runs the files of a path: a model directory's weights come before what was exported of them."""
    folder = Path(where)
    if is_gguf(folder):
        return "llama_cpp"
    weights = any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")) or not folder.is_dir()
    if not weights and any(folder.glob("*.gguf")):
        return "llama_cpp"
    if not weights and (folder / "onnx").is_dir():
        return "onnxruntime"
    return "transformers"


def load(where: str, runtime: str, cache: str) -> Running:
    """Load a model.

    Args:
        where: Its path.
        runtime: Member of `runtimes`.
        cache: Number format of keys and values, where the runtime is asked for one.

    Raises:
        ConfigError: There is no such runtime.
        DataError: There is no such model.
    """
    from llmkit.core.registry import Family

    family = Family("runtime")
    try:
        family.load(runtime)
    except LookupError as error:
        raise ConfigError(f"--runtime: {error}") from None
    found: Runtime = family.parse({"type": runtime, **({"cache": cache} if runtime == "llama_cpp" else {})})
    return found.load(where)
