"""A LoRA adapter's directory, as peft writes it: it is nothing without its base, which is found and checked here.

`adapter_config.json` names the base by the path that was typed; `adapter_base.json`, which only llmkit writes, has its
digest, so that an adapter is never put on another model or on one that has changed since.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from llmkit.core.digest import canonical_json, digest_files, digest_text
from llmkit.core.errors import DataError
from llmkit.core.reading import MANIFEST_NAME, damaged, read_json

ADAPTER, RECORD = "adapter_config.json", "adapter_base.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"


def is_adapter(path: str | Path) -> bool:
    """Tell whether a directory holds an adapter alone: no whole model lies beside it."""
    folder = Path(path)
    return (folder / ADAPTER).is_file() and not (folder / CONFIG).is_file()


def peft_type(path: str | Path) -> str:
    """Return what peft calls an adapter's type, such as `LORA`.

    Raises:
        DataError: adapter_config.json is damaged.
    """
    found = read_json(Path(path) / ADAPTER, "peft_type")["peft_type"]
    return str(found)


def read_record(folder: Path) -> dict[str, Any]:
    """Return what llmkit has recorded of an adapter's base, `digest` and `config`; {} for one made elsewhere.

    Raises:
        DataError: The file is damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        return {}
    record = read_json(file, "digest", "config")
    if not isinstance(record["digest"], str) or not isinstance(record["config"], dict):
        raise damaged(file, "digest is no text, or config no object")
    return record


def base_digest(base: Path) -> str:
    """Return a digest of what decides a model's answers: its weights and its config, or the one file that it is."""
    files = [base] if base.is_file() else sorted([*base.glob("*.safetensors"), *base.glob(CONFIG)])
    found = digest_files([str(file.resolve()) for file in files])
    named = ["" if base.is_file() else file.name for file in files]  # a file may be renamed
    return digest_text(canonical_json(list(zip(named, found, strict=True))))[:32]


def base_name(folder: Path) -> str:
    """Return the base's path as the adapter has it.

    Raises:
        DataError: adapter_config.json is damaged or names none.
    """
    name = read_json(folder / ADAPTER, "base_model_name_or_path")["base_model_name_or_path"]
    if not isinstance(name, str) or not name:
        raise damaged(folder / ADAPTER, "base_model_name_or_path names no model", "write the path of its base there")
    return name


def base_of(path: str | Path) -> Path:
    """Return where an adapter's base is: the path it names, the one it was trained from, or one beside the adapter.

    Raises:
        DataError: There is none, or it has changed since the adapter was trained on it.
    """
    folder = Path(path)
    name, digest = base_name(folder), read_record(folder).get("digest")
    cached = [place] if (place := _in_cache(name)) else []
    places = [Path(name).expanduser(), *cached, *_trained_from(folder), folder.resolve().parent / Path(name).name]
    there = [place for place in places if place.exists() and place.resolve() != folder.resolve()]
    for place in there:
        if digest is None or base_digest(place) == digest:
            return place
    if there:
        raise DataError(
            f"the adapter in '{folder}' was not trained on the model that is now in '{there[0]}': its weights or its"
            f" {CONFIG} are others",
            f"restore that model, or train anew: llmkit finetune --lora --model {shlex.quote(str(there[0]))} ...",
        )
    raise _no_base(folder, name)


def tokenizer_folder(path: str | Path) -> Path:
    """Return the directory that a model's tokenizer is in: an adapter made elsewhere may leave it to its base."""
    folder = Path(path)
    return base_of(folder) if is_adapter(folder) and not (folder / TOKENIZER).is_file() else folder


def _in_cache(name: str) -> Path | None:
    from llmkit.core.hub import located

    try:
        return Path(located(name))
    except DataError:
        return None


def _trained_from(folder: Path) -> list[Path]:
    """Return the base's absolute path at training, as the manifest has it."""
    try:
        inputs = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))["inputs"]
        return [Path(item["path"]) for item in inputs if item["role"] == "model"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _no_base(folder: Path, name: str) -> DataError:
    parts = name.split("/")
    if len(parts) == 2 and all(parts) and not Path(parts[0]).exists():  # as hubs name models: ORG/NAME
        hint = f"if it is the hub's: hf download {shlex.quote(name)} --local-dir {shlex.quote(name)}"
    else:
        place = [*_trained_from(folder), folder.resolve().parent / Path(name).name][0]  # found from any folder
        hint = f"put it back, or link it: ln -s WHERE_IT_IS {shlex.quote(str(place))}"
    return DataError(f"the adapter in '{folder}' is nothing without its base, and '{name}' is not there", hint)
