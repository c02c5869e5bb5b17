"""Models in ONNX, as `export` with exporter: onnx writes them, run by onnxruntime; torch computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.errors import DataError
from llmkit.runtimes import Runtime
from llmkit.runtimes._exporting import way_to

if TYPE_CHECKING:
    from llmkit.runtimes._onnx_running import OnnxRunning

FOLDER = "onnx"
GRAPHS = (("model",), ("encoder_model", "decoder_model_merged"))
"""Names of the graphs of a model: one, or those of an encoder-decoder that writes."""
SUFFIXES = ("", "_fp16", "_quantized")
"""What stands behind these names: of float32, float16 and int8."""


class OnnxRuntime(Runtime):
    """Run the graphs in a model's folder `onnx` on the CPU: every kind of answer, texts with a cache."""

    def check_installed(self) -> None:
        """Find out whether the extra is there."""
        from llmkit.core.extras import check

        check("onnx", "onnxruntime")

    def load(self, where: str, *, date: str | None = None) -> OnnxRunning:
        """Load the graphs.

        Raises:
            DataError: There are none, or onnxruntime does not load them.
            SetupError: The extra is not installed.
        """
        from llmkit.core.extras import require
        from llmkit.runtimes._onnx_running import OnnxRunning
        from llmkit.runtimes._onnx_sessions import Session

        require("onnx", "onnxruntime")
        files = _files(Path(where))
        return OnnxRunning.of(where, lambda: {name: Session(file) for name, file in files.items()}, date)


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a model's graphs, by name; of several number formats the widest.

    Raises:
        DataError: There are none.
    """
    for names in GRAPHS:
        for suffix in SUFFIXES:
            files = {name: folder / FOLDER / f"{name}{suffix}.onnx" for name in names}
            if all(file.is_file() for file in files.values()):
                return files
    raise DataError(f"'{folder}' holds no graph {FOLDER}/model.onnx", way_to(folder, "--format onnx"))
