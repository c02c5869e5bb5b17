"""Source "hf": a dataset of the Hugging Face hub, or a local directory that `datasets` loads, streamed or in full.

Directories written by `save_to_disk` are opened where they lie; everything else goes through `load_dataset`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.digest import canonical_json, digest_files, digest_text
from llmkit.core.errors import DataError, UserError, nearest
from llmkit.core.machine import raise_limit
from llmkit.data.rows import RowError
from llmkit.data.sources import Broken, RawFile, Record, Span
from llmkit.data.sources._arrow import batch_rows, strictly
from llmkit.data.sources._columns import Columns
from llmkit.data.sources._data_files import data_files
from llmkit.data.sources._reading import cut_file, read_file
from llmkit.data.sources._remote import is_url
from llmkit.data.sources._rows import plain, text_or_base64
from llmkit.data.sources._tabular import Tabular

T = TypeVar("T")
BATCH_ROWS = 256
UNKNOWN_BYTES = 64 * 2**20
"""Taken for the size of a shard where the hub does not tell it: it serves progress and the cutting of tasks."""


class Hf(Tabular):
    """Read a dataset by hub name or local path; each shard of a split is a file, each row a document.

    Files in formats that `files` reads are read as it reads them, to the same documents; others by their loader.

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
            own = self._own_files(split)
            num = len(own) or (self._data(split).num_shards if self._streams() else 1)
            num_bytes, digest = self._measure(split, num)
            for shard in range(num):
                name = f"{split}-{shard:05}-of-{num:05}"
                identity = digest_text(canonical_json([self.name, name, digest]))
                path = own[shard] if own else f"{self.root()}/{name}"
                size = num_bytes if not own or is_url(path) else Path(path).stat().st_size
                found.append(RawFile(path, name, size, identity))
        return found

    def columns_of(self, file: RawFile) -> Columns:  # noqa: ARG002 - the same for all shards
        """Return what is read of the rows; the source is named like the dataset."""
        return Columns(self.text_field, self.row_kind(), self.path.rstrip("/").rpartition("/")[2])

    def records(self, file: RawFile, span: Span | None, columns: Columns) -> Iterator[Record | Broken]:
        """Yield the rows of one shard: of files that have a format of ours as those are read by themselves.

        Raises:
            DataError: The dataset's own loader breaks off: nobody could say how many rows are behind that.
        """
        split, shard, count = _parts(file)
        # Of text, such columns are no more than meta, and stay the numbers that they are.
        if self.row is not None:
            columns = replace(columns, classes=class_names(self._data(split)))
        if self._own_files(split):
            yield from read_file(_bare(file), span, columns)
            return
        data = self._data(split)
        row = span.row if span else 0
        if self._streams():
            rows = _streamed(file, _without_media(data.shard(num_shards=count, index=shard)), set(columns.used()))
        else:
            part = data.select(range(span.start, span.stop)) if span is not None and span.stop is not None else data
            rows = _on_disk(_without_media(part), set(columns.used()))
        for number, value in enumerate(rows, row):
            try:
                if isinstance(value, RowError):
                    raise value
                shown = ascii(value)[:200]
                yield columns.record(number, value)
            except RowError as error:
                yield Broken(number, str(error), excerpt="" if value is error else shown)

    def spans(self, file: RawFile, num_bytes: int) -> list[Span]:
        """Cut a split that is on disk at rows and files as their formats can be; other shards are one span each."""
        if self._own_files(_parts(file)[0]):
            return cut_file(_bare(file), num_bytes, self.columns_of(file))
        if self._streams() or file.num_bytes <= num_bytes:
            return super().spans(file, num_bytes)
        num_rows = self._data(_parts(file)[0]).num_rows
        step = max(1, num_rows * num_bytes // file.num_bytes)
        cuts = [*range(0, num_rows, step), num_rows]
        return [
            Span(start, stop, start, num_bytes=file.num_bytes * (stop - start) // num_rows)
            for start, stop in pairwise(cuts)
        ]

    def _streams(self) -> bool:
        return self.streaming and not _is_saved(self.path)

    def _own_files(self, split: str) -> list[str]:
        if not self._streams():
            return []
        files = _own_files(self.path, self.name, self.data_dir, self.revision, split)
        try:
            return files if files and not _media(self._data(split)) else []
        except DataError:  # the loader looks into the first file, which may be the one that is damaged
            return files

    def _data(self, split: str) -> Any:
        return _open(self.path, self.name, self.data_dir, self.revision, split, self._streams())

    def _measure(self, split: str, count: int) -> tuple[int, str]:
        """Return the bytes of each shard, or a guess, and a digest of what identifies the contents of the split."""
        if _is_saved(self.path):
            data = self._data(split)
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


@cache
def _own_files(path: str, name: str | None, data_dir: str | None, revision: str | None, split: str) -> list[str]:
    return data_files(_builder(path, name, data_dir, revision), path, split)


def _parts(file: RawFile) -> tuple[str, int, int]:
    """Return split, shard and number of shards from a file's name."""
    match = re.fullmatch(r"(.+)-(\d+)-of-(\d+)", file.name)
    assert match is not None
    return match[1], int(match[2]), int(match[3])


def _bare(file: RawFile) -> RawFile:
    """Return a data file under its own name, by which it is read."""
    return RawFile(file.path, file.path.rpartition("/")[2], file.num_bytes, file.digest)


def _streamed(file: RawFile, rows: Iterable[dict[str, Any]], used: set[str]) -> Iterator[dict[str, Any] | RowError]:
    found = iter(rows)
    for number in count():
        try:
            value = next(found, None)
        except Exception as error:
            raise_limit(error)
            raise DataError(
                f"{file.path}: the dataset breaks off after row {number}, and nobody knows what is behind that:"
                f" {_line(error)}",
                hint="give the files themselves with -i, or mend the dataset",
            ) from error
        if value is None:
            return
        decoders = {name: strictly(name) if name in used else text_or_base64 for name in value}
        try:
            yield {name: plain(item, decoders[name]) for name, item in value.items()}
        except RowError as error:
            yield error


def _on_disk(data: Any, used: set[str]) -> Iterator[dict[str, Any] | RowError]:
    for table in data.with_format("arrow").iter(BATCH_ROWS):
        for batch in table.combine_chunks().to_batches():
            yield from batch_rows(batch, used)


def _media(data: Any) -> list[str]:
    return [name for name, feature in (data.features or {}).items() if hasattr(feature, "decode_example")]


def _without_media(data: Any) -> Any:
    media = _media(data)
    return data.remove_columns(media) if media else data


def class_names(data: Any) -> dict[str, list[str]]:
    """Return the names behind the integers of columns of classes, or of lists of them."""
    features = {name: getattr(feature, "feature", feature) for name, feature in (data.features or {}).items()}
    return {name: feature.names for name, feature in features.items() if hasattr(feature, "int2str")}


def _asked(path: str, ask: Callable[[], T]) -> T:
    try:
        return ask()
    except UserError:
        raise
    except Exception as error:
        raise_limit(error)
        offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
        hint = (
            "the hub is switched off: unset HF_HUB_OFFLINE, or give a local directory"
            if offline
            else "check the name, the network, and `hf auth login` for a private dataset"
        )
        raise DataError(f"cannot load the dataset {path}: {_line(error)}", hint=hint) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or repr(error)
