from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from llmkit.cleaning.plan import Piece, make_passes, make_tasks
from llmkit.cleaning.steps.cap import Cap
from llmkit.cleaning.steps.duplicate_lines import DuplicateLines
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.near_duplicates import NearDuplicates
from llmkit.cleaning.steps.normalize import Normalize
from llmkit.cleaning.steps.shuffle import Shuffle
from llmkit.cleaning.task import make_document, rows_of
from llmkit.core.errors import ConfigError
from llmkit.data.sources.files import Files
from llmkit.work.engine import Engine


@pytest.fixture
def tasks_of(tmp_path, monkeypatch):
    monkeypatch.setattr("llmkit.cleaning.plan.SPOOL_BYTES", 50)

    def make(task_bytes, *paths):
        monkeypatch.setattr("llmkit.cleaning.plan.TASK_BYTES", task_bytes)
        sources = [Files(path=str(path)) for path in paths]
        return make_tasks([(s, s.files()) for s in sources], Engine(workers=1), tmp_path / f"scratch-{task_bytes}")

    return make


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f'{{"text": "{row}"}}\n' for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def documents(tasks):
    return [make_document(row, piece) for task in tasks for piece in task.pieces for row in rows_of(piece)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_the_cut_changes_neither_rows_nor_ids(tasks_of, tmp_path, name):
    write(tmp_path / "in" / name, [f"text {i}" for i in range(100)])
    whole, cut = tasks_of(10**9, tmp_path / "in"), tasks_of(300, tmp_path / "in")
    assert len(whole) == 1
    assert len(cut) >= 3
    assert documents(cut) == documents(whole)
    assert [document.text for document in documents(cut)] == [f"text {i}" for i in range(100)]
    assert [task.number for task in cut] == list(range(len(cut)))


def test_small_files_share_a_task_and_inputs_do_not(tasks_of, tmp_path):
    for i in range(6):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"in/{i}.txt").write_text("x" * 40)
    (tmp_path / "other.txt").write_text("x" * 10)
    tasks = tasks_of(100, tmp_path / "in", tmp_path / "other.txt")
    # A task is full before the file that would exceed 100 bytes.
    names = [[piece.file.name for piece in task.pieces] for task in tasks]
    assert names == [["0.txt", "1.txt"], ["2.txt", "3.txt"], ["4.txt", "5.txt"], ["other.txt"]]
    assert [task.num_bytes for task in tasks] == [80, 80, 80, 10]


def test_many_small_files_are_grouped_in_linear_time(tmp_path, monkeypatch):
    reads = 0

    class Counting(Piece):
        def __getattribute__(self, name):
            nonlocal reads
            reads += name == "num_bytes"
            return super().__getattribute__(name)

    source = Files(path=str(tmp_path))
    monkeypatch.setattr(
        "llmkit.cleaning.plan._by_source", lambda *_: iter([[Counting(source, None, 1) for _ in range(5000)]])
    )
    (task,) = make_tasks([], Engine(workers=1), tmp_path)
    assert len(task.pieces) == 5000
    assert reads <= 3 * 5000


def test_equal_files_of_two_inputs_have_other_ids(tasks_of, tmp_path):
    for folder in "abc":
        write(tmp_path / folder / "x.jsonl", ["same", "rows"])
    ids = [document.id for document in documents(tasks_of(1000, *(tmp_path / folder for folder in "abc")))]
    assert len(set(ids)) == 6
    assert [document.id for document in documents(tasks_of(1000, tmp_path / "b"))] == ids[:2]


def shape(steps):
    """Per pass the types that carry out verdicts, that work on each document, and that record."""
    walks = make_passes(steps, 3, 1000, Path("scratch"))
    assert [walk.number for walk in walks] == list(range(len(walks)))
    return [
        tuple(
            [placed.step.type_name for placed in part]
            for part in ([p for p, _ in walk.verdicts], walk.steps, [p for p, _ in walk.records])
        )
        for walk in walks
    ]


def test_steps_on_each_document_need_one_pass_before_the_last():
    assert shape([Normalize(), Length()]) == [([], ["normalize", "length"], []), ([], [], [])]
    assert shape([]) == [([], [], []), ([], [], [])]
    assert shape([Normalize(), Shuffle()]) == [([], ["normalize"], []), ([], [], [])]


def test_neighbouring_global_steps_share_a_pass_until_one_edits():
    steps = [Normalize(), ExactDuplicates(), NearDuplicates(), Length(), DuplicateLines(), Cap(limit=5), Shuffle()]
    assert shape(steps) == [
        ([], ["normalize"], ["exact_duplicates", "near_duplicates"]),
        (["exact_duplicates", "near_duplicates"], ["length"], ["duplicate_lines"]),
        (["duplicate_lines"], [], ["cap"]),
        (["cap"], [], []),
    ]
    walks = make_passes(steps, 3, 1000, Path("scratch"))
    exact, near = (survey for _, survey in walks[0].records)
    assert near.before == (exact,)
    assert exact.before == walks[1].records[0][1].before == ()
    assert [placed.position for walk in walks for placed, _ in walk.records] == [1, 2, 4, 5]
    assert exact.ids == near.ids != walks[1].records[0][1].ids


def test_an_order_that_is_not_last_is_refused():
    with pytest.raises(ConfigError, match=r"steps\.0: shuffle has to be the last step"):
        shape([Shuffle(), Normalize()])


def test_buckets_grow_with_the_bytes(monkeypatch):
    monkeypatch.setattr("llmkit.cleaning.plan.BUCKET_INPUT_BYTES", 100)
    numbers = [
        make_passes([Cap(limit=1)], 1, size, Path("s"))[0].records[0][1].num_buckets for size in (0, 99, 100, 950)
    ]
    assert numbers == [1, 1, 2, 10]
