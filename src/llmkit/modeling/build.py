"""Models from a recipe: check an architecture's settings, build it from scratch, or load it from a directory."""

from __future__ import annotations

import copy
import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from llmkit.core.config import NotIdentity
from llmkit.core.errors import ConfigError, DataError, UserError, nearest
from llmkit.core.registry import Part
from llmkit.modeling.tokenizer import existing_directory

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

# Standard names of what must be at least 1, whatever an architecture calls it.
SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings",
)  # fmt: skip
ROPE_FIELDS = ("rope_parameters", "rope_scaling")  # today's name and the one older configs have
ACTIVATIONS = ("hidden_act", "activation_function", "hidden_activation")
DECIDED_ELSEWHERE = {"dtype", "architectures", "transformers_version"}  # fields of every config


class ModelConfig(Part):
    """Where the model comes from: a new one of some architecture, or a directory."""

    arch: str | None = None
    """Architecture of a new model, by its transformers `model_type`: `llama`, `gpt2`, `qwen3`, ..."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Settings of the new model, by the field names of its transformers config class (`hidden_size`, ...)."""
    path: Annotated[str | None, NotIdentity] = None
    """Directory of a model to start from."""

    @model_validator(mode="after")
    def _one_origin(self) -> ModelConfig:
        if (self.arch is None) == (self.path is None):
            problem = "neither is given" if self.arch is None else "both are given"
            message = "give either 'arch' (a new model) or 'path' (a model directory): {problem}"
            raise PydanticCustomError("model_origin", message, {"problem": problem})
        if self.path is not None and self.config:
            raise PydanticCustomError("model_config", "'config' belongs to 'arch'; a model from 'path' has its own")
        return self


def check_model(spec: ModelConfig) -> PreTrainedConfig:
    """Check what can be known without weights and tokenizer, and return the resolved transformers config.

    Raises:
        ConfigError: An unknown architecture or field, a wrong type, or sizes that do not fit together.
        DataError: `path` is not a model directory.
    """
    return _read_config(spec.path) if spec.path is not None else _new_config(spec, {})


def build_model(
    spec: ModelConfig,
    *,
    vocab_size: int,
    bos_token_id: int | None,
    eos_token_id: int | None,
    pad_token_id: int | None,
    max_positions: int | None,
    seed: int,
) -> PreTrainedModel:
    """Build a causal language model with new weights: float32, in eval mode, on the CPU.

    The weights depend on the seed only; the global random state is left as it was.

    Args:
        spec: A spec with `arch`.
        vocab_size: Ids of the tokenizer; the embedding rows unless the spec asks for more.
        bos_token_id: Written to the model's config, as are the next two.
        eos_token_id: Ends a document.
        pad_token_id: None if the tokenizer has none; one that is also BOS or EOS is not written.
        max_positions: Positions the model must have; None for the architecture's default.
        seed: Seed of the weights.

    Raises:
        ConfigError: As `check_model`; or the spec contradicts the tokenizer or `max_positions`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    given = {"vocab_size": vocab_size, "bos_token_id": bos_token_id, "eos_token_id": eos_token_id}
    # The embedding of the padding id starts at zero and gets no gradient: EOS must never be it.
    given["pad_token_id"] = None if pad_token_id in (bos_token_id, eos_token_id) else pad_token_id
    if max_positions is not None:
        given["max_position_embeddings"] = max_positions
    config = _new_config(spec, given)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
            # Some sizes clash only when used: a rotary embedding of an odd head, experts fewer than are chosen.
            with torch.no_grad():
                model(input_ids=torch.zeros((1, 2), dtype=torch.long), use_cache=False)
    except (ValueError, TypeError, KeyError, IndexError, RuntimeError, AssertionError, ArithmeticError) as error:
        raise ConfigError(f"model.config: no working {spec.arch} model: {_one_line(error)}") from error
    return model


def load_model(path: str | Path, *, dtype: torch.dtype | str = "float32") -> PreTrainedModel:
    """Load a causal language model from a directory, in eval mode; the network is never asked.

    Attention is sdpa where the architecture has it, else eager; weights get `dtype`, whatever they have on disk.

    Raises:
        DataError: Not a model directory, damaged or missing weights, or no causal language model.
    """
    config = _read_config(path)
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        model: PreTrainedModel
        model, info = AutoModelForCausalLM.from_pretrained(
            Path(path),
            config=config,
            dtype=getattr(torch, dtype) if isinstance(dtype, str) else dtype,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise DataError(f"the model in '{path}' cannot be loaded: {_one_line(error)}") from error
    if missing := sorted(info["missing_keys"]):
        # transformers only logs this and fills in random numbers.
        raise DataError(
            f"the model in '{path}' lacks {len(missing)} weights of {type(model).__name__}: {', '.join(missing[:3])}",
            "is it a causal language model, saved whole?",
        )
    return model


def count_parameters(model: torch.nn.Module) -> int:
    """Return the number of parameters, tied ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def check_vocabulary(model: PreTrainedModel | PreTrainedConfig, tokenizer_size: int, where: str | Path) -> None:
    """Make sure that every id of the tokenizer in `where` has a row in the embedding.

    Raises:
        DataError: The embedding is too small; the message has both numbers and both paths.
    """
    config = getattr(model, "config", model)
    has_rows = hasattr(model, "get_input_embeddings")
    rows = model.get_input_embeddings().weight.shape[0] if has_rows else config.get_text_config().vocab_size
    if tokenizer_size > rows:
        named = f"model in '{config.name_or_path}'" if config.name_or_path else "model"
        raise DataError(
            f"the tokenizer in '{where}' has {tokenizer_size} ids, but the {named} has only {rows} embedding rows",
            "use the tokenizer the model was trained with",
        )


def check_positions(config: PreTrainedConfig, context_length: int, where: str | Path) -> None:
    """Make sure that a model has a position for every token of a block.

    Raises:
        ConfigError: The context is longer than the model's positions.
    """
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and context_length > limit:
        raise ConfigError(
            f"context_length: {context_length} is over the {limit} positions of the model in {where}",
            hint=f"--set context_length={limit}",
        )


def _read_config(path: str | Path) -> PreTrainedConfig:
    folder = existing_directory(path, "model")
    if not (folder / "config.json").is_file():
        inside = sorted(str(file.parent) for file in folder.glob("*/config.json"))
        hint = f"name one of the models in it: {', '.join(inside[:5])}" if inside else f"ls {path}"
        raise DataError(f"'{path}' is not a model directory: it holds no config.json", hint)
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise DataError(f"{folder / 'config.json'} cannot be read: {_one_line(error)}") from error
    _architecture(config.model_type, f"the model in '{path}'", DataError)
    return config


def _architecture(name: str, where: str, kind: type[UserError]) -> type[PreTrainedConfig]:
    """Return the config class of a causal architecture."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

    if name in CAUSAL:
        return CONFIG_MAPPING[name]  # type: ignore[no-any-return]
    problem = "is not a causal language model" if name in CONFIG_MAPPING else "is unknown to transformers"
    raise kind(f"{where}: architecture '{name}' {problem}{nearest(name, CAUSAL)}", "for example llama, qwen3, gpt2")


def _new_config(spec: ModelConfig, given: dict[str, Any]) -> PreTrainedConfig:
    """Return the config of a new model; `given` is what the tokenizer and the run fix, by standard names."""
    assert spec.arch is not None, "a model from a directory has its config already"
    cls = _architecture(spec.arch, "model.arch", ConfigError)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if "vocab_size" not in fields and "vocab_size" not in cls.attribute_map:
        text = getattr(cls.sub_configs.get("text_config"), "model_type", None)
        hints = f"use its text model: arch '{text}'" if text else "choose a text model, such as llama"
        raise ConfigError(f"model.arch: '{spec.arch}' is not a text-only architecture", hints)
    settings = _settings(spec, cls, fields)
    _agree(settings, given, cls)
    try:
        # A copy: transformers writes the defaults of rotary embeddings into the dictionary it is given.
        config = cls(**copy.deepcopy(settings))
    except Exception as error:
        # Any exception: the classes' own checks raise whatever comes up, wrapped by a checker of another library.
        found = re.search(r"error for field '(\w+)'", str(error))
        keys = [key for key in spec.config if found and cls.attribute_map.get(key, key) == found[1]]
        where = f"model.config.{(keys or [found[1]])[0]}" if found else "model.config"
        cause = re.sub(r"^Field '\w+' ", "", _one_line(error.__cause__ or error))
        hint = "use a tokenizer with a padding token of its own" if where.endswith(".pad_token_id") else None
        raise ConfigError(f"{where}: {cause}", hint) from error
    _check_sizes(config)
    return config


def _settings(spec: ModelConfig, cls: type[PreTrainedConfig], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the spec's settings under the config class's own names, each name and plain type checked."""
    from transformers.activations import ACT2FN

    rope = {"rope_theta", *ROPE_FIELDS} if "rope_parameters" in fields else set()
    known = (fields.keys() | cls.attribute_map.keys() | rope) - DECIDED_ELSEWHERE
    standard = {own: name for name, own in cls.attribute_map.items()}
    settings: dict[str, Any] = {}
    for key, value in spec.config.items():
        where = f"model.config.{key}"
        if key not in known:
            raise ConfigError(f"{where}: not a setting of {spec.arch}{nearest(key, known)}")
        name = cls.attribute_map.get(key, key)
        if name in settings:
            raise ConfigError(f"{where}: the same field is given under two names, '{name}' and '{standard[name]}'")
        if standard.get(name, name) in SIZES and isinstance(value, int) and value <= 0:
            raise ConfigError(f"{where}: expected at least 1, got {value}")
        if key in ACTIVATIONS and isinstance(value, str) and value not in ACT2FN:
            raise ConfigError(f"{where}: unknown activation '{value}'{nearest(value, ACT2FN)}")
        # The classes are strict about `1` where `1.0` is meant; a recipe need not be.
        is_float = name in fields and fields[name].type in (float, "float")
        settings[name] = float(value) if is_float and type(value) is int else value
    _check_rope({key: settings[key] for key in ("rope_theta", *ROPE_FIELDS) if key in settings})
    if len(settings.keys() & set(ROPE_FIELDS)) == 2:
        raise ConfigError("model.config.rope_scaling: the same field is also given as 'rope_parameters'")
    return settings


def _check_rope(settings: dict[str, Any], where: str = "model.config") -> None:
    """Check rotary settings, flat or per kind of layer: transformers takes them unchecked, or drops what is double."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, RopeParameters

    known, types = [*RopeParameters.__annotations__, "type"], [*ROPE_INIT_FUNCTIONS, "default"]
    for name, value in settings.items():
        here = f"{where}.{name}"
        if isinstance(value, dict):
            _check_rope(value, here)
            if "rope_theta" in settings and "rope_theta" in value:
                raise ConfigError(f"{here}.rope_theta: the same field is also given as '{where}.rope_theta'")
        elif name in ("rope_type", "type"):
            if value not in types:
                raise ConfigError(f"{here}: unknown type {value!r}{nearest(str(value), types)}")
        elif name not in known and "." in where.removeprefix("model."):
            raise ConfigError(f"{here}: no such setting{nearest(name, known)}")
        elif name == "rope_theta" and (isinstance(value, bool | str) or value <= 0):
            raise ConfigError(f"{here}: expected a positive number, got {value!r}")
        elif isinstance(value, str):
            raise ConfigError(f"{here}: expected a number, got {value!r}")


def _agree(settings: dict[str, Any], given: dict[str, Any], cls: type[PreTrainedConfig]) -> None:
    """Fill in what the tokenizer and the run fix; more rows or positions than needed are allowed, fewer are not."""
    names = {field.name for field in dataclasses.fields(cls)}
    needs = {"vocab_size": "the tokenizer has {} ids", "max_position_embeddings": "the context is {} tokens"}
    for key, value in given.items():
        name = cls.attribute_map.get(key, key)
        own = settings.get(name)
        if own is None:
            if name in names:  # a model without a limit of positions has no such field
                settings[name] = value
        elif key in needs and isinstance(own, int) and own < value:
            raise ConfigError(f"model.config.{name}: {own} is too small: {needs[key].format(value)}", "leave it out")
        elif key not in needs and own != value:
            raise ConfigError(f"model.config.{name}: {own} is not the tokenizer's {value}", "leave it out")


def _check_sizes(config: PreTrainedConfig) -> None:
    """Check what the classes leave to a shape error in the first forward pass."""
    sizes = [getattr(config, name, None) for name in ("hidden_size", "num_attention_heads", "num_key_value_heads")]
    hidden, heads, groups = (size if isinstance(size, int) else None for size in sizes)
    if hidden and heads and hidden % heads and getattr(config, "head_dim", None) is None:
        raise ConfigError(f"model.config: hidden size {hidden} is not a multiple of the {heads} attention heads")
    if heads and groups and heads % groups:
        where = "model.config.num_key_value_heads"
        raise ConfigError(f"{where}: {heads} attention heads are not a multiple of {groups} key-value heads")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
