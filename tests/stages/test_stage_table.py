"""The table of stages: every module of the package is in it, and each stage is one whole object."""

from __future__ import annotations

import pkgutil

import pytest

import llmkit.stages
from llmkit.core.config import Config
from llmkit.core.errors import ConfigError
from llmkit.core.stage import Stage
from llmkit.stages import STAGES, load_stage

VERSIONS = {
    "clean": 6,
    "tokenize": 4,
    "pretrain": 6,
    "finetune": 6,
    "eval": 5,
    "export": 2,
    "predict": 1,
    "generate": 1,
    "index": 1,
}
"""They are part of every identity: a change makes finished work out of date."""


def test_every_module_is_a_stage():
    modules = {module.name for module in pkgutil.iter_modules(llmkit.stages.__path__)}
    assert {name for name in modules if not name.startswith("_")} == set(STAGES.values())


@pytest.mark.parametrize("name", STAGES)
def test_a_stage(name):
    stage = load_stage(name)
    assert (stage.name, stage.version) == (name, VERSIONS[name])
    assert issubclass(stage.config, Config)
    assert stage.resumable == (name != "export")
    assert type(stage).make is not Stage.make
    assert type(stage).summarize is not Stage.summarize
    assert type(stage).run is Stage.run, "run checks, then makes: alike for all"


def test_an_unknown_stage():
    with pytest.raises(ConfigError, match="unknown stage 'pretran'; did you mean 'pretrain'"):
        load_stage("pretran")


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("mode", [["--dry-run"], ["-o", "out"]])
def test_a_dry_run_finds_the_missing_tracker_as_the_run_does(cli, stage_commands, monkeypatch, stage, mode):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    outcome = cli(*stage_commands[stage], "-s", "trackers=[wandb]", *mode)
    assert outcome.code == 4
    assert "error: trackers: wandb is not installed" in outcome.err
    assert "-> pip install wandb" in outcome.err


@pytest.mark.parametrize("stage", ["eval", "export", "predict", "generate"])
def test_what_cannot_be_planned_is_said(cli, stage_commands, stage):
    _, model, path, *sets = stage_commands[stage]
    outcome = cli("plan", "--stage", stage, "-s", f"{model.lstrip('-')}={path}", *sets)
    assert outcome.code == 2
    assert f"error: {stage} has no plan" in outcome.err
