"""peft's layers in a model: put in, filled from a directory, merged. All that llmkit asks of peft's inside is here."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.adapter import ADAPTER, RECORD, WEIGHTS
from llmkit.core.durable import write_json
from llmkit.core.errors import ConfigError, DataError, UserError
from llmkit.core.reading import damaged, read_json, reading
from llmkit.modeling.architecture import one_line

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from llmkit.modeling.adapters import Base

NAME = "default"
PREFIX = "base_model.model."
"""What `PeftModel` puts before the model's own names."""
TUNER = "_llmkit_tuner"
OWN = ("lora_", "ia3_", "modules_to_save", "trainable_tokens_delta")
"""In the names of what an adapter brings along."""


BITS = "bitsandbytes"


@contextmanager
def lean() -> Iterator[None]:
    """Import peft, and put its layers in, without bitsandbytes, which it imports wherever that is installed.

    With it come PyTorch's compiler and kernels: a second of the first ten, for layers that are never here, since those
    in few bits are llmkit's own (quantized.py). Who has imported it, does want it.
    """
    if BITS in sys.modules:
        yield
        return
    sys.modules[BITS] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        yield
    finally:
        del sys.modules[BITS]
        from peft import import_utils

        for known in (import_utils.is_bnb_available, import_utils.is_bnb_4bit_available):
            known.cache_clear()


def attach(model: PreTrainedModel, config: Any) -> None:
    """Put peft's layers into a model and freeze the rest; the model stays of its own class.

    Raises:
        ConfigError: peft cannot, in its words.
    """
    with lean():
        from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    try:
        with lean(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of layers that are not ours to choose
            tuner = PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type](model, config, NAME)
    except (ValueError, NotImplementedError, TypeError) as error:
        raise ConfigError(f"adapter: peft cannot adapt a {type(model).__name__} so: {one_line(error)}") from error
    vars(model)[TUNER] = tuner  # past `nn.Module`, of which it would become a part, in a circle


def tuner_of(model: PreTrainedModel) -> Any:
    """Return what `attach` has made."""
    return vars(model)[TUNER]


def peft_config(model: PreTrainedModel) -> Any:
    """Return the config that a model's layers were made by."""
    return tuner_of(model).peft_config[NAME]


def adapter_state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return what is saved, by peft's names without its prefix."""
    from peft import get_peft_model_state_dict

    found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return found


def merge(model: PreTrainedModel) -> None:
    """Take peft's layers out again, added to the weights."""
    from peft.utils import ModulesToSaveWrapper

    for name, module in list(model.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):  # peft's (IA)^3 unpacks only those that are one layer
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.modules_to_save[NAME])
    tuner_of(model).merge_and_unload()
    del vars(model)[TUNER]
    model.requires_grad_(requires_grad=True)


def write_adapter(
    directory: Path, config: Any, tensors: Mapping[str, torch.Tensor], model: PreTrainedModel, base: Base
) -> None:
    """Write adapter_config.json and adapter_model.safetensors, as peft does, and what llmkit knows of the base.

    A config.json would make transformers take the directory for a whole model: the model's is in the record.

    Args:
        directory: Where to.
        config: peft's.
        tensors: What was trained, by peft's names.
        model: The wrapped model.
        base: What it was wrapped as.
    """
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    config = copy.copy(config)
    config.base_model_name_or_path, config.inference_mode = base.path, True
    for name, value in vars(config).items():
        if isinstance(value, set):  # which peft would write in another order every time
            setattr(config, name, sorted(value))
    config.save_pretrained(str(directory))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / WEIGHTS,
              metadata={"format": "pt"})  # fmt: skip
    own = {**model.config.to_diff_dict(), "architectures": [type(model).__name__]}
    own.pop("_name_or_path", None)
    write_json(directory / RECORD, {"digest": base.digest, "config": own})
    if model.can_generate():
        model.generation_config.save_pretrained(directory)


def read_adapter(folder: Path) -> Any:
    """Read adapter_config.json as peft does.

    Raises:
        DataError: It is damaged.
    """
    with lean():
        from peft import PeftConfig

    file = folder / ADAPTER
    read_json(file, "peft_type")
    with reading(file), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = PeftConfig.from_pretrained(str(folder))
        for name in ("r", "num_virtual_tokens"):
            value = getattr(config, name, 1)
            if type(value) is not int or value < 1:
                raise ValueError(f"{name}: expected at least 1, got {value!r}")
    return config


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read adapter_model.safetensors; names have no prefix.

    Raises:
        DataError: It is missing, damaged or pickled.
    """
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    if not file.is_file() and (pickled := sorted(folder.glob("adapter_model.bin"))):
        raise DataError(
            f"the adapter in '{folder}' is pickled ({pickled[0].name}), and reading a pickle can run any code",
            "where it may, load it with peft and save it again: it writes safetensors",
        )
    with reading(file):
        return {name.removeprefix(PREFIX): tensor for name, tensor in load_file(file).items()}


def rows_needed(config: Any, tensors: dict[str, torch.Tensor]) -> int:
    """Return the rows that a base's embedding must have: those of added tokens are the adapter's own."""
    indices = getattr(config, "trainable_token_indices", None) or []
    lists = indices.values() if isinstance(indices, dict) else [indices]
    found = [max(rows) + 1 for rows in lists if rows]
    found += [len(tensor) for name, tensor in tensors.items() if name.endswith(("embed_tokens.weight", "wte.weight"))]
    return max(found, default=0)


def load(model: PreTrainedModel, folder: Path, put_in: Callable[[PreTrainedModel, Any], None] = attach) -> None:
    """Wrap a base as a directory's adapter_config.json says, and fill in the weights; in eval mode.

    Args:
        model: The base.
        folder: The directory.
        put_in: Puts the layers in, given the config.

    Raises:
        DataError: They are damaged, or of another base.
    """
    import torch
    from peft import set_peft_model_state_dict

    config, tensors = read_adapter(folder), read_weights(folder)
    where = f"the adapter in '{folder}' is not of this base"
    hint = f"base_model_name_or_path in {folder / ADAPTER} names it"
    try:
        with torch.random.fork_rng(devices=[]):
            put_in(model, config)
        result: Any = set_peft_model_state_dict(model, tensors)
    except UserError as error:
        raise DataError(f"{where}: {error.message}", hint) from error
    except KeyError as error:
        raise damaged(folder / WEIGHTS, f"it lacks {error}", hint) from error
    except RuntimeError as error:  # shapes; torch lists all that differ
        raise DataError(f"{where}: {one_line(error)}", hint) from error
    if result.unexpected_keys:  # before what is missing: of another class's base, both are, under other names
        raise DataError(f"{where}: it has no {result.unexpected_keys[0]}", hint)
    filled = {tensor.data_ptr() for name, tensor in model.state_dict().items() if name not in result.missing_keys}
    for name, parameter in model.named_parameters():
        if any(word in name for word in OWN) and parameter.data_ptr() not in filled:
            raise damaged(folder / WEIGHTS, f"it lacks {name}", hint)
    model.eval()
