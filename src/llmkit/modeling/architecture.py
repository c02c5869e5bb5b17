"""Architectures of transformers: which exist for a kind of training, and whether settings are theirs and fit together.

transformers takes unknown fields, unknown kinds of rotary embeddings and sizes that clash without a word.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, UserError, nearest
from llmkit.core.machine import raise_limit
from llmkit.modeling.heads import Head, heads

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Standard names of what must be at least 1, whatever an architecture calls it.
SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "max_position_embeddings", "embedding_size",
)  # fmt: skip
ROPE_FIELDS = ("rope_parameters", "rope_scaling")  # today's name and the one older configs have
ACTIVATIONS = ("hidden_act", "activation_function", "hidden_activation")
DECIDED_ELSEWHERE = {"dtype", "architectures", "transformers_version"}  # fields of every config
POSITIONS_AFTER_PADDING = {
    "roberta", "roberta-prelayernorm", "camembert", "xlm-roberta", "xlm-roberta-xl", "data2vec-text", "ibert", "xmod",
    "longformer", "mpnet",
}  # fmt: skip
"""Architectures that number positions from the padding id + 1 on, so that their table needs as many rows more."""


def config_class(name: str, where: str, kind: type[UserError], head: Head | None) -> type[PreTrainedConfig]:
    """Return the config class of an architecture.

    Args:
        name: Its `model_type`.
        where: Start of the message.
        kind: Error to raise if it is unknown, or cannot have the head (None: any head).
        head: What is to stand on it.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    known = {arch for one in ([head] if head else heads()) for arch in one.architectures()}
    if name in known:
        return CONFIG_MAPPING[name]  # type: ignore[no-any-return]
    problem = "is unknown to transformers"
    if name in CONFIG_MAPPING:
        problem = head.refusal if head else "is not a language model"
    raise kind(
        f"{where}: architecture '{name}' {problem}{nearest(name, known)}",
        f"for example {(head or heads()[0]).examples}",
    )


def new_config(arch: str, given_settings: dict[str, Any], needs: dict[str, Any], head: Head) -> PreTrainedConfig:
    """Return the config of a new model.

    Args:
        arch: Its `model_type`.
        given_settings: The recipe's settings, checked by name, plain type and size.
        needs: What the tokenizer and the run fix, by standard names: `vocab_size`, ids, `max_position_embeddings`.
        head: What is to stand on it.

    Raises:
        ConfigError: An unknown architecture or setting, one of a wrong type, or settings that contradict each other.
    """
    cls = config_class(arch, "model.arch", ConfigError, head)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if "vocab_size" not in fields and "vocab_size" not in cls.attribute_map:
        text = getattr(cls.sub_configs.get("text_config"), "model_type", None)
        hints = f"use its text model: arch '{text}'" if text else "choose a text model, such as llama"
        raise ConfigError(f"model.arch: '{arch}' is not a text-only architecture", hints)
    settings = _settings(arch, given_settings, cls, fields)
    _agree(settings, _in_its_terms(arch, needs), cls)
    try:
        # A copy: transformers writes the defaults of rotary embeddings into the dictionary it is given.
        config = cls(**copy.deepcopy(settings))
    except Exception as error:
        raise_limit(error)
        # Any exception: the classes' own checks raise whatever comes up, wrapped by a checker of another library.
        found = re.search(r"error for field '(\w+)'", str(error))
        keys = [key for key in given_settings if found and cls.attribute_map.get(key, key) == found[1]]
        where = f"model.config.{(keys or [found[1]])[0]}" if found else "model.config"
        cause = re.sub(r"^Field '\w+' ", "", one_line(error.__cause__ or error))
        hint = "use a tokenizer with a padding token of its own" if where.endswith(".pad_token_id") else None
        raise ConfigError(f"{where}: {cause}", hint) from error
    _check_sizes(config)
    return config


def position_limit(config: PreTrainedConfig) -> int | None:
    """Return how many positions a model has, None if it has no limit (as T5, whose positions are relative)."""
    limit = None if is_boundless(config) else getattr(config, "max_position_embeddings", None)
    if limit is not None:
        limit -= getattr(config, "virtual_tokens", 0)  # those of an adapter, before every row
    if limit is None or config.model_type not in POSITIONS_AFTER_PADDING:
        return limit
    return int(limit) - _before_positions(config.model_type, config.pad_token_id)


def is_boundless(config: PreTrainedConfig) -> bool:
    """Tell whether a config class itself says -1 positions, for "any number", as that of XLNet does."""
    said = getattr(type(config), "max_position_embeddings", None)
    return isinstance(said, property) and config.max_position_embeddings == -1


def one_line(error: BaseException) -> str:
    """Return an error's text, or its type if it has none, on one line of at most 300 characters."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def _before_positions(arch: str, pad_token_id: int | None) -> int:
    if arch == "mpnet":  # it takes 1 for the padding id, whatever the config says
        return 2
    return 0 if pad_token_id is None else pad_token_id + 1


def _in_its_terms(arch: str, needs: dict[str, Any]) -> dict[str, Any]:
    if arch not in POSITIONS_AFTER_PADDING or "max_position_embeddings" not in needs:
        return needs
    offset = _before_positions(arch, needs.get("pad_token_id"))
    return {**needs, "max_position_embeddings": needs["max_position_embeddings"] + offset}


def _settings(arch: str, given: dict[str, Any], cls: type[PreTrainedConfig], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe's settings under the config class's own names, each name and plain type checked."""
    from transformers.activations import ACT2FN

    rope = {"rope_theta", *ROPE_FIELDS} if "rope_parameters" in fields else set()
    known = (fields.keys() | cls.attribute_map.keys() | rope) - DECIDED_ELSEWHERE
    standard = {own: name for name, own in cls.attribute_map.items()}
    settings: dict[str, Any] = {}
    for key, value in given.items():
        where = f"model.config.{key}"
        if key not in known:
            raise ConfigError(f"{where}: not a setting of {arch}{nearest(key, known)}")
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
