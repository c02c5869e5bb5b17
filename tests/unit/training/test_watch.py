from __future__ import annotations

import io
import re

import pytest
import rich.console
from rich.text import Text

from llmkit.core.progress import PlainProgress, Progress, RichProgress
from llmkit.training import metrics, report, watch
from llmkit.training.metrics import MetricsFile, memory_gb, read_metrics
from llmkit.training.report import LiveReport, write_report
from llmkit.training.watch import View, Watch, sparkline

ROW = {
    "step": 10, "tokens": 1000, "loss": 3.25, "lr": 1e-3, "grad_norm": 0.5,
    "tokens_per_second": 12345.6, "utilization": 0.63, "elapsed_s": 1.0,
}  # fmt: skip
VALIDATION = {"step": 10, "tokens": 1000, "validation_loss": 3.5, "bits_per_byte": 1.25}


def test_the_sparkline_spans_lowest_to_highest():
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8]) == "▁▂▃▄▅▆▇█"
    assert sparkline([2.0, 2.0]) == "▁▁"
    assert sparkline([1.0, float("nan"), float("inf"), 2.0]) == "▁  █"
    assert sparkline([float("nan")]) == " "
    assert sparkline([]) == ""


@pytest.mark.parametrize("width", [30, 80, 120])
def test_no_line_is_wider_than_the_terminal(monkeypatch, width):
    monkeypatch.setattr(watch, "memory_gb", lambda: (1.2, 1.5))
    view = View(Progress("training"))
    for _ in range(100):
        view.logged(ROW)
    view.validated(VALIDATION, [{"prompt": "", "text": " \n"}, {"prompt": "The", "text": " sea\n\x1b[31m" + "文" * 99}])
    lines = view.render(width).plain.split("\n")
    assert len(lines) == 4
    assert max(Text(line).cell_len for line in lines) <= width
    assert lines[0].count("▁") == min(60, width - len("loss 3.250 ") - 1)
    assert "\x1b" not in lines[3]
    if width == 80:
        assert lines[1] == "12,346 tokens/s · 63% utilization · lr 1.00e-03 · norm 0.50 · 1.2 GB, peak 1.5"
        assert lines[2] == "step 10: validation loss 3.5000 (1.2500 bits per byte)"
        assert lines[3].startswith("The| sea [31m文文")


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_the_lines_stand_under_the_bar(width):
    out = io.StringIO()
    console = rich.console.Console(file=out, force_terminal=True, width=width, height=20)
    with RichProgress("training", total=20000, unit="steps", console=console) as progress:
        progress.begin_at(12000)
        view = View(progress)
        view.logged(ROW)
        view.step(ROW)
        progress.bar.refresh()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).replace("\r", "\n")
    bar = next(line for line in plain.split("\n") if "12,001/20,000 steps (60%)" in line)
    assert bar.rstrip().endswith("left"), "the loss stands below, not in the bar"
    assert "loss 3.250 ▁" in plain
    assert max(map(len, plain.split("\n"))) <= width


def test_without_a_terminal_the_note_says_it(monkeypatch):
    out = io.StringIO()
    progress = PlainProgress("training", total=20, unit="steps", console=rich.console.Console(file=out, width=200))
    View(progress).step(ROW)
    assert progress.line().endswith("loss 3.250, 12,346 tokens/s, 63% utilization")
    assert memory_gb()[1] >= memory_gb()[0] > 0.01


class Sampler:
    def sample(self, step):
        return [{"step": step, "prompt": "The", "text": " sea"}]


class Trackers(list):
    log = list.append

    def close(self):
        self.append("closed")


def test_a_row_goes_everywhere(tmp_path):
    tracked = Trackers()
    live = LiveReport(tmp_path, title="Pretraining report", facts={"parameters": "7"}, step=0, total_steps=20)
    job = Watch(View(Progress("training")), MetricsFile(tmp_path, 0), live, tracked, Sampler())
    job.log(ROW)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert '<meta http-equiv="refresh" content="30">' in page
    assert "10 of 20" in page
    assert "bits per byte" not in page
    job.validate(VALIDATION)
    job.close()
    rows = read_metrics(tmp_path)
    assert rows == [{**ROW, "memory_gb": rows[0]["memory_gb"]}, VALIDATION]
    assert tracked == [*rows, "closed"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Validation bits per byte" in page
    assert "refresh" not in page


def test_the_running_report_is_rewritten_every_30_seconds(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    live = LiveReport(tmp_path, title="t", facts={}, step=0, total_steps=20)
    file = MetricsFile(tmp_path, 0)
    found = []
    for when in (100.0, 129.0, 130.0):
        now[0] = when
        file.write({**ROW, "step": int(when)})
        live.update()
        found.append(re.search(r"(\d+) of 20", (tmp_path / "report.html").read_text()).group(1))
    assert found == ["100", "100", "130"]


def test_the_report_tells_of_interruptions_parts_and_samples(tmp_path):
    file = MetricsFile(tmp_path, 0)
    for step in range(1, 2501):
        file.write({**ROW, "step": step, "loss_tokens": 2.0, "loss_pairs": 0.5, "memory_gb": 1.5})
    report.note_start(tmp_path, 0)
    report.note_start(tmp_path, 120)
    samples = [{"step": step, "prompt": "", "text": f"<text {step}>"} for step in range(0, 80, 10)]
    (tmp_path / "samples.jsonl").write_text("".join(metrics.json.dumps(row) + "\n" for row in samples))
    write_report(tmp_path, title="t", facts={"loss": "3"})
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "refresh" not in page
    assert page.count("Resumed at step") == 1
    assert re.search(r"Resumed at step 120 on \d{4}-.* UTC \(last seen at work \d{4}-", page)
    for heading in ("Loss by part", "Memory", "Utilization"):
        assert f"<h2>{heading}</h2>" in page
    assert "&lt;text 70&gt;" in page
    assert re.findall(r"<summary>step (\d+)", page) == ["70", "60", "50", "40", "0"]
    assert len(report._points([{"step": s, "x": s} for s in range(2500)], "x")) <= 1001
    assert report._points([{"step": s, "x": s} for s in range(2500)], "x")[-1] == (2499, 2499)
