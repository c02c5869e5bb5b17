"""The stages: each module defines one, a `Config` and a `Stage`; the only place a stage is defined."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, nearest

if TYPE_CHECKING:  # `--help` lists the stages and must not wait for pydantic
    from llmkit.core.stage import Stage

STAGES = {
    "clean": "clean", "tokenize": "tokenize", "pretrain": "pretrain", "finetune": "finetune", "eval": "evaluate",
    "export": "export", "predict": "predict", "generate": "generate",
    "index": "index",
}  # fmt: skip
"""Name -> module here, in the order of the lifecycle; `eval` is a built-in of Python, so its module is evaluate.py."""

BESIDE = {"compare": "_compare"}
"""The same of commands that write artifacts and have no recipe."""


def load_stage(name: str) -> Stage[Any]:
    """Import a stage.

    Raises:
        ConfigError: There is no such stage.
    """
    module = STAGES.get(name) or BESIDE.get(name)
    if module is None:
        raise ConfigError(f"unknown stage '{name}'{nearest(name, STAGES)}")
    stage: Stage[Any] = importlib.import_module(f"{__name__}.{module}").STAGE
    return stage
