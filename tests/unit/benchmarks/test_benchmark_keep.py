"""The texts of keep.py: kinds enough, no document twice, and all of it without any data folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("_keep", "keep")):
            del sys.modules[name]


def test_kinds_and_documents() -> None:
    import _keep_sources
    import keep

    for language in ("en", "zh"):
        kinds = list(keep.texts(language, _keep_sources.Sources(None), 3))
        assert sum(good for _, good, _ in kinds) >= 10
        assert sum(not good for _, good, _ in kinds) >= 10
        texts = [text for _, _, documents in kinds for text in documents]
        assert len(set(texts)) == len(texts) > 30


def test_what_misses_its_target(capsys: pytest.CaptureFixture[str]) -> None:
    from keep import Kind, print_table

    kinds = [
        Kind("en", "novels", good=True, total=10, ours=9, theirs=9),
        Kind("en", "mail", good=True, total=10, ours=10, theirs=2),
        Kind("en", "menus", good=False, total=100, ours=6, theirs=7, rule="r"),
        Kind("en", "shuffled", good=False, total=100, ours=100, theirs=0),
    ]
    assert print_table(kinds) == ["en mean of the good kinds", "en menus"]
    assert "MISSED" in capsys.readouterr().out
