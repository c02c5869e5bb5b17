"""Models named as the Hugging Face hub names them: found in its cache on this machine, which nothing here fills."""

from __future__ import annotations

import os
from pathlib import Path

from llmkit.core.errors import DataError
from llmkit.core.found import hub_name

MAIN = "main"


def located(model: str | Path, role: str = "model") -> str:
    """Return where a model is: a path or an address as it is, its snapshot of a hub's name (`ORG/NAME[@REVISION]`).

    The snapshot's folder is named after the revision, so that lineage has it.

    Raises:
        DataError: It looks like a name on the hub, and is neither a path nor in the cache.
    """
    text = str(model)
    name, _, revision = text.partition("@")
    if Path(text).exists() or (known := hub_name(name)) is None or "/" not in known:
        return text
    if (found := cached(known, revision or MAIN)) is not None:
        return str(found)
    of = f" --revision {revision}" if revision else ""
    raise DataError(
        f"{role}: no such file or directory: {text}, and no such model in the cache of the Hugging Face hub",
        f"if it is the hub's: hf download {known}{of}, then the same command",
    )


def cached(name: str, revision: str) -> Path | None:
    """Return the folder of a model's snapshot in the hub's cache; None where there is none of that revision."""
    folder = cache() / f"models--{name.replace('/', '--')}"
    ref = folder / "refs" / revision
    commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else revision
    found = folder / "snapshots" / commit
    return found if commit and found.is_dir() else None


def cache() -> Path:
    """Return the hub's cache on this machine, as its own library finds it."""
    if folder := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("HF_HOME") or f"{base}/huggingface").expanduser() / "hub"
