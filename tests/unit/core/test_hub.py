"""Models by their names on the hub: found in its cache, laid out as its own library lays it out."""

from __future__ import annotations

import pytest

from llmkit.core.errors import DataError
from llmkit.core.hub import cached, located

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models--org--name"
    (folder / "snapshots" / COMMIT).mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    return folder / "snapshots" / COMMIT


def test_a_name_is_the_snapshot_of_its_main_branch_or_of_a_revision(cache):
    assert located("org/name") == located(f"org/name@{COMMIT}") == located("org/name@main") == str(cache)
    assert cached("org/name", "v2") is None


def test_the_hubs_own_library_finds_the_same(cache):
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE

    found = snapshot_download("org/name", local_files_only=True, cache_dir=cache.parents[2])
    assert str(cache) == found
    assert HF_HUB_CACHE  # the name of the variable that is read here


def test_paths_stay_as_they_are(cache, tmp_path):
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert located("org/name") == "org/name"
    assert located("missing") == "missing"
    assert located(tmp_path / "gone" / "model") == str(tmp_path / "gone" / "model")


def test_a_name_that_is_nowhere_says_what_to_type(cache):
    with pytest.raises(DataError, match="org/other, and no such model in the cache") as error:
        located("org/other")
    assert error.value.hint == "if it is the hub's: hf download org/other, then the same command"
    with pytest.raises(DataError) as error:
        located("org/name@v2")
    assert error.value.hint == "if it is the hub's: hf download org/name --revision v2, then the same command"
