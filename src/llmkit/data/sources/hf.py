"""Source "hf": a dataset of the Hugging Face hub, or a local directory that `datasets` loads, streamed or in full.

Directories written by `save_to_disk` are opened where they lie; everything else goes through `load_dataset`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.digest import canonical_json, digest_files, digest_text
from llmkit.core.errors import DataError, UserError, nearest
from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, RawFile, Record, Span
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._rows import plain
from llmkit.data.sources._tabular import Tabular

T = TypeVar("T")
UNKNOWN_BYTES = 64 * 2**20
"""Taken for the size of a shard where the hub does not tell it: it serves progress and the cutting of tasks."""


class Hf(Tabular):
    """Read a dataset by hub name or local path; each shard of a split is a file, each row a document.

    Columns of images, audio and video are left out. What identifies the input is the revision on the hub, the contents
    of local data files, or the fingerprint that `save_to_disk` wrote.
    """

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """Name on the hub (`user/dataset`) or directory."""

    name: str | None = None
    """Configuration of the dataset, where it has several."""

    split: str = "train"
    """Split to read; several are joined by `+`."""

    data_dir: str | None = None
    """Directory within the dataset."""

    revision: str | None = None
    """Branch, tag or commit on the hub."""

    streaming: bool = True
    """Read shards over the network as they are needed, or download and prepare the whole dataset first. Rows are then
    numbered by split instead of by shard, so ids differ."""

    def root(self) -> str:
        """Return the absolute path of a directory, or `hf://datasets/NAME`."""
        place = Path(self.path).expanduser()
        return str(place.absolute()) if place.is_dir() else f"hf://datasets/{self.path}"

    def files(self) -> list[RawFile]:
        """List the shards of the splits as files, named `train-00000-of-00002`.

        Raises:
            DataError: There is no such dataset, configuration or split, or it cannot be reached.
        """
        found = []
        for split in self.split.split("+"):
            data = self._data(split)
            count = data.num_shards if self._streams() else 1
            num_bytes, digest = self._measure(split, data, count)
            for shard in range(count):
                name = f"{split}-{shard:05}-of-{count:05}"
                identity = digest_text(canonical_json([self.name, name, digest]))
                found.append(RawFile(f"{self.root()}/{name}", name, num_bytes, identity))
        return found

    def columns_of(self, file: RawFile) -> Columns:  # noqa: ARG002 - the same for all shards
        """Return what is read of the rows; the source is named like the dataset."""
        return Columns(self.text_field, self.row_kind(), self.path.rstrip("/").rpartition("/")[2])

    def records(self, file: RawFile, span: Span | None, columns: Columns) -> Iterator[Record | Broken]:
        """Yield the rows of one shard. Where the dataset breaks off, the rest of the shard is one `Broken`."""
        match = re.fullmatch(r"(.+)-(\d+)-of-(\d+)", file.name)
        assert match is not None
        data = self._data(match[1])
        if self._streams():
            data = data.shard(num_shards=int(match[3]), index=int(match[2]))
        elif span is not None and span.stop is not None:
            data = data.select(range(span.start, span.stop))
        # Of text, such columns are no more than meta, and stay the numbers that they are.
        named = class_names(data) if self.row is not None else {}
        row = span.row if span else 0
        rows = iter(_without_media(data))
        while True:
            try:
                value = next(rows, None)
            except Exception as error:  # noqa: BLE001 - whatever the loader of some format raises
                yield Broken(row, f"the dataset breaks off here: {_line(error)}")
                return
            if value is None:
                return
            try:
                raw = plain(value)
                yield columns.record(row, {**raw, **with_names(value, named)} if named else raw)
            except RowError as error:
                yield Broken(row, str(error), excerpt=ascii(value)[:200])
            row += 1

    def spans(self, file: RawFile, num_bytes: int) -> list[Span]:
        """Cut a split that is on disk at rows; the shards of a stream are one span each."""
        if self._streams() or file.num_bytes <= num_bytes:
            return super().spans(file, num_bytes)
        num_rows = self._data(file.name.rpartition("-of-")[0].rpartition("-")[0]).num_rows
        step = max(1, num_rows * num_bytes // file.num_bytes)
        cuts = [*range(0, num_rows, step), num_rows]
        return [
            Span(start, stop, start, num_bytes=file.num_bytes * (stop - start) // num_rows)
            for start, stop in pairwise(cuts)
        ]

    def _streams(self) -> bool:
        return self.streaming and not _is_saved(self.path)

    def _data(self, split: str) -> Any:
        return _open(self.path, self.name, self.data_dir, self.revision, split, self._streams())

    def _measure(self, split: str, data: Any, count: int) -> tuple[int, str]:
        """Return the bytes of each shard, or a guess, and a digest of what identifies the contents of the split."""
        if _is_saved(self.path):
            return data.data.nbytes, data._fingerprint  # there is no public name for it
        builder = _builder(self.path, self.name, self.data_dir, self.revision)
        listed = (builder.config.data_files or {}).get(split, [])
        local = [str(path) for path in listed if "://" not in str(path)]
        if local:
            size = sum(Path(path).stat().st_size for path in local) // count
            return size, digest_text(canonical_json(digest_files(local)))
        known = (builder.info.splits or {}).get(split)
        size = known.num_bytes // count if known and known.num_bytes else UNKNOWN_BYTES
        # The addresses hold the commit.
        return size, digest_text(canonical_json([str(builder.hash), [str(path) for path in listed]]))


def _is_saved(path: str) -> bool:
    return any((Path(path).expanduser() / name).is_file() for name in ("dataset_dict.json", "state.json"))


@cache
def _builder(path: str, name: str | None, data_dir: str | None, revision: str | None) -> Any:
    import datasets

    datasets.disable_progress_bars()
    place = str(Path(path).expanduser())
    return _asked(path, lambda: datasets.load_dataset_builder(place, name, data_dir=data_dir, revision=revision))


@cache
def _open(path: str, name: str | None, data_dir: str | None, revision: str | None, split: str, streaming: bool) -> Any:
    """Return one split as a `Dataset` or an `IterableDataset`."""
    import datasets

    if _is_saved(path):
        found = _asked(path, lambda: datasets.load_from_disk(str(Path(path).expanduser())))
        splits = found if isinstance(found, datasets.DatasetDict) else {str(found.split or split): found}
    else:
        builder = _builder(path, name, data_dir, revision)
        if streaming:
            splits = _asked(path, builder.as_streaming_dataset)
        else:
            _asked(path, builder.download_and_prepare)
            splits = _asked(path, builder.as_dataset)
    if split not in splits:
        raise DataError(
            f"{path} has no split '{split}'{nearest(split, map(str, splits))}", hint="-s inputs.0.split=..."
        )
    return splits[split]


def _without_media(data: Any) -> Iterable[dict[str, Any]]:
    media = [name for name, feature in (data.features or {}).items() if hasattr(feature, "decode_example")]
    rows: Iterable[dict[str, Any]] = data.remove_columns(media) if media else data
    return rows


def class_names(data: Any) -> dict[str, list[str]]:
    """Return the names behind the integers of columns of classes, or of lists of them."""
    features = {name: getattr(feature, "feature", feature) for name, feature in (data.features or {}).items()}
    return {name: feature.names for name, feature in features.items() if hasattr(feature, "int2str")}


def with_names(value: Mapping[str, Any], named: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the columns of classes with their names; -1, the class of rows without a label, is null."""

    def name(column: str, number: Any) -> Any:
        if isinstance(number, list):
            return [name(column, item) for item in number]
        return named[column][number] if isinstance(number, int) and number >= 0 else None

    return {column: name(column, value[column]) for column in named if column in value}


def _asked(path: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except UserError:
        raise
    except Exception as error:
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        hint = (
            "the hub is switched off: unset HF_HUB_OFFLINE, or give a local directory"
            if offline
            else "check the name, the network, and `hf auth login` for a private dataset"
        )
        raise DataError(f"cannot load the dataset {path}: {_line(error)}", hint=hint) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or repr(error)
