"""The weights of the best validation, kept beside the checkpoints: what a run with `keep_best` leaves in the end.

`checkpoints/best-00000150/` holds the trained weights of step 150. One is kept for every checkpoint, as far as that
had come, and the newest: a run that goes on from any of them ends with the weights that an undisturbed one ends with.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from llmkit.core.durable import fsync
from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.reading import reading
from llmkit.core.seal import changed_files, is_whole, seal
from llmkit.modeling.load import fill_weights
from llmkit.training.checkpoint import MODEL, read_state
from llmkit.training.placement import gather, is_split, scatter_weights
from llmkit.training.resume import checkpoints_in
from llmkit.training.snapshot import TrainState, trained_weights

if TYPE_CHECKING:
    from llmkit.objectives import Objective

LOSS = "validation_loss"
NO_MEASURES = ("step", "tokens")
LOWER = (LOSS, "bits_per_byte")
"""How the names of the losses begin: the lower the better, as with what an objective says of its measures."""


class Best:
    """Tells the best validation, by one of its measures, and keeps its weights.

    Args:
        folder: The run's `checkpoints/`.
        measure: What is compared; None for the loss, of which no weights are kept.
        objective: Says which of its measures are better the lower they are.
        validated: There is data to validate on.

    Raises:
        ConfigError: There is none, and the best weights are to be kept.
    """

    def __init__(self, folder: Path, measure: str | None, objective: Objective, *, validated: bool = True) -> None:
        if measure is not None and not validated:
            raise ConfigError(
                f"keep_best: {measure} is measured on validation data, and there is none",
                "raise validation_fraction, name validation_data, or leave keep_best out",
            )
        self.folder, self.keeps, self.measure = folder, measure is not None, measure or LOSS
        self.sign = 1 if self.measure.startswith(LOWER) or self.measure in objective.lower else -1

    def count(self, row: Mapping[str, Any], state: TrainState) -> bool:
        """Take note of a validation; return whether it is the best one so far.

        Raises:
            ConfigError: It has no such measure.
        """
        if self.measure not in row:
            names = [name for name in row if name not in NO_MEASURES]
            raise ConfigError(
                f"keep_best: a validation has no '{self.measure}'{nearest(self.measure, names)}",
                f"it has {', '.join(names)}",
            )
        state.count_validation(self.sign * row[self.measure])
        return state.best_step == state.step

    def keep(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, *, leads: bool) -> None:
        """Write the weights of the best validation, which was this one; all processes call it, the first writes.

        Raises:
            OSError: They cannot be written.
        """
        if not self.keeps:
            return
        weights = gather(model, optimizer)[0] if is_split(model) else None
        if not leads:
            return
        target = self._place(state.best_step)
        if not is_whole(target):
            before = set(self._kept())
            temporary = self.folder / ".unfinished-best"
            for old in (temporary, target):
                shutil.rmtree(old, ignore_errors=True)
            temporary.mkdir(parents=True)
            save_file(dict(trained_weights(model) if weights is None else weights), temporary / MODEL)
            seal(temporary)
            temporary.rename(target)
            fsync(self.folder)
            self._forget(before)

    def _forget(self, before: set[Path]) -> None:
        """Remove what no checkpoint goes on from; the newest before may be that of one which is being written."""
        needed = {self._place(read_state(path).best_step) for path in checkpoints_in(self.folder) if is_whole(path)}
        for old in sorted(before)[:-1]:
            if old not in needed:
                shutil.rmtree(old)

    def resume(self, state: TrainState, *, leads: bool) -> None:
        """Remove the weights of validations behind a state, from which another way is taken.

        One of another run has its best weights there: here the search begins anew.
        """
        if self.keeps and state.best is not None and not is_whole(self._place(state.best_step)):
            state.best, state.best_step, state.worse = None, -1, 0
        for path in self._kept() if leads else ():
            if path > self._place(state.step):
                shutil.rmtree(path)

    def take(self, model: torch.nn.Module, state: TrainState) -> bool:
        """Fill a model with the best weights; return whether these are others than it has.

        Raises:
            DataError: They are damaged.
        """
        if not self.keeps or state.best_step in (-1, state.step):
            return False
        place = self._place(state.best_step)
        if not is_whole(place) or changed_files(place):
            raise DataError(f"the weights of the best validation in {place} are damaged", "train anew: --resume never")
        with reading(place, "train anew: --resume never"):
            weights = load_file(place / MODEL)
        fill_weights(model, scatter_weights(weights, model), place)
        return True

    def record(self, state: TrainState) -> dict[str, Any]:
        """Return what the manifest says of it; nothing where no weights are kept."""
        if not self.keeps or state.best is None:
            return {}
        return {"best": {"measure": self.measure, "value": self.sign * state.best, "step": state.best_step}}

    def _place(self, step: int) -> Path:
        return self.folder / f"best-{step:08}"

    def _kept(self) -> list[Path]:
        return sorted(self.folder.glob("best-*"))
