"""Optional dependencies: what each extra brings, and the one way to say that it is missing."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from llmkit.core.errors import SetupError

EXTRAS: dict[str, dict[str, str]] = {
    "classic": {
        "Stemmer": "the cleaning steps `stem`",
        "opencc": "`chinese_script`",
        "rjieba": "`segment`",
        "simplemma": "`lemmatize`",
        "stopwordsiso": "`stop_words`",
    },
    "gguf": {"gguf": "models in GGUF files", "libgguf": "`export` to them in K-quants, such as q4_k"},
    "harness": {"lm_eval": "`eval --harness` with the tasks of lm-eval"},
    "json": {"jsonschema": "the metric `json_schema`"},
    "llama-cpp": {"xllamacpp": "the runtime `llama_cpp`, which proves exports to GGUF"},
    "onnx": {
        "onnx": "`export` with exporter: onnx",
        "onnxscript": "the same",
        "onnxruntime": "the runtime `onnxruntime`, which proves such exports",
    },
    "openvino": {"openvino": "`export --format openvino`", "openvino_tokenizers": "its tokenizers"},
    "quality": {"trafilatura": "the cleaning step `html` with quality: high"},
    "quantized": {
        "bitsandbytes": "`finetune` with adapter.quantize: 4bit",
        "torchao": "adapter.quantize: 8bit, and `eval` with runtime.precision: int8",
        "compressed_tensors": "`export --format quantized` in w8a8 and w4a16",
    },
    "retrieval": {"bm25s": "`index` and `search`", "Stemmer": "the same"},
    "serve": {
        "starlette": "`serve`",
        "uvicorn": "the same",
        "prometheus_client": "its metrics",
        "llguidance": "texts that follow a JSON schema",
    },
    "ray": {"ray": "`clean` and `tokenize` with --engine ray"},
}
"""Extra name -> the modules it brings, each with what needs it; it counts as installed when all of them are there."""


def require(extra: str, module: str | None = None) -> ModuleType:
    """Import a module that an extra brings.

    Args:
        extra: Key of `EXTRAS`.
        module: Which of its modules; the first by default.

    Raises:
        SetupError: It is not installed; the hint is the pip line.
    """
    module = _module(extra, module)
    try:
        return importlib.import_module(module)
    except ImportError:
        raise _absent(extra) from None


def check(extra: str, module: str | None = None) -> None:
    """Find out whether a module that an extra brings is there, without importing it.

    Args:
        extra: Key of `EXTRAS`.
        module: Which of its modules; the first by default.

    Raises:
        SetupError: It is not installed; the hint is the pip line.
    """
    if importlib.util.find_spec(_module(extra, module)) is None:
        raise _absent(extra)


def missing() -> dict[str, str]:
    """Return the extras that are not installed as a whole, each with its pip line."""
    return {
        name: _pip_line(name)
        for name, modules in EXTRAS.items()
        if any(importlib.util.find_spec(module) is None for module in modules)
    }


def brings(extra: str) -> str:
    """Return what an extra is needed for, in a line."""
    return ", ".join(EXTRAS[extra].values())


def _module(extra: str, module: str | None) -> str:
    module = module or next(iter(EXTRAS[extra]))
    assert module in EXTRAS[extra], f"the extra '{extra}' does not bring {module}"
    return module


def _absent(extra: str) -> SetupError:
    return SetupError(f"this needs the '{extra}' extra, which is not installed", hint=_pip_line(extra))


def _pip_line(extra: str) -> str:
    return f'pip install "llmkit[{extra}]"'
