from __future__ import annotations

import pytest
from accelerate import Accelerator

from llmkit.core.errors import SetupError
from llmkit.training import trackers
from llmkit.training.metrics import MetricsFile
from llmkit.training.trackers import Trackers, check_trackers, flatten


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"^trackers: wandb and mlflow are not installed$") as found:
        check_trackers(["wandb", "mlflow"])
    assert found.value.hint == "pip install wandb mlflow"
    assert found.value.exit_code == 4
    check_trackers([])


def test_no_trackers_are_no_work(tmp_path):
    job = Trackers(Accelerator(cpu=True), [], tmp_path)
    job.log({"step": 1, "loss": 2.0})
    job.close()
    assert not list(tmp_path.iterdir())


def test_nested_settings_are_flat_for_trackers():
    config = {"a": {"b": 1, "c": None}, "d": [1, 2], "e": True}
    assert flatten(config) == {"a.b": 1, "d": "[1, 2]", "e": True}


def test_a_resumed_run_has_every_step_once_in_tensorboard(tmp_path, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def run(first, last, *, step):
        file = MetricsFile(tmp_path, step)
        job = Trackers(Accelerator(cpu=True), ["tensorboard"], tmp_path, step=step, config={"optimizer": {"lr": 0.1}})
        for number in range(first, last + 1):
            row = {"step": number, "loss": 10.0 - number, "note": "text is left out"}
            file.write(row)
            job.log(row)
        validation = {"step": last, "validation_loss": 20.0 - last}
        file.write(validation)
        job.log(validation)
        job.close()

    # Event files are read in the order of the second they were made in.
    run(1, 5, step=0)
    for path in (tmp_path / "tensorboard/llmkit").iterdir():
        path.rename(path.with_name(path.name.replace("tfevents.", "tfevents.0", 1)))
    run(4, 6, step=3)
    events = EventAccumulator(str(tmp_path / "tensorboard/llmkit")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(n, 10.0 - n) for n in range(1, 7)]
    assert [(e.step, e.value) for e in events.Scalars("validation_loss")] == [(6, 14.0)]
    assert set(events.Tags()["scalars"]) == {"loss", "validation_loss"}
    assert events.Tags()["tensors"] == ["config/text_summary"]
