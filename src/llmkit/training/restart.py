"""Which checkpoint a training goes on from: the newest that is whole and undamaged, or the one asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.extension import RAISES
from llmkit.core.seal import changed_files, is_whole
from llmkit.training.budget import Budget
from llmkit.training.checkpoint import chosen, latest
from llmkit.training.resume import kept_path
from llmkit.training.snapshot import TrainState

if TYPE_CHECKING:
    from accelerate import Accelerator


_ANEW = "restore it from a copy, or train anew beside it: -o OTHER"


class Start(NamedTuple):
    """Where a training begins.

    Attributes:
        path: The checkpoint; None for the first step.
        passed_over: Newer ones that are not used, and why, in words.
    """

    path: Path | None
    passed_over: list[str]


def find_start(folder: Path, asked: Path | None, accelerator: Accelerator, console: Console) -> Path | None:
    """Return the checkpoint to go on from, the same in all processes, of which the first reads and checks it.

    Args:
        folder: The run's `checkpoints/`.
        asked: The one that `--resume` names.
        accelerator: Knows the processes.
        console: Hears of those that are not used.

    Raises:
        DataError: The one asked for is damaged, or all there are.
    """
    found: list[Start | DataError | None] = [None]
    if accelerator.is_main_process:
        try:
            found = [_start(folder, asked)]
        except DataError as error:
            found = [error]
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(found)
    start = found[0]
    if isinstance(start, DataError):
        raise start
    assert start is not None
    for words in start.passed_over:
        console.warn(words)
    return start.path


def check_left(state: TrainState, budget: Budget, path: Path, *, begins: bool) -> None:
    """Make sure that no limit lies behind a checkpoint; where it is another run's, that something is left to train.

    Raises:
        ConfigError: A limit is passed.
    """
    if begins and (reached := budget.end(state, state.elapsed_s)):
        raise ConfigError(f"{path} has reached {reached}: nothing is left to train", "raise that limit")
    if passed := budget.passed(state.step):
        raise ConfigError(f"{kept_path(path)}: {passed}", RAISES)


def _start(folder: Path, asked: Path | None) -> Start:
    newest, torn = latest(folder)
    passed_over = [f"{kept_path(path)} is incomplete and not used" for path in torn]
    linked = [kept_path(path) for path in torn if kept_path(path) != path]
    if newest is None and linked:  # of a finished run: begun anew, it would take the place of what is trained
        raise DataError(f"{linked[0]} is incomplete, and there is no whole one beside it", hint=_ANEW)
    path = chosen(folder, asked, newest)
    named = path if asked is not None and path is not None and path.name == asked.name else None
    while path is not None and is_whole(path) and (changed := changed_files(path)):  # a torn one: told by who loads it
        words = f"{kept_path(path)} is damaged: {changed[0]} is not what was written"
        if path == named or path != newest:
            raise DataError(words, hint=f"ls {kept_path(path).parent} lists the others")
        path = newest = latest(folder, before=path)[0]
        if path is None:
            raise DataError(f"{words}, and there is none before it", hint=_ANEW)
        passed_over.append(f"{words}; going on from the one before it")
    return Start(path, passed_over)
