from __future__ import annotations

from pathlib import Path

import pytest

from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.training.resume import add_checkpoint, checkpoint_path, checkpoints_in


def whole(folder: Path, step: int) -> Path:
    path = checkpoint_path(folder, step)
    path.mkdir(parents=True)
    (path / "state.json").write_text("{}")
    return path


def added(out: Path, resume: object) -> list[str]:
    inputs = Inputs()
    add_checkpoint(Context(out, resume=str(resume)), inputs)
    return [item.role for item in inputs.entries]


def test_sorted_by_name_is_sorted_by_step(tmp_path):
    paths = [whole(tmp_path, step) for step in (1_000_000, 9, 10)]
    (tmp_path / ".unfinished").mkdir()
    assert checkpoints_in(tmp_path) == [paths[1], paths[2], paths[0]]
    assert checkpoints_in(tmp_path / "nowhere") == []


@pytest.mark.parametrize("resume", ["auto", "never"])
def test_nothing_is_named(tmp_path, resume):
    assert added(tmp_path, resume) == []


def test_only_a_checkpoint_of_another_run_is_read(tmp_path):
    out = tmp_path / "out"
    assert added(out, whole(out / "checkpoints", 1)) == []
    assert added(out, whole(out / ".partial" / "checkpoints", 2)) == []
    assert added(out, whole(out / ".partial-20250101-000000" / "checkpoints", 2)) == ["resume"], "moved aside"
    assert added(out, whole(tmp_path / "other" / "checkpoints", 3)) == ["resume"]


def test_what_is_no_checkpoint_names_the_newest_that_is(tmp_path):
    whole(tmp_path / "many" / "checkpoints", 2)
    newest = whole(tmp_path / "many" / "checkpoints", 30)
    for place in (tmp_path / "many", tmp_path / "many" / "checkpoints"):
        with pytest.raises(DataError, match=f"--resume {place} is not a whole checkpoint") as caught:
            added(tmp_path / "out", place)
        assert caught.value.hint == f"--resume {newest}"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        added(tmp_path / "out", tmp_path / "empty")
    assert caught.value.hint == "checkpoints are in OUT/checkpoints, one per step"
