"""Read inputs just as they are into corpora of our own: raw text for a tokenizer, labelled rows for fine-tuning."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from llmkit.cleaning.run import clean_inputs
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.found import WORDS, in_words, recognize, way
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import PARTIAL, read_manifest
from llmkit.data.rows import Row
from llmkit.data.sources import RawFile, Source
from llmkit.work.engine import Engine

BROKEN_SHOWN = 5
Raw = list[tuple[Source, list[RawFile]]]


@dataclass
class Readable:
    """What a run reads.

    Attributes:
        groups: In order, an artifact each, or raw sources that follow one another.
        stamps: Size and time of change of the raw files: what is hashed, cut and read has to be the same.
    """

    groups: list[Path | Raw] = field(default_factory=list)
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)


def describe_inputs(sources: Sequence[Source], described: Inputs, *, kind: str, role: str) -> Readable:
    """Add the sources of a run to its inputs.

    Args:
        sources: Where the data is: artifacts of ours, or anything that `clean` reads.
        described: The inputs of the run.
        kind: `corpus` or `examples`: what artifacts have to be.
        role: The config field, for errors.

    Raises:
        DataError: Something is not there, unfinished or of another kind.
    """
    found = Readable()
    for source in sources:
        root = Path(source.root())
        if read_manifest(root) is not None or (root / PARTIAL).is_dir():
            found.groups.append(described.add_artifact(root, kind, role=role))
            continue
        if source.kind() != kind:
            raise ConfigError(f"{role}: {root} gives labelled rows, not text", "llmkit finetune reads them as they are")
        files = source.files()
        check_filled(files)
        described.add_files(source.root(), files, role=role)
        found.stamps |= file_stamps(files)
        if not found.groups or isinstance(found.groups[-1], Path):
            found.groups.append([])
        cast("Raw", found.groups[-1]).append((source, files))
    return found


def read_inputs(
    found: Readable, row: Row | None, work: Path, engine: Engine, context: Context
) -> tuple[list[Path], int]:
    """Return corpora of ours with everything to read, raw data in scratch ones, and how many rows were unreadable.

    Args:
        found: What to read.
        row: What kind of labelled rows it is; None for text.
        work: Folder for what raw data becomes, and for what a later run goes on from.
        engine: Workers.
        context: For progress, warnings and `--strict`.

    Raises:
        DataError: A file changed while it was read, or too many rows are unreadable.
    """
    corpora, num_failed = [], 0
    for number, group in enumerate(found.groups):
        if isinstance(group, Path):
            corpora.append(group)
            continue
        place = work / f"work-raw-{number}"
        (place / "scratch").mkdir(parents=True, exist_ok=True)
        tally, _ = clean_inputs(group, [], row, place, place / "scratch", engine, context)
        for message in tally.broken[:BROKEN_SHOWN]:
            context.console.warn(message)
        failed = tally.total().failed
        if failed > BROKEN_SHOWN:
            context.console.warn(f"and {failed - BROKEN_SHOWN:,} more unreadable rows")
        check_failed(failed, tally.total().rows, context.max_failed, ways=_ways(group, row))
        num_failed += failed
        corpora.append(place)
    raw = (group for group in found.groups if not isinstance(group, Path))
    check_unchanged(found.stamps, (file for group in raw for _, files in group for file in files))
    return corpora, num_failed


def check_filled(files: Sequence[RawFile]) -> None:
    """Make sure that there is a byte in some file.

    Raises:
        DataError: All are empty; the message names one.
    """
    local = [file for file in files if not file.digest and "://" not in file.path]  # of others the size may be unknown
    if files and len(local) == len(files) and not any(file.num_bytes for file in files):
        others = f", and so are {len(files) - 1:,} more" if files[1:] else ""
        raise DataError(
            f"no documents left: the input has no rows: {files[0].path} is empty{others}",
            hint="make it again, or name another input",
        )


WAYS = "--text-field COLUMN, -s inputs.0.encoding=... or another input"


def _ways(group: Raw, row: Row | None) -> str:
    """Say how raw data may be readable after all, in options that `tokenize` and `finetune` have."""
    if row is not None:
        return "-s columns.FIELD=COLUMN, -s data.0.encoding=... or other rows"
    first = next((file.path for _, files in group for file in files if not file.digest), "")
    found = recognize(first) if first else None
    if found is not None and found not in WORDS:
        return f"they look like {in_words(found)}: {way(found, ('corpus',), first)}; or name another input"
    return "-s inputs.0.text_field=COLUMN, -s inputs.0.encoding=... or another input"


def check_failed(num_failed: int, num_rows: int, max_failed: float, made: str = "", ways: str = WAYS) -> None:
    """Make sure that so many unreadable rows are an accident, not another format or a wrong field.

    Args:
        num_failed: Unreadable rows.
        num_rows: All rows.
        max_failed: Share at which it is an error.
        made: The finished artifact that they are left out of, if there is one.
        ways: How they may be readable.

    Raises:
        DataError: They are too many.
    """
    share = num_failed / max(1, num_rows)
    if num_failed and share >= max_failed:
        more = min(1.0, (int(share * 100) + 1) / 100)
        where = f"{made} was made with" if made else ""
        words = f"{num_failed:,} of {num_rows:,} rows unreadable ({share:.1%}), and at {max_failed:.4g} a run fails"
        raise DataError(f"{where} {words}".lstrip(), hint=f"{ways}; --max-failed {more:g} lets it pass")


def file_stamps(files: Iterable[RawFile]) -> dict[str, tuple[int, int]]:
    """Return size and time of change of the files that are on disk."""
    found = {}
    for file in (file for file in files if not file.digest):
        with contextlib.suppress(FileNotFoundError):
            stat = Path(file.path).stat()
            found[file.path] = (stat.st_size, stat.st_mtime_ns)
    return found


def check_unchanged(stamps: Mapping[str, tuple[int, int]], files: Iterable[RawFile]) -> None:
    """Make sure that files are still what they were.

    Raises:
        DataError: One changed.
    """
    for path, _ in stamps.items() - file_stamps(files).items():
        raise DataError(f"{path} changed while it was read", hint="when it is complete, run the same command again")


def row_kind(sources: Sequence[Source], where: str) -> Row | None:
    """Return what kind of labelled rows sources give, as an artifact keeps them; None for text.

    Raises:
        ConfigError: They give several kinds, or one of them is not what its config says.
    """
    if len({source.kind() for source in sources}) > 1:
        raise ConfigError(f"{where}: some give a corpus and some give examples; clean them into two outputs")
    kinds: list[Row] = []
    for position, source in enumerate(sources):
        try:
            row = source.row_kind()
        except ConfigError as error:
            raise ConfigError(f"{where}.{position}.{error.message}", error.hint) from error
        if row is None:
            return None
        kinds.append(row.kept())
    joint = kinds[0]
    for position, kind in enumerate(kinds):
        both = joint.joined(kind)
        if both is None:
            raise ConfigError(
                f"{where}: 0 gives {kinds[0].describe()} and {position} gives {kind.describe()};"
                " clean them into two outputs",
                hint=f"where they are the same, say what they are: -s {where}.{position}.row=...",
            )
        joint = both
    return joint


def say_what_rows(sources: Sequence[Source], where: str, console: Console) -> None:
    """Say what kind of labelled rows are read, from which columns, and how the tables are written that they are in."""
    for position, source in enumerate(sources):
        if (row := source.row_kind()) is not None:
            console.info(f"{where}.{position}: rows are {row.describe()}")
        for line in source.describe():
            console.info(f"{where}.{position}: {line}")
