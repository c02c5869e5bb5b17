"""Settings of generation: those that transformers refuses to save, and those of a model that makes texts of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_TASK = "sequence_to_sequence"


def mend_generation(model: PreTrainedModel) -> list[str]:
    """Take out what could not be saved with a model; return what that was: `temperature 0.7`.

    Published models have settings that do nothing beside others, such as `temperature` with `do_sample: false`: they
    load with a warning, and saving is refused as soon as anything in the generation config is changed. What is left
    generates as before. A model that does not generate may have such settings in its config.json.
    """
    config: Any = model.config
    found = {name: value for name, value in config._get_generation_parameters().items() if name in vars(config)}
    for name in found:
        delattr(config, name)
    generation: Any = model.generation_config if model.can_generate() else None
    while generation is not None and (names := _refused(generation)):
        found |= {name: getattr(generation, name) for name in names}
        for name in names:
            setattr(generation, name, None)
    return [f"{name} {value}" for name, value in found.items()]


def check_ends(model: PreTrainedModel, where: str | Path) -> None:
    """Make sure that a model can write the tokens that it stops at.

    Raises:
        DataError: There is one that it has no row for: nobody would ever see it stop there.
    """
    named: Any = model.generation_config.eos_token_id if model.can_generate() else None
    ends = named if isinstance(named, list) else [] if named is None else [named]
    rows = model.config.get_text_config().vocab_size
    if beyond := [end for end in ends if not 0 <= end < rows]:
        raise DataError(
            f"the model in '{where}' stops writing at the token {beyond[0]}, and has {rows:,}, numbered from 0",
            "set eos_token_id in its generation_config.json",
        )


def _refused(generation: Any) -> list[str]:
    """Return the settings that saving would be refused for, of those that have a value."""
    try:
        generation.validate(strict=True)
    except ValueError as error:
        named = re.findall(r"^- `(\w+)`:", str(error), re.MULTILINE)
        return [name for name in named if getattr(generation, name, None) is not None]
    return []


def task_of(config: PreTrainedConfig) -> dict[str, Any]:
    """Return what a model's config says of the task from texts to texts that it was trained for, `prefix` or `prompt`.

    It stands in `task_specific_params`, as in the configs of T5's and BART's authors.
    """
    tasks = getattr(config, "task_specific_params", None)
    found = tasks.get(_TASK) if isinstance(tasks, dict) else None
    return dict(found) if isinstance(found, dict) else {}


def asked_by(config: PreTrainedConfig) -> str | None:
    """Return how a model was trained to be asked for a text to be made of another, `translate: {source}`, if known."""
    task = task_of(config)
    prompt, prefix = task.get("prompt"), task.get("prefix")
    return str(prompt) if prompt else f"{prefix}{{source}}" if prefix else None


def note_task(config: PreTrainedConfig, **facts: Any) -> None:
    """Write to a config what `task_of` returns; what others have written beside it stays."""
    tasks = getattr(config, "task_specific_params", None)
    config.task_specific_params = {**(tasks if isinstance(tasks, dict) else {}), _TASK: facts}


def prepare_writing(model: PreTrainedModel, *, starts: Sequence[int], ends: Sequence[int], most: int) -> list[str]:
    """Make the generation config of an encoder-decoder what it is trained for; return what was changed, in words.

    Args:
        model: The model.
        starts: The first id of each target, where all begin with one; else empty.
        ends: Ids at which generation stops.
        most: Tokens of the longest target.

    Raises:
        DataError: The decoder has nothing to start from.
    """
    config, generation, changed = model.config, model.generation_config, []
    start = getattr(config, "decoder_start_token_id", None)
    rows = int(model.get_input_embeddings().weight.shape[0])
    if start is None or not 0 <= start < rows:
        raise DataError(
            f"the model's config says that the decoder starts from the token {start}, of {rows:,}",
            'set "decoder_start_token_id" in its config.json, to the padding token for most models',
        )
    generation.decoder_start_token_id = start
    for name, allowed in (("forced_bos_token_id", starts), ("forced_eos_token_id", ends)):
        forced = getattr(generation, name, None)
        if forced is not None and forced not in allowed:
            changed.append(f"{name} {forced}")
            setattr(generation, name, None)
    generation.max_new_tokens, generation.max_length = None, most + 1  # the token that it starts from is counted
    if generation.min_length and generation.min_length > 0:
        changed.append(f"min_length {generation.min_length}")
        generation.min_length = 0
    return changed


def decoder_inputs(model: PreTrainedModel, labels: torch.Tensor) -> torch.Tensor:
    """Return what a decoder reads to predict labels, `[rows, time]`: what it starts from, then all but the last.

    Args:
        model: The model.
        labels: Ids, negative where nothing is predicted.
    """
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        before: torch.Tensor = model.prepare_decoder_input_ids_from_labels(labels)
        return before
    shifted = labels.roll(1, 1)  # M2M-100's class does so within its own loss alone
    shifted[:, 0] = model.config.decoder_start_token_id
    return shifted.masked_fill(shifted < 0, model.config.pad_token_id)
