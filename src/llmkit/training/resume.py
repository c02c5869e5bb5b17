"""The checkpoint that `--resume` names, and where checkpoints are: known before anything heavy is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import PARTIAL
from llmkit.core.seal import is_whole
from llmkit.data.artifacts import Model

if TYPE_CHECKING:
    from llmkit.training.config import TrainingConfig

STATE = "state.json"
"""The file of a checkpoint that says how far the run was."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the directory of a step's checkpoint; sorted by name is sorted by step."""
    return folder / f"step-{step:08}"


def checkpoints_in(folder: Path) -> list[Path]:
    """Return the directories of a folder's checkpoints in the order of their steps, torn ones included."""
    return sorted(folder.glob("step-*"))


def kept_path(path: Path) -> Path:
    """Return a checkpoint's path as people know it: the finished run's own, where an extension has only linked it."""
    work = path.parent.parent
    kept = work.parent / path.parent.name / path.name
    return kept if work.name == PARTIAL and kept.is_dir() else path


def passed_limit(config: TrainingConfig, folder: Path, asked: Path | None) -> str:
    """Return which limit of a config lies behind a folder's newest checkpoint, in words; empty for none.

    Steps may be as many: then the run only ends. What epochs and tokens come to depends on the data: the loop knows it.

    Args:
        config: The run's.
        folder: Its checkpoints.
        asked: The one that `--resume` names, which is gone back to if it is of these.
    """
    whole = [path for path in checkpoints_in(folder) if is_whole(path)]
    if asked is not None and folder / asked.name in whole:
        whole = [folder / asked.name]
    try:
        state = json.loads((whole[-1] / STATE).read_text(encoding="utf-8"))
        step, minutes, worse = int(state["step"]), state["elapsed_s"] / 60, int(state["worse"])
    except (IndexError, OSError, ValueError, KeyError, TypeError):
        return ""  # nothing is trained, or it is damaged, which is said when it is loaded
    if config.max_steps is not None and step > config.max_steps:
        return f"{step:,} steps are trained, max_steps is {config.max_steps:,} now"
    if config.max_minutes is not None and minutes >= config.max_minutes:
        return f"{minutes:.3g} minutes are trained, max_minutes is {config.max_minutes:g}"
    if config.patience is not None and worse >= config.patience:
        return f"{worse} validations in a row found no lower loss, patience is {config.patience}"
    return ""


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
