"""The checkpoint that `--resume` names, and where checkpoints are: known before anything heavy is loaded."""

from __future__ import annotations

from pathlib import Path

from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import PARTIAL
from llmkit.data.artifacts import Model

STATE = "state.json"
"""The file of a checkpoint that says how far the run was."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the directory of a step's checkpoint; sorted by name is sorted by step."""
    return folder / f"step-{step:08}"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the directories of a folder's checkpoints in the order of their steps, torn ones included."""
    return sorted(folder.glob("step-*"))


def add_checkpoint(context: Context, inputs: Inputs) -> None:
    """Add the checkpoint that `--resume PATH` names to what the run reads, unless it is the run's own.

    Raises:
        DataError: It is no checkpoint.
    """
    path = context.checkpoint
    if path is None:
        return
    if not (path / STATE).is_file():
        inside = [*checkpoints_in(path), *checkpoints_in(path / Model.CHECKPOINTS)]
        hint = f"--resume {max(inside)}" if inside else f"checkpoints are in OUT/{Model.CHECKPOINTS}, one per step"
        raise DataError(f"--resume {context.resume} is not a whole checkpoint", hint)
    out = context.output.resolve()
    if path.parent not in (out / Model.CHECKPOINTS, out / PARTIAL / Model.CHECKPOINTS):
        inputs.add_directory(path, (), role="resume")  # what was moved aside is another run's
