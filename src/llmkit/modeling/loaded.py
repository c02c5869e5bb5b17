"""What comes of loading a model: words for what fails, and what transformers only logs or finds out later."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import DataError, UserError
from llmkit.core.machine import limit_of, raise_limit
from llmkit.modeling.architecture import one_line
from llmkit.modeling.directory import check_fits, check_layers, has_weights, is_weight, read_tensors
from llmkit.modeling.heads import Head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


@contextmanager
def loading(path: str | Path) -> Iterator[None]:
    """Turn whatever a config makes transformers raise into words."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # Any exception: settings of a wrong kind fail wherever the classes of an architecture use them.
        if isinstance(error, OSError) and limit_of(error) is not None:
            raise
        raise_limit(error)
        words = f"{type(error).__name__}: {error}" if isinstance(error, KeyError | AttributeError) else one_line(error)
        raise DataError(f"the model in '{path}' cannot be loaded: {words}", f"ls -l {path}") from error


def weightless(folder: Path, config: PreTrainedConfig, auto_model: Any) -> PreTrainedModel:
    """Return a directory's model without memory for its weights.

    Raises:
        DataError: Its config describes far more weights than are there.
    """
    import torch

    tensors = read_tensors(folder) if has_weights(folder) else None
    values = config.to_dict()
    if tensors is not None:
        check_layers(folder, tensors, values)
    with torch.device("meta"):
        model: PreTrainedModel = auto_model.from_config(copy.deepcopy(config), dtype=torch.float32)
    if tensors is not None:
        check_fits(folder, tensors, values, sum(parameter.numel() for parameter in model.parameters()))
    return model


def try_out(model: PreTrainedModel, head: Head) -> None:
    """Run two tokens: some sizes clash only then, as an odd head under rotation, or experts fewer than are chosen."""
    import torch

    if any(getattr(module, "attention_type", "") == "block_sparse" for module in model.modules()):
        return  # so short a text would switch BigBird to full attention for good
    more, ids = {}, torch.zeros((1, 2), dtype=torch.long)
    if model.config.is_encoder_decoder and head.answer in ("tokens", "vector"):
        more = {"decoder_input_ids": ids}
    elif model.config.is_encoder_decoder:
        ids += model.config.eos_token_id or 0  # a label of the whole text is read where it ends
    with torch.no_grad():
        model(input_ids=ids, **more)


def check_left_over(info: dict[str, Any], path: str | Path) -> None:
    """Refuse weights of layers that the model has no place for: without them it would answer otherwise."""
    if left := sorted(filter(is_weight, info["unexpected_keys"])):
        raise DataError(
            f"the model in '{path}' cannot be loaded: by its config.json it has no place for {len(left)} weights that"
            f" are there: {', '.join(left[:3])}",
            "was config.json changed?",
        )


def check_weights(model: PreTrainedModel, info: dict[str, Any], head: Head | None, path: str | Path) -> None:
    """Refuse weights that transformers made up, which it only logs, unless the head may have new ones."""

    def made_up(names: Iterable[str]) -> list[str]:
        return sorted(name for name in names if head is None or not head.may_be_new(name))

    kind, saved = type(model).__name__, ", ".join(model.config.architectures or ["a model of unknown class"])
    shapes = {name: (list(there), list(wanted)) for name, there, wanted in info["mismatched_keys"]}
    if missing := made_up(info["missing_keys"]):
        left = sorted(filter(is_weight, info["unexpected_keys"]))  # then it is whole, and another class's
        beside = f", and holds {len(left)} that it has no place for: {', '.join(left[:3])}" if left else ""
        raise DataError(
            f"the model in '{path}' lacks {len(missing)} weights of {kind}: {', '.join(missing[:3])}{beside}",
            f"its config.json says {saved}; are the weights of another class?"
            if left
            else f"it was saved as {saved}; is it saved whole?",
        )
    if other := made_up(shapes):
        there, wanted = shapes[other[0]]
        raise DataError(
            f"the model in '{path}' cannot be loaded: {other[0]} is {there}, and {wanted} by its config.json",
            f"{len(other)} weights of {kind} have other shapes; was config.json changed?",
        )
