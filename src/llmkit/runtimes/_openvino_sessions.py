"""Graphs in OpenVINO, as arrays in and out, with the interface of `_onnx_sessions.Session`.

The graph of a decoder holds its keys and values itself, in the state of a request: that is what stands for the past.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.core.cores import num_threads
from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.modeling.architecture import one_line
from llmkit.runtimes._onnx_sessions import PAST, PRESENT, Past

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

DEVICE = "CPU"
ISA = "ONEDNN_MAX_CPU_ISA"
STATE, ROWS = "state", "beam_idx"
"""What a request is called as a past, and the input that says from which row of the state each row goes on."""
TOKENIZER = "openvino_tokenizer.xml"


def library() -> ModuleType:
    """Return openvino, without what it would send over the network when it is imported and when it converts.

    Raises:
        SetupError: It is not installed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] # what None is cannot be imported
    return require("openvino")


@contextmanager
def _own_instructions() -> Iterator[None]:
    """Let OpenVINO use the instructions that it finds.

    Where `ONEDNN_MAX_CPU_ISA` says SSE41, the kernels that it takes from oneDNN keep to that, its own do not, and of a
    decoder in float32 nothing is compiled: "bad combination".
    """
    before = os.environ.pop(ISA, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[ISA] = before


@dataclass(frozen=True)
class Value:
    """An output, with the one method of onnxruntime's values that is needed here."""

    array: NDArray[Any]

    def numpy(self) -> NDArray[Any]:
        """Return the array."""
        return self.array


class Session:
    """A graph that is loaded.

    Attributes:
        inputs: Names of what it takes.
        outputs: Shapes of what it gives, by name; an axis that is free is "?".
        threads: How many compute.

    Args:
        file: Its `.xml`; the weights lie beside it.

    Raises:
        DataError: OpenVINO does not load it.
        SetupError: OpenVINO is not installed.
    """

    def __init__(self, file: Path) -> None:
        core = library().Core()
        self.threads = num_threads()
        # By default keys and values are kept in 8 bits and sums may be bfloat16: right for speed, and not the model.
        settings = {
            "EXECUTION_MODE_HINT": "ACCURACY", "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.threads,
        }  # fmt: skip
        try:
            with _own_instructions():
                self._model = core.compile_model(core.read_model(file), DEVICE, settings)
        except Exception as error:  # OpenVINO's errors are RuntimeErrors, of several classes
            raise DataError(f"OpenVINO does not load '{file}': {one_line(error)}", f"ls {file.parent}") from error
        self.inputs = [port.get_any_name() for port in self._model.inputs]
        self.outputs: dict[str, list[int | str]] = {
            port.get_any_name(): ["?" if axis.is_dynamic else axis.get_length() for axis in port.partial_shape]
            for port in self._model.outputs
        }

    def run(self, arrays: Mapping[str, NDArray[Any]], past: Past | None = None) -> dict[str, Any]:
        """Return the outputs by name; inputs that it does not take are left out.

        Of a decoder the state of what has been read stands among them, as that which comes back as the past.
        """
        request = (past or {}).get(PAST + STATE) or self._model.create_infer_request()
        inputs = {name: np.ascontiguousarray(array) for name, array in arrays.items() if name in self.inputs}
        if ROWS in self.inputs:
            inputs[ROWS] = np.arange(len(inputs["input_ids"]), dtype=np.int32)
        request.infer(inputs)
        # The next call of a request writes over its outputs.
        found: dict[str, Any] = {name: Value(np.array(request.get_tensor(name).data)) for name in self.outputs}
        return found | ({PRESENT + STATE: request} if ROWS in self.inputs else {})

    def empty(self, rows: int) -> Past:  # noqa: ARG002 - the first call says how many
        """Return the past of rows of which nothing has been read."""
        return {PAST + STATE: self._model.create_infer_request()}


class TextReader:
    """A tokenizer as a graph.

    Args:
        file: Its `.xml`.

    Raises:
        DataError: OpenVINO does not load it.
        SetupError: The extra is not installed.
    """

    def __init__(self, file: Path) -> None:
        openvino = library()
        require("openvino", "openvino_tokenizers")  # it brings the operators, for every Core made from now on
        try:
            with _own_instructions():
                self._model = openvino.Core().compile_model(str(file), DEVICE)
        except Exception as error:  # as above
            raise DataError(f"OpenVINO does not load '{file}': {one_line(error)}", f"ls {file.parent}") from error

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a text."""
        found: list[int] = self._model([text])["input_ids"][0].tolist()
        return found
