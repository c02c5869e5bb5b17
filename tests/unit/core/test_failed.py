"""What failed its check is kept for a look: beside the output, in the place of an older failure alone, until tidied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmkit.core.failed import is_failed, keep_failed
from llmkit.core.leftovers import find_leftovers, remove
from llmkit.core.manifest import MANIFEST


@pytest.fixture
def fail(tmp_path):
    """Keep what a run of export has made of some text."""

    def run(text: str) -> Path:
        partial = tmp_path / "out" / ".partial"
        (partial / "scratch").mkdir(parents=True, exist_ok=True)
        (partial / "run.json").write_text(json.dumps({"stage": "export"}))
        for name in ("lock", "scratch/answers", "model.bin"):
            (partial / name).write_text(text)
        return keep_failed(partial, tmp_path / "out")

    return run


def test_what_was_made_is_kept_beside_the_output(fail, tmp_path):
    kept = fail("first")
    assert kept == tmp_path / "out.failed"
    assert {file.name for file in kept.iterdir()} == {"run.json", "model.bin"}
    assert is_failed(kept)


def test_only_an_older_failure_is_replaced(fail, tmp_path):
    fail("first")
    assert fail("second") == tmp_path / "out.failed"
    assert (tmp_path / "out.failed/model.bin").read_text() == "second"
    (tmp_path / "out.failed" / MANIFEST).write_text("{}")  # an artifact of that name is good
    assert fail("third") == tmp_path / "out.failed-2"
    assert fail("fourth") == tmp_path / "out.failed-2"
    assert (tmp_path / "out.failed/model.bin").read_text() == "second"


def test_a_folder_or_link_of_the_users_stays(fail, tmp_path):
    (tmp_path / "out.failed").mkdir()
    (tmp_path / "out.failed-2").symlink_to(tmp_path / "nowhere")
    assert fail("first") == tmp_path / "out.failed-3"
    assert not any((tmp_path / "out.failed").iterdir())


def test_it_is_left_behind_until_it_is_removed(fail, tmp_path):
    kept = fail("first")
    (tmp_path / "mine.failed").mkdir()
    (tmp_path / "mine.failed/run.json").write_text("[]")
    (item,) = [item for item in find_leftovers(tmp_path, lambda _: False) if item.kind == "failed"]
    assert (item.path, item.kept, item.flag) == (kept, False, "")
    assert (item.what, item.why) == ("what export has made, which failed its check", "kept for a look")
    assert item.num_bytes == sum(file.stat().st_size for file in kept.iterdir())
    assert remove(item, lambda _: False) == ""
    assert not kept.exists()
    assert (tmp_path / "mine.failed/run.json").exists()
