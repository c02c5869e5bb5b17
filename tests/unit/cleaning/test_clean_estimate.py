from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from llmkit.cleaning import estimate as module
from llmkit.cleaning.estimate import estimate, measure_inputs
from llmkit.cleaning.plan import make_tasks
from llmkit.cleaning.run import clean_inputs
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.near_duplicates import NearDuplicates
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.cleaning.steps.shuffle import Shuffle
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.data.sources.files import Files
from llmkit.work.engine import Engine
from texts import sentences

STEPS = [Normalize(), ExactDuplicates(), NearDuplicates(), Shuffle()]


def inputs(*paths):
    return [(source, source.files()) for source in (Files(path=str(path)) for path in paths)]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": text, "n": i}) + "\n" for i, text in enumerate(sentences(400))]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_figures_by_hand(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "four"}\n' * 10)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "sixsix"}\n' * 10))
    plain, packed = (tmp_path / name for name in ("a.jsonl", "b.jsonl.gz"))
    sizes = measure_inputs(inputs(plain, packed))
    stored = packed.stat().st_size
    assert (sizes.num_files, sizes.num_bytes) == (2, 170 + stored)
    assert sizes.text_bytes == 170 + 5 * stored
    assert sizes.num_rows == -(-170 // 4) + -(-5 * stored // 6), "bytes of the file over those of a row's text"
    assert (sizes.num_tasks, sizes.spooled_bytes) == (2, 0)
    found = estimate(inputs(plain), [Normalize(), ExactDuplicates()])
    assert found.values["disk"] == 170 + 43 * 350 + 43 * 1000 + 170  # between passes, records, corpus
    assert found.values["passes"] == [
        "normalize, compare for exact_duplicates",
        "drop what exact_duplicates decided, write",
    ]
    assert found.warnings == []
    assert estimate(inputs(packed), []).warnings == ["text in compressed files is counted as 5 times their size"]


def test_a_large_compressed_file_is_in_the_scratch_folder_once_more(rows, tmp_path, monkeypatch):
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(rows.read_bytes()))
    small = measure_inputs(inputs(tmp_path / "rows.jsonl.gz"))
    monkeypatch.setattr(module, "SPOOL_BYTES", 100)
    large = measure_inputs(inputs(tmp_path / "rows.jsonl.gz"))
    assert (small.spooled_bytes, large.spooled_bytes) == (0, large.text_bytes)


@pytest.mark.parametrize("last", [2, 3, 4], ids=["alone", "compared", "ordered"])
def test_no_run_needs_more_disk_than_was_said(rows, tmp_path, monkeypatch, last):
    steps, peak = STEPS[:last], [0]
    done = Console.progress

    def measured(console, *arguments, **named):
        found = (Path(folder) / name for folder, _, names in os.walk(tmp_path / "scratch") for name in names)
        peak[0] = max(peak[0], sum(path.stat().st_size for path in found))
        return done(console, *arguments, **named)

    monkeypatch.setattr(Console, "progress", measured)
    monkeypatch.setattr("llmkit.cleaning.run.shutil.rmtree", lambda *_, **__: None)
    (tmp_path / "out").mkdir()
    with Engine(workers=1) as engine:
        context = Context(tmp_path / "out", Console(quiet=True))
        clean_inputs(inputs(rows), steps, None, tmp_path / "out", tmp_path / "scratch", engine, context)
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir())
    said = estimate(inputs(rows), steps).values
    assert 0 < written <= said["output"]
    assert 0 < peak[0] + written <= said["disk"]


def test_tasks_are_about_as_many_as_are_made(rows, monkeypatch):
    for place in ("llmkit.cleaning.plan.TASK_BYTES", "llmkit.cleaning.estimate.TASK_BYTES"):
        monkeypatch.setattr(place, 3000)
    with Engine(workers=1) as engine:
        made = len(make_tasks(inputs(rows), engine, rows.parent / "scratch"))
    assert made > 5
    assert abs(measure_inputs(inputs(rows)).num_tasks - made) <= 2
