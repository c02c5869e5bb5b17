"""Checkpoints: complete or absent. Written beside, fsynced, marked, renamed; a torn one is never loaded.

The random state is not in them: the loop sets it anew at every step, from seed, step and rank.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from llmkit.core.durable import fsync, write_json
from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.data.feeds import Feed, State
from llmkit.modeling.load import fill_weights
from llmkit.training.optimizers import restore
from llmkit.training.placement import gather, is_split, scatter_moments, scatter_weights
from llmkit.training.resume import STATE, checkpoint_path, checkpoints_in

COMPLETE = "complete.json"
"""Written last: the size of every other file. A checkpoint without it, or with other sizes, is torn."""
MODEL, OPTIMIZER = "model.safetensors", "optimizer.pt"
FEED = "feed.npz"
"""What the model has generated to be trained on; only where it does."""
NOTHING: State = {}


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        step: Optimizer steps done.
        tokens: Tokens trained on.
        elapsed_s: Seconds of training, over all interruptions.
        resolved: Every `auto`, as this run resolved it; a resumed run takes these over.
        losses: Of the steps since the last regular line of metrics.jsonl, so that the next line's mean covers them.
        best: The lowest validation loss so far.
        worse: Validations in a row without a lower one.
        validated: Step of the last validation that is counted in these two; -1 before the first.
        ended: Why the run ended before its budget; empty while it goes on.
    """

    step: int
    tokens: int
    elapsed_s: float
    resolved: dict[str, Any]
    losses: list[dict[str, float]] = field(default_factory=list)
    best: float | None = None
    worse: int = 0
    validated: int = -1
    ended: str = ""

    def count_validation(self, loss: float) -> None:
        """Take note of a validation at this step; one that a resumed run repeats counts once."""
        if self.validated == self.step:
            return
        self.validated = self.step
        if self.best is None or loss < self.best:
            self.best, self.worse = loss, 0
        else:
            self.worse += 1


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint holds: tensors that training goes on changing, or copies of them."""

    weights: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    state: TrainState
    feed: State

    @classmethod
    def of(
        cls, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, feed: State, *, copy: bool
    ) -> Self:
        """Take a model, its optimizer and what a feed has generated; a copy costs their memory once more."""
        # Tied weights are one tensor under two names, which safetensors refuses: the names are stored once.
        if is_split(model):
            weights, moments = gather(model, optimizer)
        else:
            weights, moments = _untied(model.state_dict()), optimizer.state_dict()
        if copy:
            weights, moments = _copied(weights), _copied(moments)
            state = TrainState(**json.loads(dumps(asdict(state))))
            feed = {name: array.copy() for name, array in feed.items()}
        return cls(weights, moments, state, feed)


class Writer:
    """Writes checkpoints, in the background if wanted: training then waits for a copy in memory only.

    A context manager: leaving it waits for the last checkpoint.

    Args:
        folder: The run's `checkpoints/`.
        keep: How many checkpoints stay.
        background: Whether to write in a thread of its own.
    """

    def __init__(self, folder: Path, *, keep: int, background: bool) -> None:
        self.folder, self.keep, self.background = folder, keep, background
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, feed: State = NOTHING
    ) -> None:
        """Write a checkpoint, or begin to; one at a time.

        Raises:
            OSError: This one, or the one before, cannot be written.
        """
        self.wait()
        if not self.background:
            write(self.folder, Snapshot.of(model, optimizer, state, feed, copy=False), keep=self.keep)
            return
        snapshot = Snapshot.of(model, optimizer, state, feed, copy=True)
        self._thread = threading.Thread(target=self._write, args=(snapshot,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written, and raise what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.wait()
        except BaseException:
            if kind is None:  # else what ended the run is the news
                raise

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write(self.folder, snapshot, keep=self.keep)
        except BaseException as error:  # noqa: BLE001 - raised where training sees it
            self._error = error


def write(folder: Path, snapshot: Snapshot, *, keep: int) -> None:
    """Write a checkpoint; once it is whole, remove torn ones and the oldest beyond `keep`."""
    target = checkpoint_path(folder, snapshot.state.step)
    if _is_complete(target):
        return
    temporary = folder / ".unfinished"  # one name for all steps: what a kill leaves is removed by the next save
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    temporary.mkdir(parents=True)
    save_file(dict(snapshot.weights), temporary / MODEL)
    torch.save(snapshot.optimizer, temporary / OPTIMIZER)
    if snapshot.feed:
        np.savez(temporary / FEED, **snapshot.feed)  # type: ignore[arg-type]
    write_json(temporary / STATE, vars(snapshot.state))
    sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
    for name in sizes:
        fsync(temporary / name)
    write_json(temporary / COMPLETE, sizes)
    fsync(temporary)
    temporary.rename(target)
    fsync(folder)
    whole = [path for path in checkpoints_in(folder) if _is_complete(path)]
    for old in set(checkpoints_in(folder)) - set(whole[-keep:]):
        shutil.rmtree(old)


def rewind(folder: Path, step: int) -> None:
    """Remove the checkpoints behind a step, from which another way is taken."""
    for path in checkpoints_in(folder):
        if path > checkpoint_path(folder, step):
            shutil.rmtree(path)


def latest(folder: Path) -> tuple[Path | None, list[Path]]:
    """Return the newest complete checkpoint, and the torn ones that were passed over."""
    torn: list[Path] = []
    for path in reversed(checkpoints_in(folder)):
        if _is_complete(path):
            return path, torn
        torn.append(path)
    return None, torn


def chosen(folder: Path, asked: Path | None, newest: Path | None) -> Path | None:
    """Return the checkpoint to go on from.

    Args:
        folder: The run's `checkpoints/`.
        asked: What the user named: one of the run's own is gone back to, another's is where the run begins.
        newest: The newest of the run's own.
    """
    if asked is None:
        return newest
    out = folder.parent.resolve()  # `OUT/.partial`, or OUT itself
    is_own = asked.parent.name == folder.name and asked.parent.parent in (out, out.parent)
    return folder / asked.name if is_own else newest or asked


def load(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, feed: Feed | None = None) -> TrainState:
    """Restore model, optimizer and feed in place and return how far the run was.

    Raises:
        DataError: The checkpoint is not whole, or of another model or optimizer.
    """
    if not _is_complete(path):
        raise DataError(f"{path} is not a whole checkpoint", hint=f"ls {path.parent}")
    fill_weights(model, scatter_weights(load_file(path / MODEL), model), path)
    stored = torch.load(path / OPTIMIZER, weights_only=True)
    try:
        restore(optimizer, scatter_moments(stored, model, optimizer))
    except ValueError as error:
        raise DataError(
            f"{path} is of another optimizer: {error}", hint="--init-from takes the weights alone"
        ) from error
    if feed is not None and (path / FEED).exists():
        with np.load(path / FEED) as arrays:
            feed.restore({name: arrays[name] for name in arrays.files})
    return read_state(path)


def read_state(path: Path) -> TrainState:
    """Return how far a checkpoint's run was."""
    return TrainState(**json.loads((path / STATE).read_text(encoding="utf-8")))


def _is_complete(path: Path) -> bool:
    try:
        sizes = json.loads((path / COMPLETE).read_text(encoding="utf-8"))
        return all((path / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def _untied(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    seen: set[int] = set()
    unique = {}
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen or tensor.numel() == 0:
            unique[name] = tensor.contiguous()
            seen.add(tensor.data_ptr())
    return unique


def _copied(value: Any) -> Any:
    """Copy the tensors of nested containers, to memory that training does not change."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value
