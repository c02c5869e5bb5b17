from __future__ import annotations

import pytest

from llmkit.cleaning.plan import make_passes, make_tasks
from llmkit.cleaning.scratch import read_scratch
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.lowercase import Lowercase
from llmkit.cleaning.tally import Tally
from llmkit.cleaning.task import Work, run_task, survivors
from llmkit.core.errors import DataError
from llmkit.data.corpus import document_id
from llmkit.data.sources.files import Files
from llmkit.work.engine import Engine

ROWS = ['{"text": "One TEXT"}', "{broken", '{"text": "no"}', '{"text": "春天来了，花开了。", "language": "zh", "n": 3}']


@pytest.fixture
def work(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(ROWS), encoding="utf-8")

    def make(steps, *, strict=False):
        source = Files(path=str(path))
        scratch = tmp_path / "scratch"
        (task,) = make_tasks([(source, source.files())], Engine(workers=1), scratch)
        return [Work(task, walk, scratch, strict) for walk in make_passes(steps, 1, 100, scratch)]

    return make


def test_a_pass_leaves_what_survives_with_its_counts(work, tmp_path):
    first, last = work([Lowercase(), Length(min_chars=5), ExactDuplicates()])
    tally, num_chars = run_task(first)
    entries = list(read_scratch(first.path(0)))
    assert [entry.document.text for entry in entries] == ["one text", "春天来了，花开了。"]
    assert num_chars == 8 + 9
    path = str(tmp_path / "x.jsonl")
    assert entries[0].document.id == document_id("x", "x.jsonl", 0, "One TEXT")  # of the raw text
    assert {entry.file for entry in entries} == {path}
    assert vars(tally.files[path]) == {"rows": 4, "kept": 0, "rejected": 1, "failed": 1}
    assert dict(tally.steps_changed) == {0: 1}
    assert dict(tally.rules) == {"unreadable": 1, "length.min_chars": 1}
    assert tally.broken[0].startswith(f"{path}:2: invalid JSON")
    survey = first.walk.records[0][1]
    ids = survey.ids_path(0)
    assert ids.exists()
    survey_counts = first.walk.records[0][0].step.decide(survey, Engine(workers=1))
    assert survey_counts["texts with copies"] == 0
    rest = Tally()
    assert [entry.document.id for entry in survivors(last, rest)] == [entry.document.id for entry in entries]
    assert not rest.files


def test_measures_are_of_the_text_that_is_left(work):
    first, _ = work([Lowercase(), Length()])
    entries = list(survivors(first, Tally()))
    assert [entry.measures[0] for entry in entries] == [8.0, 2.0, 9.0]
    assert all(entry.measured is entry.document.text for entry in entries)


def test_a_task_may_be_done_again(work):
    first, _ = work([Lowercase(), ExactDuplicates()])
    one = run_task(first)
    data = first.path(0).read_bytes()
    two = run_task(first)
    assert first.path(0).read_bytes() == data
    assert one[0].files == two[0].files
    assert one[0].rules == two[0].rules
    assert one[1] == two[1]


def test_strict_stops_at_a_broken_row(work):
    first, _ = work([], strict=True)
    with pytest.raises(DataError, match=r"x\.jsonl:2: invalid JSON") as error:
        run_task(first)
    assert "leave out --strict" in error.value.hint
    assert not first.path(0).exists()
