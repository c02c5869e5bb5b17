"""Graphs in onnxruntime, as arrays in and out; keys and values stay where onnxruntime has put them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.core.cores import num_threads
from llmkit.core.errors import DataError
from llmkit.modeling.architecture import one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAST, PRESENT = "past_key_values.", "present."
PIECE = 512
"""Tokens of a row that are read at a time, at most: the rest waits, so that memory is bounded."""
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

Past = Mapping[str, Any]
"""Keys and values by the name of the input, `[rows, heads, time, size]` each, as onnxruntime's own values."""


class Session:
    """A graph that is loaded.

    Attributes:
        inputs: Names of what it takes.
        outputs: Shapes of what it gives, by name; an axis that is free has a name for its length.

    Args:
        file: The graph.

    Raises:
        DataError: onnxruntime does not load it.
    """

    def __init__(self, file: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Of its own it takes every core of the machine, whatever this process may use.
        options.intra_op_num_threads = num_threads()
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no class of their own above them
            raise DataError(f"onnxruntime does not load '{file}': {one_line(error)}", f"ls {file.parent}") from error
        self.threads = options.intra_op_num_threads
        self._taken = {value.name: value for value in self._session.get_inputs()}
        self.inputs = list(self._taken)
        self.outputs: dict[str, list[int | str]] = {value.name: value.shape for value in self._session.get_outputs()}

    def run(self, arrays: Mapping[str, NDArray[Any]], past: Past | None = None) -> dict[str, Any]:
        """Return the outputs as onnxruntime's own values, by name; inputs that it does not take are left out."""
        from onnxruntime import OrtValue

        values = {
            name: OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))
            for name, array in arrays.items()
            if name in self._taken
        }
        found = self._session.run_with_ort_values(list(self.outputs), {**values, **(past or {})})
        return dict(zip(self.outputs, found, strict=True))

    def empty(self, rows: int) -> Past:
        """Return the past of rows of which nothing has been read."""
        from onnxruntime import OrtValue

        found = {}
        for name, value in self._taken.items():
            if name.startswith(PAST):
                shape = (rows, value.shape[1], 0, value.shape[3])
                found[name] = OrtValue.ortvalue_from_numpy(np.zeros(shape, TYPES[value.type]))
        return found


class Reading:
    """Rows that a decoder reads from left to right, piece by piece, and goes on with.

    Args:
        decoder: The graph.
        mask: Which places of the rows are tokens, `[rows, time]`: padding is on the left. Of a decoder that looks at
            an encoder, of the encoder's rows.
        hidden: What the encoder gives, by the name of the input; None of a decoder alone.
    """

    def __init__(
        self, decoder: Session, mask: NDArray[np.int64], hidden: Mapping[str, NDArray[Any]] | None = None
    ) -> None:
        self.decoder, self.mask, self.hidden = decoder, mask, hidden
        self.past, self.length = decoder.empty(len(mask)), 0

    def read(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits `[rows, time, vocabulary]` of the ids `[rows, time]` that follow."""
        if self.hidden is not None:
            inputs: dict[str, NDArray[Any]] = {"input_ids": ids, "encoder_attention_mask": self.mask, **self.hidden}
        else:
            mask = self.mask[:, : self.length + ids.shape[1]]
            missing = self.length + ids.shape[1] - mask.shape[1]  # what has been written since is all tokens
            mask = np.pad(mask, ((0, 0), (0, missing)), constant_values=1)
            places = np.maximum(mask.cumsum(1) - 1, 0)[:, self.length :]
            inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": places}
        found = self.decoder.run(inputs, self.past)
        self.past = {name.replace(PRESENT, PAST): value for name, value in found.items() if name.startswith(PRESENT)}
        self.length += ids.shape[1]
        logits: NDArray[np.float32] = found["logits"].numpy()
        return logits

    def pieces(self, ids: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield where each piece of the ids begins, and its logits; in two pieces at least, so that each has a past."""
        size = max(1, min(PIECE, (ids.shape[1] + 1) // 2))
        for start in range(0, ids.shape[1], size):
            yield start, self.read(ids[:, start : start + size])


def padded(rows: Sequence[Sequence[int]], pad: int, *, left: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return ids and mask `[rows, time]`."""
    width = max(len(row) for row in rows)
    ids, mask = np.full((len(rows), width), pad, np.int64), np.zeros((len(rows), width), np.int64)
    for i, row in enumerate(rows):
        place = slice(width - len(row), width) if left else slice(0, len(row))
        ids[i, place], mask[i, place] = row, 1
    return ids, mask
