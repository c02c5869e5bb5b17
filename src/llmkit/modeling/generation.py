"""Settings of generation that a base model comes with, and that transformers loads but refuses to save."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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


def _refused(generation: Any) -> list[str]:
    """Return the settings that saving would be refused for, of those that have a value."""
    try:
        generation.validate(strict=True)
    except ValueError as error:
        named = re.findall(r"^- `(\w+)`:", str(error), re.MULTILINE)
        return [name for name in named if getattr(generation, name, None) is not None]
    return []
