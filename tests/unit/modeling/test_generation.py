from __future__ import annotations

import json

import pytest

from llmkit.modeling.generation import mend_generation
from llmkit.modeling.load import load_model
from tiny import model


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    model().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("settings", "left_out"),
    [
        ({"do_sample": False, "temperature": 0.7}, ["temperature 0.7"]),
        ({"temperature": 0.6, "top_p": 0.9, "top_k": 20}, ["temperature 0.6", "top_p 0.9", "top_k 20"]),
        ({"temperature": "hot"}, ["temperature hot"]),
        ({"length_penalty": 2.0, "early_stopping": True}, ["early_stopping True", "length_penalty 2.0"]),
        ({"output_scores": True, "pad_token_id": -1}, ["pad_token_id -1", "output_scores True"]),
        ({"use_cache": False, "cache_implementation": "static"}, ["cache_implementation static"]),
        ({"do_sample": True, "temperature": 0.7, "top_p": 0.9}, []),
        ({"max_length": 20, "repetition_penalty": 1.2, "of_ours": {"a": [1]}}, []),
    ],
)
def test_what_cannot_be_saved_is_taken_out_and_nothing_else(base, tmp_path, settings, left_out):
    (base / "generation_config.json").write_text(json.dumps(settings), encoding="utf-8")
    loaded = load_model(base)
    assert mend_generation(loaded) == left_out
    loaded.generation_config.eos_token_id = 7  # a changed one is looked at strictly
    loaded.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    gone = {entry.split()[0] for entry in left_out}
    kept = {name: value for name, value in settings.items() if name not in gone}
    assert kept.items() <= {"do_sample": False, **saved}.items()
    assert not gone & saved.keys()


def test_settings_of_generation_in_the_config_of_a_model_that_does_not_generate(tmp_path):
    built = model()
    built.can_generate = lambda: False
    built.config.temperature = 0.5
    with pytest.raises(ValueError, match="Some generation parameters are set in the model config"):
        built.save_pretrained(tmp_path)
    assert mend_generation(built) == ["temperature 0.5"]
    built.save_pretrained(tmp_path)
