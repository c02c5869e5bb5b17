"""A model from the directory of an adapter: its base is found, checked and loaded, and the adapter merged into it.

Where a base is there already, an adapter is put beside its weights, which stay as they are.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import base_of, is_adapter, peft_type, read_record
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.adapters import Adapter, adapter_of
from llmkit.modeling.adapters._peft import read_adapter, read_weights, rows_needed
from llmkit.modeling.heads import Head, heads
from llmkit.modeling.loaded import loading
from llmkit.modeling.spans import SETTINGS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def adapted_config(folder: Path) -> PreTrainedConfig:
    """Return the config of the model that an adapter makes of its base: with its labels and its rows.

    Raises:
        DataError: The base is missing or has changed, or the adapter is damaged or of an unknown type.
    """
    from transformers import AutoConfig

    from llmkit.modeling.load import read_config

    member_of(folder)
    adapter, base = read_adapter(folder), read_config(base_of(folder))
    record = read_record(folder)
    if record:
        values = {**record["config"]}
        with loading(folder):
            config = AutoConfig.for_model(values.pop("model_type"), **values)
    else:
        config = base
        _configure(config, adapter.task_type, folder)
    config._name_or_path = str(folder)
    return config


def member_of(folder: Path) -> Adapter:
    """Return the kind of adapter that a directory holds.

    Raises:
        DataError: llmkit has none of that type.
    """
    kind = peft_type(folder)
    found = adapter_of(kind)
    if found is None:
        raise DataError(
            f"the adapter in '{folder}' is of a type that llmkit does not know: {kind}",
            "merge it in Python: PeftModel.from_pretrained(base, DIR).merge_and_unload().save_pretrained(MERGED)",
        )
    return found


def check_merges(path: str | Path) -> None:
    """Make sure that a plain model can be made of what is in a directory.

    Raises:
        ConfigError: It is an adapter of virtual tokens.
    """
    if is_adapter(path) and not (kind := member_of(Path(path))).merges:
        raise ConfigError(
            f"model: {path} is an adapter of the kind {kind.type_name}: its virtual tokens are no weights of a model,"
            " and cannot be merged",
            "llmkit eval and predict take the directory as it is; a model of its own comes of training with --lora",
        )


def _configure(config: PreTrainedConfig, task: str | None, folder: Path) -> None:
    """Write what an adapter made elsewhere says of its head: the class, and how many labels there are."""
    tensors = read_weights(folder)
    for kind in heads():
        names = kind.architectures().get(config.model_type)
        if task is None or kind.peft_task != task or names is None:
            continue
        config.architectures = sorted(names)
        last = [tensor for name, tensor in tensors.items() if tensor.ndim == 2 and kind().may_be_new(name)]
        if last:
            config.num_labels = len(last[-1])


def load_adapted(folder: Path, head: Head, seed: int, pad_token_id: int | None) -> PreTrainedModel:
    """Load the base of an adapter in float32, and merge the adapter into it; virtual tokens stay before its rows.

    Args:
        folder: The adapter's.
        head: What stands on the model, by `adapted_config`.
        seed: Seed of what is overwritten.
        pad_token_id: As `load_model` has it.

    Raises:
        DataError: The base is missing or has changed, or the adapter is not of it.
    """
    from llmkit.modeling.load import grow_embeddings, load_model

    config = adapted_config(folder)
    pads = config.pad_token_id if pad_token_id is None and head.answer != "tokens" else pad_token_id
    tensors = read_weights(folder)
    model = load_model(base_of(folder), head, seed=seed, pad_token_id=pads)
    _check_head(model, head, folder, tensors)
    grow_embeddings(model, rows_needed(read_adapter(folder), tensors))
    kind = member_of(folder)
    kind.load(model, folder)
    kind.merge(model)
    return _settled(model, config, folder)


def keeps_vocabulary(folder: Path) -> bool:
    """Tell whether an adapter has no rows of the embedding of its own.

    Raises:
        DataError: It is damaged.
    """
    adapter = read_adapter(folder)
    return not getattr(adapter, "trainable_token_indices", None) and not rows_needed(adapter, read_weights(folder))


def stand_on(base: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """Return the model that an adapter makes of a loaded base: of the same memory, with the adapter beside it.

    Args:
        base: The base, with the head that the adapter is for; it stays as it is.
        folder: The adapter's, see `keeps_vocabulary`.

    Raises:
        DataError: The adapter is not of this base, or damaged.
    """
    from llmkit.modeling.heads import head_of

    config = adapted_config(folder)
    head, model = head_of(config), twin(base)
    _check_head(model, head, folder, read_weights(folder))
    member_of(folder).load(model, folder)
    return _settled(model, config, folder)


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model that has another's weights from the same memory.

    Of a head that may be new it has a copy: an adapter brings its own.
    """
    from torch import nn

    from llmkit.modeling.heads import head_of

    head = head_of(model.config)
    # Each weight an object of its own: what replaces its tensor, as peft does for some ways to begin, replaces it here.
    memory: dict[int, Any] = {
        id(weight): nn.Parameter(weight.detach(), requires_grad=False)
        for name, weight in model.named_parameters()
        if not head.may_be_new(name)
    }
    return copy.deepcopy(model, memory)


def _check_head(model: PreTrainedModel, head: Head, folder: Path, tensors: dict[str, Any]) -> None:
    if left := _left_new(model, head, base_of(folder), tensors):
        raise DataError(
            f"the adapter in '{folder}' has no weights for {left[0]}, and its base has none either",
            "the head was not saved: train it again with modules_to_save, or with llmkit finetune --lora",
        )


def _settled(model: PreTrainedModel, config: PreTrainedConfig, folder: Path) -> PreTrainedModel:
    """Give a model what its adapter says beside weights."""
    model.config.name_or_path = str(folder)
    if (asked := getattr(config, SETTINGS, None)) is not None:  # the base's config knows nothing of it
        setattr(model.config, SETTINGS, asked)
    if model.can_generate() and (folder / "generation_config.json").is_file():
        from transformers import GenerationConfig

        with loading(folder):
            model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model


def _left_new(model: PreTrainedModel, head: Head, base: Path, tensors: dict[str, Any]) -> list[str]:
    """Return the weights of the head that are neither in the base nor in the adapter."""
    from llmkit.modeling.directory import has_weights, read_tensors

    there = {*tensors, *(read_tensors(base).shapes if has_weights(base) else ())}
    ends = tuple(f".{name}" for name in there)
    new = [name for name, _ in model.named_parameters() if head.may_be_new(name)]
    return [name for name in new if not f".{name}".endswith(ends) and not any(t.endswith(f".{name}") for t in there)]
