"""Checkpoints: complete or absent. Written beside, fsynced, sealed, renamed; a torn one is never loaded.

The random state is not in them: the loop sets it anew at every step, from seed, step and rank.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from llmkit.core.durable import fsync, write_json
from llmkit.core.errors import DataError
from llmkit.core.reading import reading
from llmkit.core.seal import is_whole, seal
from llmkit.data.feeds import Feed, State
from llmkit.modeling.load import fill_weights
from llmkit.training.optimizers import restore
from llmkit.training.placement import scatter_moments, scatter_weights
from llmkit.training.resume import STATE, checkpoint_path, checkpoints_in, kept_path
from llmkit.training.snapshot import Snapshot, TrainState

MODEL, OPTIMIZER = "model.safetensors", "optimizer.pt"
BY_TIME = "by-time"
"""An empty file: this one was written between those by steps, and takes no place of theirs."""
FEED = "feed.npz"
"""What the model has generated to be trained on; only where it does."""
NOTHING: State = {}


class Writer:
    """Writes checkpoints, in the background if wanted: training then waits for a copy in memory only.

    A context manager: leaving it waits for the last checkpoint.

    Args:
        folder: The run's `checkpoints/`.
        keep: How many checkpoints stay.
        background: Whether to write in a thread of its own.

    Attributes:
        seconds: How long the last one took, from copy to disk.
    """

    def __init__(self, folder: Path, *, keep: int, background: bool) -> None:
        self.folder, self.keep, self.background = folder, keep, background
        self.seconds = 0.0
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    @property
    def busy(self) -> bool:
        """Whether one is being written."""
        return self._thread is not None and self._thread.is_alive()

    def save(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        state: TrainState,
        feed: State = NOTHING,
        *,
        by_time: bool = False,
        copy: bool = True,
    ) -> None:
        """Write a checkpoint, or begin to; one at a time.

        Args:
            model: The model.
            optimizer: Its optimizer.
            state: How far the run is.
            feed: What a feed has generated.
            by_time: It stands between those by steps.
            copy: There is memory for a copy, so that it can be written in the background.

        Raises:
            OSError: This one, or the one before, cannot be written.
        """
        self.wait()
        start, copy = time.monotonic(), copy and self.background
        snapshot = Snapshot.of(model, optimizer, state, feed, copy=copy, by_time=by_time)
        if not copy:
            write(self.folder, snapshot, keep=self.keep)
            self.seconds = time.monotonic() - start
            return
        self._thread = threading.Thread(target=self._write, args=(snapshot, start), name="checkpoint")
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

    def _write(self, snapshot: Snapshot, start: float) -> None:
        try:
            write(self.folder, snapshot, keep=self.keep)
            self.seconds = time.monotonic() - start
        except BaseException as error:  # noqa: BLE001 - raised where training sees it
            self._error = error


def write(folder: Path, snapshot: Snapshot, *, keep: int) -> None:
    """Write a checkpoint; once it is whole, remove torn ones and the oldest beyond `keep`."""
    target = checkpoint_path(folder, snapshot.state.step)
    if is_whole(target):
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
    if snapshot.by_time:
        (temporary / BY_TIME).touch()
    seal(temporary)
    temporary.rename(target)
    fsync(folder)
    *whole, newest = [path for path in checkpoints_in(folder) if is_whole(path)]
    regular = [path for path in whole if not (path / BY_TIME).exists()]
    limit = keep - (not (newest / BY_TIME).exists())  # one by time takes the place of none by steps
    for old in set(checkpoints_in(folder)) - {newest, *regular[max(0, len(regular) - limit) :]}:
        shutil.rmtree(old)


def rewind(folder: Path, step: int) -> None:
    """Remove the checkpoints behind a step, from which another way is taken."""
    for path in checkpoints_in(folder):
        if path > checkpoint_path(folder, step):
            shutil.rmtree(path)


def latest(folder: Path, before: Path | None = None) -> tuple[Path | None, list[Path]]:
    """Return the newest complete checkpoint, of those before a given one, and the torn ones that were passed over."""
    torn: list[Path] = []
    for path in reversed([path for path in checkpoints_in(folder) if before is None or path < before]):
        if is_whole(path):
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
    named = kept_path(path)
    if not is_whole(path):
        raise DataError(f"{named} is not a whole checkpoint", hint=f"ls {named.parent}")
    with reading(named, "restore it from a copy, or -o OTHER"):  # for those sealed before checksums were
        weights, stored = load_file(path / MODEL), torch.load(path / OPTIMIZER, weights_only=True)
    fill_weights(model, scatter_weights(weights, model), named)
    try:
        restore(optimizer, scatter_moments(stored, model, optimizer))
    except ValueError as error:
        raise DataError(
            f"{named} is of another optimizer: {error}", hint="name that one, or begin anew: --resume never"
        ) from error
    if feed is not None and (path / FEED).exists():
        with reading(named, "restore it from a copy, or -o OTHER"), np.load(path / FEED) as arrays:
            feed.restore({name: arrays[name] for name in arrays.files})
    return read_state(path)


def read_state(path: Path) -> TrainState:
    """Return how far a checkpoint's run was."""
    with reading(kept_path(path) / STATE, "restore it from a copy, or -o OTHER"):
        return TrainState(**json.loads((path / STATE).read_text(encoding="utf-8")))
