from __future__ import annotations

import pytest

from llmkit.cleaning.run import _collect
from llmkit.cleaning.shards import Written
from llmkit.cleaning.tally import Tally


@pytest.fixture
def written(tmp_path):
    """Three shards of two, no and one files."""
    for shard, part in ((0, 0), (0, 1), (2, 0)):
        path = tmp_path / f"scratch/shards/{shard:06}/data-{part:05}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{shard}-{part}")
    (tmp_path / "out").mkdir()
    return [Written(Tally(bytes_read=n), 10 * n, files) for n, files in ((1, 2), (2, 0), (3, 1))]


def collected(tmp_path):
    return [(path.name, path.read_text()) for path in sorted((tmp_path / "out").iterdir())]


WHOLE = [("data-00000.parquet", "0-0"), ("data-00001.parquet", "0-1"), ("data-00002.parquet", "2-0")]


def test_files_are_numbered_through_and_counts_added_up(tmp_path, written):
    tally = Tally()
    assert _collect(written, tmp_path / "out", tmp_path / "scratch", tally) == 60
    assert tally.bytes_read == 6
    assert collected(tmp_path) == WHOLE


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_what_an_earlier_run_has_moved_is_there(tmp_path, written, moved):
    places = [(0, 0), (0, 1), (2, 0)]
    for number, (shard, part) in enumerate(places[:moved]):
        (tmp_path / f"scratch/shards/{shard:06}/data-{part:05}.parquet").rename(
            tmp_path / f"out/data-{number:05}.parquet"
        )
    assert _collect(written, tmp_path / "out", tmp_path / "scratch", Tally()) == 60
    assert collected(tmp_path) == WHOLE


def test_a_file_that_is_nowhere_is_noticed(tmp_path, written):
    (tmp_path / "scratch/shards/000002/data-00000.parquet").unlink()
    with pytest.raises(AssertionError, match="was written and is gone"):
        _collect(written, tmp_path / "out", tmp_path / "scratch", Tally())
