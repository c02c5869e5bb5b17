"""Models in the form of OpenVINO, as `export` with exporter: openvino writes them; torch computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError
from llmkit.core.extras import check
from llmkit.runtimes import Runtime
from llmkit.runtimes._exporting import way_to
from llmkit.runtimes._onnx_running import OnnxRunning

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL = "openvino_model.xml"


class OpenVino(Runtime):
    """Run `openvino_model.xml` on the CPU in float32: every kind of answer, texts with a cache."""

    def check_installed(self) -> None:
        """Find out whether the extra is there."""
        check("openvino")

    def load(self, where: str, *, date: str | None = None) -> OpenVinoRunning:
        """Load the graph.

        Raises:
            DataError: There is none, or OpenVINO does not load it.
            SetupError: The extra is not installed.
        """
        from llmkit.runtimes._openvino_sessions import Session

        self.check_installed()
        folder = Path(where)
        if not (folder / MODEL).is_file():
            raise DataError(f"'{folder}' holds no {MODEL}", way_to(folder, "-s exporter=openvino"))
        return OpenVinoRunning.of(where, lambda: {"model": Session(folder / MODEL)}, date)


class OpenVinoRunning(OnnxRunning):
    """A graph in OpenVINO: asked as graphs in ONNX are, and reading text by a graph as well where there is one."""

    def versions(self) -> dict[str, str]:
        """Return those of what computes."""
        from llmkit.runtimes._openvino_sessions import library

        return {"openvino": library().__version__.partition("-")[0]}

    def read(self, text: str) -> Sequence[int] | None:
        """Return the ids of a text by openvino_tokenizer.xml; without one by tokenizer.json, as optimum reads it."""
        from llmkit.runtimes._openvino_sessions import TOKENIZER, TextReader

        file = Path(self.where, TOKENIZER)
        if not file.is_file():
            return super().read(text)
        if self._reader is None:
            self._reader = TextReader(file)
        ids: list[int] = self._reader(text)
        return ids

    def conditions(self) -> dict[str, Any]:
        """Return device, threads, number format and versions."""
        return {"device": "cpu", "threads": self.session.threads, "precision": "float32", **self.facts.versions}

    def close(self) -> None:
        """Let go of the graphs, and of their threads."""
        super().close()
        self._reader = None

    _reader: Any = None
