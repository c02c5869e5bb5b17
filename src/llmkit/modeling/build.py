"""Models from a recipe: a preset, an architecture with its settings, or a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from llmkit.core.config import Config, NotIdentity
from llmkit.core.errors import ConfigError, nearest
from llmkit.core.machine import raise_limit
from llmkit.modeling.architecture import new_config, one_line
from llmkit.modeling.heads import Head
from llmkit.modeling.load import read_config
from llmkit.modeling.loaded import try_out
from llmkit.modeling.presets import PRESETS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from llmkit.modeling.vocabulary import Vocabulary


class ModelConfig(Config):
    """Where the model comes from: a preset, a new one of some architecture, or a directory."""

    arch: str | None = None
    """Architecture of a new model, by its transformers `model_type`: `llama`, `gpt2`, `qwen3`, ..."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Settings of the new model, by the field names of its transformers config class (`hidden_size`, ...)."""
    path: Annotated[str | None, NotIdentity] = None
    """Directory of a model to start from, or its file in GGUF."""
    preset: Annotated[str | None, NotIdentity] = None
    """Name of a shape, such as `llama-7m`; it stands for its `arch` and `config`, which your `config` overrides."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        """Put a preset's architecture and settings in its place, so that the artifact names them."""
        if isinstance(value, str):
            value = {"preset": value}
        if not isinstance(value, Mapping):
            return value
        # `--set model.config.n=1` opens a recipe's bare name to `type: NAME`, as it does for any part.
        name = value.get("preset") or value.get("type")
        if not isinstance(name, str) or ("type" in value and "preset" in value):
            return value
        if name not in PRESETS:
            message = f"unknown preset '{name}'{nearest(name, PRESETS) or '; valid: ' + ', '.join(PRESETS)}"
            raise PydanticCustomError("model_preset", "{message}", {"message": message})
        preset, rest = PRESETS[name], {key: item for key, item in value.items() if key not in ("preset", "type")}
        if rest.get("arch") not in (None, preset.arch) or not isinstance(rest.get("config", {}), Mapping):
            return value
        return {**rest, "arch": preset.arch, "config": {**preset.config, **rest.get("config", {})}}

    @model_validator(mode="after")
    def _one_origin(self) -> ModelConfig:
        if self.preset is not None:
            raise PydanticCustomError("model_origin", "give either 'preset', or 'arch', or 'path': two are given")
        if self.path in PRESETS and not Path(self.path).exists():
            message = "there is no directory '{name}'; the preset of that name is chosen by --set model={name}"
            raise PydanticCustomError("model_origin", message, {"name": self.path})
        if (self.arch is None) == (self.path is None):
            problem = "neither is given" if self.arch is None else "both are given"
            message = "give either 'arch' (a new model) or 'path' (a model directory): {problem}"
            raise PydanticCustomError("model_origin", message, {"problem": problem})
        if self.path is not None and self.config:
            raise PydanticCustomError("model_config", "'config' belongs to 'arch'; a model from 'path' has its own")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        mapping = handler(schema)
        names = {"enum": list(PRESETS), "type": "string"}
        handler.resolve_ref_schema(mapping).get("properties", {}).get("preset", {})["enum"] = [*PRESETS, None]
        return {"anyOf": [names, mapping], "description": cls.__doc__}


def check_model(spec: ModelConfig, head: Head) -> PreTrainedConfig:
    """Check what can be known without weights and tokenizer, and return the resolved transformers config.

    Raises:
        ConfigError: An unknown architecture or field, a wrong type, or sizes that do not fit together.
        DataError: `path` is not a model directory.
    """
    if spec.path is not None:
        config = read_config(spec.path, head)
    else:
        assert spec.arch is not None
        config = new_config(spec.arch, spec.config, {}, head)
    head.configure(config)
    return config


def configure(
    spec: ModelConfig,
    *,
    head: Head,
    max_positions: int | None,
    vocab_size: int,
    ids: Mapping[str, int | None],
) -> PreTrainedConfig:
    """Return the config of a new model, the tokenizer's and the run's needs filled in.

    Args:
        spec: A spec with `arch`.
        head: What is to stand on it.
        max_positions: Positions it must have; None for the architecture's default.
        vocab_size: Ids of the tokenizer; the embedding rows unless the spec asks for more.
        ids: `bos`, `eos`, `pad` and, where the tokenizer has them, `cls` and `sep`.
    """
    assert spec.arch is not None, "a model from a directory has its config already"
    needs: dict[str, Any] = {"vocab_size": vocab_size, **head.token_ids(spec.arch, ids)}
    if max_positions is not None:
        needs["max_position_embeddings"] = max_positions
    config = new_config(spec.arch, spec.config, needs, head)
    head.configure(config, needs["pad_token_id"])
    return config


def build_model(
    spec: ModelConfig,
    *,
    head: Head,
    max_positions: int | None,
    seed: int,
    vocabulary: Vocabulary | None = None,
    vocab_size: int = 0,
    bos_token_id: int | None = None,
    eos_token_id: int | None = None,
    pad_token_id: int | None = None,
) -> PreTrainedModel:
    """Build a model with new weights: float32, in eval mode, on the CPU.

    The weights depend on the seed only; the global random state is left as it was.

    Args:
        spec: A spec with `arch`.
        head: What is to stand on it.
        max_positions: Positions the model must have; None for the architecture's default.
        seed: Seed of the weights.
        vocabulary: Size and special ids of the tokenizer; a padding id that is also BOS or EOS is not written.
        vocab_size: Without `vocabulary`: ids of the tokenizer, as are the next three.
        bos_token_id: Starts a document.
        eos_token_id: Ends a document.
        pad_token_id: None if the tokenizer has none.

    Raises:
        ConfigError: As `check_model`; or the spec contradicts the tokenizer or `max_positions`.
    """
    import torch

    ids = {"bos": bos_token_id, "eos": eos_token_id, "pad": pad_token_id}
    if vocabulary is not None:
        vocab_size = vocabulary.size
        ids = {name: getattr(vocabulary, name) for name in ("bos", "eos", "pad")}
        ids |= {name: i for name in ("cls", "sep") if (i := getattr(vocabulary, name)) is not None}
    config = configure(spec, head=head, max_positions=max_positions, vocab_size=vocab_size, ids=ids)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: PreTrainedModel = head.auto_model().from_config(config, dtype=torch.float32).eval()
            try_out(model, head)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise_limit(error)
        raise ConfigError(f"model.config: no working {spec.arch} model: {one_line(error)}") from error
    return model
