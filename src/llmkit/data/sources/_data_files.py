"""The files behind a dataset that our own readers read: rows that a loader would stumble over cost only themselves."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from llmkit.data.artifacts import Corpus
from llmkit.data.sources._formats import suffix_of
from llmkit.data.sources._remote import is_url

_LOADERS = frozenset(f"datasets.packaged_modules.{name}.{name}" for name in ("json", "csv", "parquet", "arrow", "text"))
_IMMATERIAL = frozenset({"name", "version", "data_dir", "data_files", "description", "features"})


def data_files(builder: Any, place: str, split: str) -> list[str]:
    """Return paths and URLs of a split's files; none, where the dataset's own loader has to read them.

    It has to for other formats, archives and loaders with settings. Of a directory all files are returned that have a
    format of ours, also those that are not in the one format that the library would choose.

    Args:
        builder: Of the `datasets` library.
        place: Where the dataset is: a directory, or a name on the hub.
        split: The split.
    """
    if type(builder).__module__ not in _LOADERS or _has_settings(builder.config):
        return []
    files = [str(path) for path in (builder.config.data_files or {}).get(split, [])]
    if not files or not all(map(suffix_of, files)) or any("::" in path for path in files):
        return []
    folder = Path(place).expanduser() / (builder.config.data_dir or "")
    if not folder.is_dir() or any(map(is_url, files)) or _says_which(Path(place).expanduser() / Corpus.CARD):
        return files
    from datasets.data_files import DataFilesDict, get_data_patterns

    found = DataFilesDict.from_patterns(get_data_patterns(str(folder)), base_path=str(folder))
    return [path for path in map(str, found.get(split, files)) if suffix_of(path)]


def _has_settings(config: Any) -> bool:
    return any(
        getattr(config, field.name) != field.default
        for field in dataclasses.fields(config)
        if field.name not in _IMMATERIAL and field.default is not dataclasses.MISSING
    )


def _says_which(card: Path) -> bool:
    """Tell whether a card lists the files of its configurations."""
    return card.is_file() and "\nconfigs:" in card.read_text(encoding="utf-8", errors="replace")
