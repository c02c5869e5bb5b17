from __future__ import annotations

from pathlib import Path

import pytest
from toy_build import Toy, ToyStage, make, write

from llmkit.core.context import Context
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import Inputs
from llmkit.core.move import LOCK


class Wire:
    """What rank 0 has told; a rank that asks for more than that would wait for ever."""

    def __init__(self, rank, told):
        self.rank, self.told = rank, told

    def tell(self, key, value):
        assert self.rank == 0
        assert key not in self.told
        self.told[key] = value

    def hear(self, key):
        assert self.rank > 0
        return self.told[key]


def contexts(out: Path) -> tuple[Context, Context]:
    told = {}
    return Context(out, team=Wire(0, told)), Context(out, team=Wire(1, told))


def build(context, config=None):
    return ToyStage().build(config or Toy(), Inputs(), context)


def finish(build):
    return build.finish("corpus", payload=["data-*"], metrics={})


def test_only_the_first_process_writes(tmp_path):
    leading, following = contexts(tmp_path / "out")
    assert (leading.leads, following.leads, Context(tmp_path).leads) == (True, False, True)
    with build(leading) as first, build(following) as second:
        assert second.dir == first.dir == tmp_path / "out/.partial"
        assert (first.dir / LOCK).exists(), "one lock for all: a second one would be refused"
        assert not second.resumed
        write(first.dir, {"data-0": "x"})
        assert finish(first).manifest.id == finish(second).manifest.id
    assert first.finished is second.finished is None
    leading, following = contexts(tmp_path / "out")
    with build(leading) as first, build(following) as second:
        assert first.finished.manifest.id == second.finished.manifest.id


def test_a_resumed_build_is_resumed_everywhere(tmp_path):
    leading, following = contexts(tmp_path / "out")
    with build(leading):
        pass
    leading, following = contexts(tmp_path / "out")
    with build(leading) as first, build(following) as second:
        assert first.resumed
        assert second.resumed


def test_a_refused_build_tells_nothing(tmp_path):
    make(tmp_path / "out", {"data-0": "x"})
    leading, _ = contexts(tmp_path / "out")
    with pytest.raises(ConfigError, match="is finished, from another run"):
        build(leading, Toy(text="other")).__enter__()
    assert leading.team.told == {}


def test_another_machine_that_does_not_see_the_output(tmp_path):
    leading, elsewhere = Context(tmp_path / "here"), Context(tmp_path / "there")
    told = {}
    leading.team, elsewhere.team = Wire(0, told), Wire(1, told)
    with build(leading) as first:
        with pytest.raises(DataError, match=r"rank 1 cannot see .*/there/\.partial, where rank 0 writes") as caught:
            build(elsewhere).__enter__()
        write(first.dir, {"data-0": "x"})
        finish(first)
    assert "a file system that all machines share" in caught.value.hint
    assert not (tmp_path / "there").exists()


def test_what_a_launcher_leaves_does_not_make_a_directory_foreign(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/exit.json").write_text("{}")
    assert make(tmp_path / "out", {"data-0": "x"}).finished is None
    assert (tmp_path / "out/llmkit.json").exists()
