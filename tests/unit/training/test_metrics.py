from __future__ import annotations

import json

import pytest

from llmkit.training import metrics
from llmkit.training.metrics import Meter, MetricsFile, Utilization, read_metrics

ROWS = [
    {"step": 0, "validation_loss": 4.0},
    {"step": 1, "loss": 3.0},
    {"step": 2, "loss": 2.0},
    {"step": 2, "validation_loss": 3.0},
    {"step": 3, "loss": 1.0},
]


def write(directory, rows, tail=""):
    (directory / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + tail)


@pytest.mark.parametrize(("step", "kept"), [(0, []), (1, ROWS[:2]), (2, ROWS[:3]), (3, ROWS), (9, ROWS)])
def test_a_resume_cuts_back_to_its_step_and_validates_there_again(tmp_path, step, kept):
    write(tmp_path, ROWS)
    MetricsFile(tmp_path, step)
    assert read_metrics(tmp_path) == kept


def test_a_line_that_a_kill_cut_short_is_left_out_and_not_written_onto(tmp_path):
    write(tmp_path, ROWS[:3], '{"step": 3, "lo')
    assert read_metrics(tmp_path) == ROWS[:3]
    file = MetricsFile(tmp_path, 3)
    file.write(ROWS[4])
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [*ROWS[:3], ROWS[4]]


def test_a_kill_while_cutting_back_loses_no_rows(tmp_path, monkeypatch):
    write(tmp_path, ROWS)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(metrics.json, "dumps", killed)
        with pytest.raises(KeyboardInterrupt):
            MetricsFile(tmp_path, 2)
        patch.undo()
        patch.setattr(type(tmp_path), "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            MetricsFile(tmp_path, 2)
    assert read_metrics(tmp_path) == ROWS
    MetricsFile(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_numbers_come_back_to_the_bit(tmp_path):
    row = {"step": 1, "loss": 0.1 + 0.2, "grad_norm": 1 / 3}
    MetricsFile(tmp_path, 0).write(row)
    assert read_metrics(tmp_path) == [row]


def test_the_rate_counts_from_the_meters_start(monkeypatch):
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(metrics.time, "monotonic", lambda: next(clock))
    assert Meter(1000).rate(1200) == 50


def test_utilization_is_never_above_what_was_measured(monkeypatch):
    """Measured on a busy machine at 100 FLOP/s, training at 10 FLOPs per token; measured again where that is passed."""
    peaks, said, clock = iter([100.0, 160.0, 150.0]), [], [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: clock[0])
    utilization = Utilization(10, lambda: next(peaks), 1, said.append)
    assert [utilization.of(rate) for rate in (4, 10)] == [{"utilization": 0.4}, {"utilization": 1.0}]
    assert utilization.of(12) == {"utilization": 0.75}  # 120 of 160
    assert said == [
        "the matrix products were measured again, since training was faster: 160 FLOP/s, where it had been 100"
    ]
    assert utilization.of(17) == {"utilization": 1.0}  # too soon to measure again: training has shown 170
    assert utilization.of(8.5) == {"utilization": 0.5}
    clock[0] = 11.0
    assert utilization.of(20) == {"utilization": 1.0}  # the third measurement, 150, is below what training reached
    assert utilization.of(10) == {"utilization": 0.5}
    assert len(said) == 2


def test_several_processes_are_not_measured_again_one_by_one():
    peaks = iter([100.0])
    utilization = Utilization(10, lambda: next(peaks), 2, print)
    assert utilization.of(10) == {"utilization": 0.5}  # 100 of 200
    assert utilization.of(30) == {"utilization": 1.0}
    assert utilization.of(15) == {"utilization": 0.5}


def test_a_model_without_matrix_products_has_no_utilization():
    assert Utilization(10, lambda: float("nan"), 1, print).of(5) == {}
