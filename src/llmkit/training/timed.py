"""Checkpoints by the clock, between those by steps: a kill costs minutes on any machine, and saving costs little."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from llmkit.training.checkpoint import Writer

SHARE = 0.05
"""Of a run's time that goes into checkpoints by time, at most."""


class Timer:
    """Says when the clock asks for a checkpoint. The first process asks; the others learn of it with the step's counts.

    Args:
        every_minutes: Minutes of training that may be lost; None for no checkpoints by time.
        writer: Writes them, and knows how long that takes.
        room: Bytes that must be free: for one more checkpoint, and for the model at the end.
    """

    def __init__(self, every_minutes: float | None, writer: Writer, room: int) -> None:
        self.every_s = None if every_minutes is None else 60 * every_minutes
        self.writer, self.room = writer, room
        self._last = self._step = time.monotonic()
        self._step_s = 0.0

    def asks(self) -> bool:
        """Return whether a checkpoint is due after the step that begins: once more would be too late.

        Where saving takes long, it comes as rarely as its share of the time wants it.
        """
        now = time.monotonic()
        # Of two in a row: one may have a validation before it.
        took, self._step, self._step_s = min(now - self._step, self._step_s), now, now - self._step
        if self.every_s is None or self.writer.busy:
            return False
        wanted = max(self.every_s, self.writer.seconds / SHARE)
        return now - self._last + 2 * took > wanted and _free(self.writer.folder) >= self.room

    def saved(self) -> None:
        """Take note that a checkpoint, by time or not, is being written."""
        self._last = time.monotonic()


def _free(folder: Path) -> int:
    return shutil.disk_usage(next(path for path in [folder, *folder.absolute().parents] if path.exists())).free
