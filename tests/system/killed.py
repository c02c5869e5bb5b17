"""Run llmkit and kill the process, with no word of farewell, right after a step: `python killed.py STEP pretrain ...`.

Beside it, what two trainings that should be the same are compared by.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from llmkit.core.adapter import WEIGHTS
from llmkit.training.checkpoint import MODEL, OPTIMIZER, latest


def assert_same_model(left: Path, right: Path) -> None:
    """Compare the weights of two artifacts, and all of their last checkpoints, bit for bit."""
    one, other = (latest(out / "checkpoints")[0] for out in (left, right))
    assert one is not None and other is not None
    assert one.name == other.name
    for a, b in ((left, right), (one, other)):
        name = MODEL if (a / MODEL).exists() else WEIGHTS  # of an adapter
        weights = load_file(a / name)
        assert weights
        assert_same(weights, load_file(b / name), name)
    optimizer = torch.load(one / OPTIMIZER, weights_only=True)
    assert optimizer["state"], "an optimizer without a state would equal any other"
    assert_same(optimizer, torch.load(other / OPTIMIZER, weights_only=True), OPTIMIZER)


def assert_same(one: Any, other: Any, where: str) -> None:
    """Compare nested containers of tensors and numbers."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}: {key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for index, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{where}: {index}")
    else:
        assert one == other, where


def main() -> int:
    """Run the command; a STEP of 0 kills nobody."""
    last = int(sys.argv[1])
    from llmkit.cli.main import run
    from llmkit.training.loop import Trainer

    done = Trainer._step

    def step(self: Trainer, *arguments: Any) -> dict[str, Any]:
        row = done(self, *arguments)
        if row["step"] == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return row

    Trainer._step = step  # type: ignore[method-assign]
    return run(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
