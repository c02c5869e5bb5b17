"""Experiment trackers through accelerate: what metrics.jsonl gets goes to TensorBoard, W&B, MLflow or trackio too."""

from __future__ import annotations

import importlib.util
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llmkit.core.errors import SetupError
from llmkit.data.artifacts import Model
from llmkit.training.metrics import read_metrics

if TYPE_CHECKING:
    from accelerate import Accelerator

TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]
"""A tracker of accelerate."""

PROJECT = "llmkit"
"""Name at the trackers; TensorBoard's files are in `tensorboard/llmkit/` of the output."""


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Refuse a tracker that is not installed, before anything is trained.

    Raises:
        SetupError: With the pip line.
    """
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        raise SetupError(
            f"trackers: {' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed",
            hint=f"pip install {' '.join(absent)}",
        )


class Trackers:
    """The trackers of one run, on rank 0 only.

    A resumed run goes on in the same place: TensorBoard drops what was logged from the resumed step on, W&B and trackio
    go on under the id of the first start (W&B ignores the steps it has already), MLflow adds a run of the same name.

    Args:
        accelerator: Starts and ends them.
        names: Which ones; none is fine.
        directory: Where TensorBoard's folder and the run's id are.
        step: Where training begins or resumes.
        config: The run's config, shown beside its curves (flat or nested).
    """

    def __init__(
        self,
        accelerator: Accelerator,
        names: Sequence[TrackerName],
        directory: Path,
        *,
        step: int = 0,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.active = bool(names) and accelerator.is_main_process
        if not self.active:
            return
        check_trackers(names)
        id_file = directory / Model.TRACKER_ID
        again = id_file.exists()
        if not again:
            id_file.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")
        run = id_file.read_text(encoding="utf-8").strip()
        accelerator.log_with = list(names)
        accelerator.project_configuration.logging_dir = str(directory / Model.TENSORBOARD)
        starting: dict[str, dict[str, Any]] = {
            "tensorboard": {"purge_step": step} if again else {},
            "wandb": {"id": run, "resume": "allow", "dir": str(directory)},
            "mlflow": {"run_name": run, "logging_dir": str(directory)},
            "trackio": {"name": run, "resume": "allow"},
        }
        accelerator.init_trackers(PROJECT, init_kwargs={name: starting[name] for name in names})
        if config and not again:
            self._describe(flatten(config))
        if again:  # the purge took the row of this very step with it
            for row in read_metrics(directory):
                if row["step"] == step and "validation_loss" not in row:
                    self.log(row)

    def log(self, row: dict[str, Any]) -> None:
        """Log a row of metrics.jsonl at its step."""
        if self.active:
            values = {k: float(v) for k, v in row.items() if k != "step" and isinstance(v, int | float)}
            self.accelerator.log(values, step=row["step"])

    def close(self) -> None:
        """Write what is pending."""
        if self.active:
            self.accelerator.end_training()

    def _describe(self, values: dict[str, bool | int | float | str]) -> None:
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":  # its own hparams make a second run in the list, and a loose YAML file
                text = "\n".join(f"    {name}: {value}" for name, value in values.items())
                tracker.writer.add_text("config", text, 0)
            else:
                tracker.store_init_configuration(values)


def flatten(config: dict[str, Any], path: str = "") -> dict[str, bool | int | float | str]:
    """Return nested values by dotted path; lists as text, None left out."""
    flat: dict[str, bool | int | float | str] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{path}{name}.")
        elif value is not None:
            flat[path + name] = value if isinstance(value, bool | int | float | str) else str(value)
    return flat
