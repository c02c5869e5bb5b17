from __future__ import annotations

import json
import re

import pytest
import torch
from pydantic import ValidationError

from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import resolve
from llmkit.core.errors import ConfigError
from llmkit.core.registry import Family
from llmkit.modeling.build import ModelConfig, configure
from llmkit.modeling.load import count_parameters
from llmkit.modeling.presets import PRESETS

UNITS = {"m": 1e6, "b": 1e9}
HEADS = {"bert": "masked_lm", "albert": "pretraining", "t5": "sequence_to_sequence"}


class Config(BaseConfig):
    """A stage's config as far as this needs one."""

    model: ModelConfig


@pytest.mark.parametrize("name", PRESETS)
def test_the_name_is_the_size(name):
    preset = PRESETS[name]
    head = Family("head").parse(HEADS.get(preset.arch, "causal_lm"))
    ids = {"bos": 0, "eos": 1, "pad": 2}
    spec = ModelConfig(preset=name)
    config = configure(spec, head=head, max_positions=512, vocab_size=preset.vocab_size, ids=ids)
    with torch.device("meta"):
        size = count_parameters(head.auto_model().from_config(config))
    assert size == pytest.approx(preset.parameters, rel=0.1)
    if said := re.search(r"-([\d.]+)([mb])$", name):
        assert preset.parameters == pytest.approx(float(said[1]) * UNITS[said[2]], rel=0.02)
    assert config.hidden_size % 64 == 0


def test_a_preset_stands_for_its_settings_and_yields_to_yours():
    spec = ModelConfig.model_validate("llama-7m")
    assert (spec.arch, spec.preset, spec.config["hidden_size"]) == ("llama", None, 256)
    own = ModelConfig(preset="llama-7m", config={"num_hidden_layers": 8, "attention_dropout": 0.1})
    assert own.config == {**spec.config, "num_hidden_layers": 8, "attention_dropout": 0.1}
    assert ModelConfig.model_validate(own.model_dump()) == own
    assert "attention_dropout" not in PRESETS["llama-7m"].config


def test_a_recipe_and_the_command_line_name_presets(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: llama-7m\n")
    config = resolve(Config, recipe=recipe, sets=["model.config.num_hidden_layers=8"]).config
    assert config.model.config["num_hidden_layers"] == 8
    assert config.model.config["hidden_size"] == 256
    assert resolve(Config, recipe=recipe, sets=["model=gpt2-10m"]).config.model.arch == "gpt2"
    with pytest.raises(ConfigError, match=r"model: unknown preset 'llama-7'; did you mean 'llama-7m'\?") as caught:
        resolve(Config, recipe=recipe, sets=["model=llama-7"])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("more", [{"arch": "gpt2"}, {"path": "x"}])
def test_a_preset_beside_another_origin_is_refused(more):
    with pytest.raises(ValidationError, match=r"two are given|both are given"):
        ModelConfig(preset="llama-7m", **more)


def test_the_schema_takes_a_bare_name():
    schema = json.dumps(Config.model_json_schema())
    assert '"llama-7m"' in schema
    options = Config.model_json_schema()["$defs"]["ModelConfig"]["anyOf"]
    assert options[0]["enum"] == list(PRESETS)
    assert options[1]["properties"]["preset"]["enum"] == [*PRESETS, None]
