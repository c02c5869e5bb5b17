"""The plan of encoding: tasks cut by bytes of text leave their documents in scratch files, shards join them in order.

Tasks and shards are repeatable and done once, so a run that was killed goes on where it was. Nothing depends on who did
the work: tasks are cut by the corpus, joined in its order, and the ids are those of `tokenizers`, whoever finds them.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.artifacts import Corpus
from llmkit.data.artifacts.corpus import shard_metadata
from llmkit.data.split import SPLITS, Split
from llmkit.data.token_shards import Part, finish_dict, finish_split, write_shard
from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.literal import LiteralEncoder
from llmkit.modeling.tokenizer import literal_encoder
from llmkit.tokenization.batch import Piece
from llmkit.tokenization.encode import Encoder
from llmkit.tokenization.fast import Check
from llmkit.tokenization.show import Cutter
from llmkit.tokenization.statistics import Counts, TokenStatistics
from llmkit.tokenization.task import Done, Task, encode_task, encode_with, write_setup
from llmkit.tokenization.threads import Threads, suits
from llmkit.work.engine import Engine

if TYPE_CHECKING:
    from llmkit.core.console import Console

TASK_BYTES = 16 * 2**20
"""Bytes of text per task."""
SHARD_BYTES = 1 << 30
"""Bytes per shard."""
MAX_VALUES = 2**31 - 1
"""Ids per shard: Arrow's offsets have 32 bits."""
EncoderName = Literal["auto", "gigatoken", "tokenizers"]
RunPlan = Callable[[Engine, Callable[[Any], Any], Sequence[Any], Path], Iterator[Any]]
"""Runs a function on tasks, each once, with a folder for the results, and yields them in order."""
Run = Callable[[Callable[[Any], Any], Sequence[Any], Path], Iterator[Any]]
"""The same with workers of its own."""


@dataclass(slots=True)
class SplitCounts:
    """What one split holds; `num_bytes` is the documents' UTF-8 text, not the shards."""

    num_documents: int = 0
    num_tokens: int = 0
    num_bytes: int = 0


@dataclass
class Made:
    """What encoding has made.

    Attributes:
        counts: What the splits hold; those without documents are left out.
        statistics: What was counted.
        details: Which encoder found the ids, and how far it was checked.
    """

    counts: dict[Split, SplitCounts]
    statistics: TokenStatistics
    details: dict[str, Any] = field(default_factory=dict)

    def splits(self) -> dict[str, dict[str, int]]:
        """Return what each split holds, as manifest and facts have it."""
        counted = self.statistics.by("split")
        return {split: _split(held, counted.get(split, Counts())) for split, held in self.counts.items()}


def _split(held: SplitCounts, counted: Counts) -> dict[str, int]:
    return {
        "documents": held.num_documents,
        "tokens": held.num_tokens,
        "bytes": held.num_bytes,
        "unknown_bytes": counted.unknown_bytes,
        "lost_bytes": counted.lost_bytes,
    }


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of a split.

    Attributes:
        path: Where to write it, until all are there.
        parts: What it is made of, in order.
        dtype: Type of the ids.
    """

    path: Path
    parts: tuple[Part, ...]
    dtype: str


def cut_pieces(corpora: Sequence[Path]) -> list[tuple[Piece, ...]]:
    """Cut corpora into row groups that make up about `TASK_BYTES` of text each, in their order."""
    cuts: list[tuple[Piece, ...]] = []
    pieces: list[Piece] = []
    size = 0
    for path in (path for corpus in corpora for path in Corpus(corpus).files()):
        metadata = shard_metadata(path)
        text = metadata.schema.names.index("text")
        start, piece_bytes = 0, 0
        for group in range(metadata.num_row_groups):
            piece_bytes += metadata.row_group(group).column(text).total_uncompressed_size
            if size + piece_bytes >= TASK_BYTES or group == metadata.num_row_groups - 1:
                pieces.append(Piece(path.absolute(), start, group + 1, piece_bytes))
                size, start, piece_bytes = size + piece_bytes, group + 1, 0
            if size >= TASK_BYTES:
                cuts.append(tuple(pieces))
                pieces, size = [], 0
    return [*cuts, tuple(pieces)] if pieces else cuts


def encode_corpora(
    corpora: Sequence[Path],
    cutter: Cutter,
    directory: Path,
    scratch: Path,
    *,
    engine: Engine,
    run_plan: RunPlan,
    console: Console,
    encoder: EncoderName = "auto",
    allow_special: bool = False,
    validation_fraction: float,
    test_fraction: float,
) -> Made:
    """Encode every document of some corpora and write the splits.

    Args:
        corpora: Corpus artifacts, in this order.
        cutter: Of the tokenizer whose ids.
        directory: Where the splits go.
        scratch: Folder for what a later run goes on from.
        engine: Workers.
        run_plan: Runs tasks on them.
        console: Progress and warnings.
        encoder: What finds the ids; `auto` takes gigatoken where it can do the tokenizer.
        allow_special: Special tokens that stand in the text become special tokens.
        validation_fraction: See `split_of`.
        test_fraction: See `split_of`.

    Raises:
        ConfigError: gigatoken was asked for and cannot do this tokenizer.
        DataError: A document has too many tokens for a shard.
    """
    # What transformers has loaded, a million objects, would be searched for garbage with every vocabulary: 0.1 s each.
    gc.freeze()
    literal = literal_encoder(cutter.tokenizer, allow_special=allow_special)
    scratch = scratch.absolute()  # workers on other machines start in other folders
    write_setup(scratch / "setup", literal, cutter.kinds)
    pieces, fractions = cut_pieces(corpora), (validation_fraction, test_fraction)
    fast, details = choose(encoder, literal)
    if "why" in details:
        console.info(f"encoding with tokenizers: {details['why']}")
    in_threads = fast is not None and suits(engine, len(pieces))
    run = partial(run_plan, Threads(engine.workers) if in_threads else engine)
    function = partial(encode_with, Encoder(literal, fast), cutter.kinds) if in_threads else encode_task
    tasks = _tasks(pieces, scratch, fast is not None, fractions)
    dones = _encode(function, tasks, run, console)
    if fast and not _agreed(dones, details, console):
        run = partial(run_plan, engine)
        dones = _encode(encode_task, _tasks(pieces, scratch, False, fractions), run, console)
    counts = _write_splits(dones, directory, scratch / "shards", literal.dtype.name, run, console)
    statistics = dones[0].statistics if dones else TokenStatistics(cutter.kinds)
    for done in dones[1:]:
        statistics.merge(done.statistics)
    return Made(counts, statistics, details)


def _tasks(
    pieces: Sequence[tuple[Piece, ...]], scratch: Path, fast: bool, fractions: tuple[float, float]
) -> list[Task]:
    folder = scratch / ("fast" if fast else "exact")
    return [Task(i, cut, scratch / "setup", folder / f"{i:06}", fast, *fractions) for i, cut in enumerate(pieces)]


def _agreed(dones: Sequence[Done], details: dict[str, Any], console: Console) -> bool:
    """Note how far the fast encoder was checked; tell whether its ids were right, else all text is encoded again.

    All of it, not only what is left: what was not compared may differ as well, and the shards must not depend on how
    far which worker had come.
    """
    details["documents_checked"] += sum(done.checked for done in dones)
    details["bytes_checked"] += sum(done.checked_bytes for done in dones)
    differences = [text for done in dones for text in done.differences]
    if differences:
        console.warn(f"gigatoken and tokenizers disagree on {differences[0][:60]!r}: encoding all text with tokenizers")
        details |= {"name": "tokenizers", "differences": differences, "why": "the ids of gigatoken differed"}
    return not differences


def choose(name: EncoderName, literal: LiteralEncoder) -> tuple[FastEncoder | None, dict[str, Any]]:
    """Choose the encoder, and check the fast one on the probes; the tasks check it on the text.

    Returns:
        The fast encoder if it is used, and what the manifest says.
    """
    details: dict[str, Any] = {"name": "tokenizers", "documents_checked": 0, "bytes_checked": 0, "differences": []}
    if name == "tokenizers":
        return None, details
    try:
        check = Check(literal, FastEncoder(literal))
    except ValueError as error:
        if name == "gigatoken":
            raise ConfigError(f"encoder: gigatoken cannot be used: {error}", "leave out encoder") from None
        return None, {**details, "why": str(error)}
    check.probes()
    details |= {"documents_checked": check.documents, "bytes_checked": check.num_bytes}
    if check.differences:
        return None, {**details, "differences": check.differences, "why": "the ids of gigatoken differed"}
    return check.fast, {**details, "name": "gigatoken", "version": check.fast.version()}


def _encode(function: Callable[[Task], Done], tasks: Sequence[Task], run: Run, console: Console) -> list[Done]:
    """Run the tasks; stop at the first that found a difference."""
    dones: list[Done] = []
    if not tasks:
        return dones
    folder = tasks[0].out.parent
    with console.progress("encoding", total=sum(task.num_bytes for task in tasks) / 1e6, unit="MB") as progress:
        for task, done in zip(tasks, run(function, tasks, folder / "done"), strict=False):
            dones.append(done)
            progress.advance(task.num_bytes / 1e6)
            if done.differences:
                break
    return dones


def _write_splits(
    dones: Sequence[Done], directory: Path, scratch: Path, dtype: str, run: Run, console: Console
) -> dict[Split, SplitCounts]:
    """Join the parts of each split into shards, all splits' shards in parallel."""
    shards: list[Shard] = []
    members: dict[Split, list[int]] = {}
    counts: dict[Split, SplitCounts] = {}
    scratch.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        parts = [done.parts[split] for done in dones if split in done.parts]
        if not parts:
            continue
        groups = group_parts(parts)
        members[split] = list(range(len(shards), len(shards) + len(groups)))
        shards += [Shard(scratch / f"{split}-{i:06}", tuple(group), dtype) for i, group in enumerate(groups)]
        counts[split] = SplitCounts(
            sum(part.num_documents for part in parts),
            sum(part.num_tokens for part in parts),
            sum(part.num_bytes for part in parts),
        )
    with console.progress("writing", total=len(shards), unit="shards") as progress:
        digests = []
        for digest in run(join_parts, shards, scratch / "done"):
            digests.append(digest)
            progress.advance(1)
    for split, numbers in members.items():
        finish_split(directory / split, [(shards[i].path, digests[i]) for i in numbers], np.dtype(dtype))
    finish_dict(directory, list(members))
    return counts


def group_parts(parts: Sequence[Part], max_bytes: int = SHARD_BYTES) -> list[list[Part]]:
    """Group parts, in their order, into shards of at most so many bytes; a part is never cut.

    Raises:
        DataError: A single part has more ids than a shard can hold.
    """
    groups: list[list[Part]] = []
    size = num_tokens = 0
    for part in parts:
        if part.num_tokens > MAX_VALUES:
            raise DataError(f"a document of the corpus has about {part.num_tokens:,} tokens", "split it into several")
        part_bytes = len(part.rows) + len(part.ids) + len(part.segments)
        if not groups or size + part_bytes > max_bytes or num_tokens + part.num_tokens > MAX_VALUES:
            groups.append([])
            size = num_tokens = 0
        groups[-1].append(part)
        size, num_tokens = size + part_bytes, num_tokens + part.num_tokens
    return groups


def join_parts(shard: Shard) -> str:
    """Write a shard and return the digest of its content."""
    new = shard.path.with_suffix(".new")
    rows = pa.concat_tables([part.table() for part in shard.parts])
    ids, segments = ([getattr(part, name) for part in shard.parts] for name in ("ids", "segments"))
    digest = write_shard(new, rows, ids, segments, np.dtype(shard.dtype))
    new.replace(shard.path)
    return digest
