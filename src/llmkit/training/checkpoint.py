"""Checkpoints: complete or absent. Written beside, fsynced, marked, renamed; a torn one is never loaded."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from llmkit.core.durable import fsync, write_json

COMPLETE = "complete.json"
"""Written last: the size of every other file. A checkpoint without it, or with other sizes, is torn."""
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.pt", "state.json"


@dataclass
class TrainState:
    """How far a run is.

    Attributes:
        step: Optimizer steps done.
        tokens: Tokens trained on.
        elapsed_s: Seconds of training, over all interruptions.
        resolved: Every `auto`, as this run resolved it; a resumed run takes these over.
        losses: Of the steps since the last regular line of metrics.jsonl, so that the next line's mean covers them.
    """

    step: int
    tokens: int
    elapsed_s: float
    resolved: dict[str, Any]
    losses: list[float] = field(default_factory=list)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the directory of a step's checkpoint; sorted by name is sorted by step."""
    return folder / f"step-{step:08}"


def save(
    folder: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, state: TrainState, *, keep: int
) -> None:
    """Write a checkpoint; once it is whole, remove torn ones and the oldest beyond `keep`.

    Args:
        folder: The run's `checkpoints/`.
        model: The model, not wrapped.
        optimizer: Its optimizer.
        state: How far the run is.
        keep: How many checkpoints stay.
    """
    target = checkpoint_path(folder, state.step)
    if _is_complete(target):
        return
    temporary = folder / ".unfinished"  # one name for all steps: what a kill leaves is removed by the next save
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    temporary.mkdir(parents=True)
    # Tied weights are one tensor under two names, which safetensors refuses: the names are stored once.
    save_file(_untied(model.state_dict()), temporary / MODEL)
    torch.save({"optimizer": optimizer.state_dict(), "rng": _rng_state()}, temporary / OPTIMIZER)
    write_json(temporary / STATE, vars(state))
    sizes = {file.name: file.stat().st_size for file in temporary.iterdir()}
    for name in sizes:
        fsync(temporary / name)
    write_json(temporary / COMPLETE, sizes)
    fsync(temporary)
    temporary.rename(target)
    fsync(folder)
    whole = [path for path in _found(folder) if _is_complete(path)]
    for old in set(_found(folder)) - set(whole[-keep:]):
        shutil.rmtree(old)


def latest(folder: Path) -> tuple[Path | None, list[Path]]:
    """Return the newest complete checkpoint, and the torn ones that were passed over."""
    torn: list[Path] = []
    for path in reversed(_found(folder)):
        if _is_complete(path):
            return path, torn
        torn.append(path)
    return None, torn


def load(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
    """Restore model, optimizer and random state in place and return how far the run was."""
    weights = load_file(path / MODEL)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(model.state_dict()) - set(_untied(model.state_dict()))
    assert not unexpected and set(missing) <= tied, f"{path} is of another model: {missing[:3]} {unexpected[:3]}"
    stored = torch.load(path / OPTIMIZER, weights_only=True)
    optimizer.load_state_dict(stored["optimizer"])
    _restore_rng(stored["rng"])
    return read_state(path)


def read_state(path: Path) -> TrainState:
    """Return how far a checkpoint's run was."""
    return TrainState(**json.loads((path / STATE).read_text(encoding="utf-8")))


def _found(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


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


def _rng_state() -> dict[str, Any]:
    state: dict[str, Any] = {"torch": torch.get_rng_state(), "python": json.dumps(random.getstate())}
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state["numpy"] = [str(name), [int(key) for key in keys], int(position), int(has_gauss), float(cached)]
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def _restore_rng(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    version, internal, gauss = json.loads(state["python"])
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
