"""Pickled weights, where the user allows them: read as tensors alone, and written anew before anything loads them.

A pickle is a program. `torch.load(weights_only=True)` runs none of it but the making of tensors, and refuses the rest.
"""

from __future__ import annotations

import pickle
from pathlib import Path

from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.core.reading import read_json, reading
from llmkit.modeling.directory import INDEX, WEIGHTS

PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"


def unpickled(folder: Path, scratch: Path) -> Path:
    """Return a model's directory whose weights are in safetensors: the same, where they are, else one of links.

    Args:
        folder: The model's directory.
        scratch: Where new files may go: as many bytes as the weights have.

    Raises:
        DataError: A file is damaged, or holds more than tensors.
    """
    if not folder.is_dir() or (folder / WEIGHTS).exists() or (folder / INDEX).exists():
        return folder
    if (folder / PICKLE_INDEX).is_file():
        names = sorted(set(read_json(folder / PICKLE_INDEX, "weight_map")["weight_map"].values()))
    else:
        names = [PICKLE] if (folder / PICKLE).is_file() else []
    if not names:
        return folder
    made = scratch / "unpickled"
    made.mkdir()
    for entry in folder.iterdir():
        if entry.suffix != ".bin" and entry.name != PICKLE_INDEX:
            (made / entry.name).symlink_to(entry.resolve())
    places: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        target = WEIGHTS if len(names) == 1 else f"model-{number:05}-of-{len(names):05}.safetensors"
        places |= dict.fromkeys(_written(folder / name, made / target), target)
    if len(names) > 1:
        (made / INDEX).write_text(dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    return made


def _written(file: Path, target: Path) -> list[str]:
    import torch
    from safetensors.torch import save_file

    try:
        with reading(file):
            found = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, DataError) as error:
        if "weights_only" not in str(error) and "Unsupported" not in str(error):
            raise
        raise DataError(
            f"{file} holds more than tensors: reading it would run code", "get the model in safetensors"
        ) from error
    if not isinstance(found, dict) or not all(torch.is_tensor(tensor) for tensor in found.values()):
        raise DataError(f"{file} holds no weights by their names", "get the model in safetensors")
    # Of tied weights, which are one tensor in a pickle, safetensors takes copies alone.
    save_file({name: tensor.contiguous().clone() for name, tensor in found.items()}, target, {"format": "pt"})
    return list(found)
