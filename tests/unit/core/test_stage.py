from __future__ import annotations

import pytest
from toy_build import Toy, write

from llmkit.core.console import Console
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import read_manifest
from llmkit.core.stage import Stage


class Letters(Stage[Toy]):
    """Writes its text into a file."""

    name, version, config = "letters", 3, Toy

    def check(self, config):
        if config.text == "bad":
            raise ConfigError("text: bad")

    def make(self, config, context):
        with self.build(config, Inputs(), context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            write(build.dir, {"data-0": config.text})
            return Result(build.finish("corpus", payload=["data-*"], metrics={}))


def test_a_run_checks_first_and_makes_once(tmp_path):
    context = Context(tmp_path / "out", Console(quiet=True))
    with pytest.raises(ConfigError, match="text: bad"):
        Letters().run(Toy(text="bad"), context)
    assert not (tmp_path / "out").exists()
    assert not Letters().run(Toy(), context).up_to_date
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.stage, manifest.stage_version) == ("letters", 3)
    assert Letters().run(Toy(), context).up_to_date


def test_what_is_not_resumable_starts_anew(tmp_path):
    context = Context(tmp_path / "out", Console(quiet=True))
    for resumable in (False, True):
        stage = Letters()
        stage.resumable = resumable
        with pytest.raises(KeyboardInterrupt), stage.build(Toy(), Inputs(), context) as build:
            write(build.scratch, {"half": "done"})
            raise KeyboardInterrupt
        with stage.build(Toy(), Inputs(), context) as build:
            assert build.resumed == resumable
            assert (build.dir / "scratch" / "half").exists() == resumable


def test_errors_name_the_command_that_lists_the_fields():
    with pytest.raises(ConfigError, match="txt: unknown field; did you mean 'text'") as caught:
        Letters().resolve(sets=["txt=1"])
    assert caught.value.hint == "llmkit schema letters --fields"
    assert Letters().resolve(absent={"text": "two"}).config.text == "two"


def test_what_a_stage_does_not_have_is_said():
    with pytest.raises(ConfigError, match="letters has no plan"):
        Letters().plan(Toy(), 1)
    with pytest.raises(ConfigError, match="letters has no preview"):
        Letters().preview(Toy(), 3, Console())
    assert Stage.check(Letters(), Toy(text="bad")) is None
