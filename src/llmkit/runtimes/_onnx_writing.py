"""What decoders in onnxruntime answer: logits of rows, log-likelihoods, and texts, step by step with a cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Logits, Score, Written
from llmkit.runtimes._onnx_sessions import Reading, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes._lines import Line
    from llmkit.runtimes._onnx_running import OnnxRunning

MOST = 2**26
"""Logits that are computed at a time, at most: 256 MB."""


def logits(running: OnnxRunning, requests: Sequence[Logits]) -> list[NDArray[np.float32]]:
    """Return all logits of each row."""
    found = [np.empty((len(one.ids), running.vocabulary), np.float32) for one in requests]
    for row, first, values in _read(running, [one.ids for one in requests]):
        found[row][first : first + len(values)] = values
    return found


def scores(running: OnnxRunning, requests: Sequence[Score]) -> list[float]:
    """Return the log-probability of each target behind its context, in nats."""
    rows = [(*one.context, *one.target) for one in requests]
    total = [0.0] * len(rows)
    for row, first, values in _read(running, [ids[:-1] for ids in rows]):
        # The logits at a place are of the token behind it; targets begin behind the context.
        skipped = max(0, len(requests[row].context) - 1 - first)
        wanted = np.array(rows[row][first + 1 : first + 1 + len(values)])[skipped:]
        part = values[skipped:].astype(np.float64)
        part -= part.max(-1, initial=-np.inf, keepdims=True)
        total[row] += float((part[np.arange(len(wanted)), wanted] - np.log(np.exp(part).sum(-1))).sum())
    if not np.isfinite(total).all():
        raise NotFiniteError(f"the model in '{running.where}' gives a text a log-likelihood that is no number")
    return total


def written(running: OnnxRunning, requests: Sequence[Generate]) -> list[Written]:
    """Return the continuation of each prompt.

    Raises:
        NotFiniteError: Logits are not finite, so that none is the greatest.
    """
    import torch

    from llmkit.runtimes._lines import Line

    ends, device = running.facts.ends or frozenset(), torch.device("cpu")
    lines = [Line(one, running.tokenizer, ends, device) for one in requests]
    reading, newest = _begin(running, [one.prompt for one in requests])
    while True:
        for row, line in enumerate(lines):
            if not line.ended:
                line.add(_chosen(running, line, newest[row]))
        if all(line.ended for line in lines):
            return [line.written() for line in lines]
        ids = np.array([[line.new[-1] if line.new else running.pad] for line in lines], np.int64)
        newest = running.allowed(reading.read(ids)[:, -1], first=False)


def _begin(running: OnnxRunning, prompts: Sequence[Any]) -> tuple[Reading, NDArray[np.float32]]:
    """Read prompts; return what goes on from there, and the logits of what follows."""
    if running.encoder is not None:
        reading = _beside(running, prompts)
        start = np.full((len(prompts), 1), running.decoder_start, np.int64)
        return reading, running.allowed(reading.read(start)[:, -1], first=True)
    ids, mask = padded(prompts, running.pad, left=True)
    reading = Reading(running.session, mask)
    for _, values in reading.pieces(ids):
        last = values[:, -1]
    return reading, last


def _chosen(running: OnnxRunning, line: Line, values: NDArray[np.float32]) -> int:
    if not np.isfinite(values.max()):
        raise NotFiniteError(f"the model in '{running.where}' gives logits that are NaN or infinite")
    if not line.request.temperature:
        return int(values.argmax())
    import torch

    return int(line.draw(torch.from_numpy(values.copy())))


def _beside(running: OnnxRunning, rows: Sequence[Sequence[int]]) -> Reading:
    """Return what a decoder reads beside rows that the encoder has read."""
    assert running.encoder is not None
    ids, mask = padded(rows, running.pad, left=False)
    hidden = running.encoder.run({"input_ids": ids, "attention_mask": mask})["last_hidden_state"].numpy()
    return Reading(running.session, mask, {"encoder_hidden_states": hidden})


def _read(running: OnnxRunning, rows: Sequence[Sequence[int]]) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """Yield pieces of the logits of rows: which row, from where on, and `[time, vocabulary]`.

    Rows are read together: those of a decoder padded on the left, and those that an encoder reads, too, on the right.
    """
    width = max(len(row) for row in rows)
    size = max(1, MOST // (width * running.vocabulary))
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        left = running.encoder is None
        ids, mask = padded(part, running.pad, left=left)
        reading = Reading(running.session, mask) if left else _beside(running, part)
        for begin, values in reading.pieces(ids):
            for i, row in enumerate(part):
                first = ids.shape[1] - len(row) if left else 0
                own = values[i, max(0, first - begin) : max(0, first + len(row) - begin)]
                if len(own):
                    yield start + i, max(0, begin - first), own
