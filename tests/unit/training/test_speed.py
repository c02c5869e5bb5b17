from __future__ import annotations

import time

from llmkit.data.feeds import HeldOut
from llmkit.training.metrics import read_metrics
from tiny import stream, trainer


def test_validating_and_sampling_are_not_in_the_speed(tmp_path, monkeypatch):
    clock = [0.0]

    def wait(seconds):
        clock[0] += seconds

    built = trainer(
        tmp_path,
        validation=HeldOut(stream(8, seed=None), 100),
        max_steps=5,
        validate={"every": 2},
        log_every=1,
    )
    step, validate = built._step, built._validate
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(built, "_step", lambda stop: (wait(2), step(stop))[1])
    monkeypatch.setattr(built, "_validate", lambda watch, stop: (wait(1000), validate(watch, stop))[1])
    built.train()
    rows = [row for row in read_metrics(tmp_path) if "loss" in row]
    assert [row["tokens"] for row in rows[:4]] == [128, 256, 384, 512]  # 8 blocks of 16
    assert [row["tokens_per_second"] for row in rows[:4]] == [64.0] * 4
