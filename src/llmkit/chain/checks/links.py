"""What a run reads is there, or an earlier run writes it, and it is of the kind that the run can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.runs import ABSENT, Chain, Finding, Read, Run
from llmkit.core.errors import DataError
from llmkit.core.found import way
from llmkit.core.inputs import check_directory
from llmkit.core.manifest import article, open_artifact, read_manifest


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Look at every path that a run reads."""
    for read in run.reads:
        if read.late is not None:
            yield _too_late(run, read, read.late)
        elif read.maker is not None:
            yield _of_chain(run, read, read.maker)
        elif read.path != ABSENT:
            try:
                yield from _on_disk(run, read)
            except DataError as error:
                read.broken = True
                yield _not_there(error, chain, run, read)


def _too_late(run: Run, read: Read, maker: Run) -> Finding:
    if maker is run:
        words, hint = f"{read.path} is what this run writes itself", f"llmkit preflight ... -r {run.label} -o DIR"
    else:
        words = f"{read.path} is written by {maker.label}, which comes after {run.label}"
        hint = f"put -r {maker.label} before -r {run.label}"
    return run.problem(words, about=read.field, hint=hint)


def _of_chain(run: Run, read: Read, maker: Run) -> Finding:
    if not read.kinds or maker.makes in read.kinds:
        return run.found("ok", f"{read.shown}: {article(maker.makes)}, by {maker.label}", about=read.field)
    read.broken = True
    wanted = " or ".join(map(article, read.kinds))
    words = f"{maker.label} writes {article(maker.makes)} there, and {run.stage} reads {wanted}"
    hint = way(maker.makes, read.kinds, read.path, read.field.partition(".")[0])
    return run.problem(words, about=read.field, code=3, hint=hint)


def _on_disk(run: Run, read: Read) -> Iterator[Finding]:
    role, place = read.field.partition(".")[0], Path(read.path)
    if read.source is not None and hasattr(read.source, "files") and read_manifest(place) is None:
        number = len(run.as_read(read.source).files())
        yield run.found("ok", f"{read.path}: {number:,} file{'s' if number != 1 else ''}", about=read.field)
    elif read.field.startswith("tokenizer"):
        read.source.reads()
        yield run.found("ok", f"{read.path}: a tokenizer", about=read.field)
    elif read.kinds:
        if "model" in read.kinds:
            artifact = check_directory(place, read.kinds, role=role)
        else:
            artifact = open_artifact(place, read.kinds, role=role)
        kind = "a model from elsewhere" if artifact is None else article(artifact.kind)
        yield run.found("ok", f"{read.path}: {kind}, there already", about=read.field)


def _not_there(error: DataError, chain: Chain, run: Run, read: Read) -> Finding:
    """Say of a path that is not there who could have written it."""
    words = error.message.removeprefix(f"{read.field.partition('.')[0]}: ")
    if Path(read.path).exists():
        return run.problem(words, about=read.field, code=3, hint=error.hint)
    able = [other for other in chain.before(run) if not read.kinds or other.makes in read.kinds]
    written = [f"{other.label} writes {other.output}" for other in able if other.output is not None]
    free = [other.label for other in able if other.output is None]
    hint = f"llmkit preflight ... -r {free[0] if free else 'RECIPE'} -o {read.path} -r {run.label} ..."
    said = f" ({', '.join(written)})" if written else ""
    words = f"{words}; nothing before {run.label} in this chain writes it{said}"
    return run.problem(words, about=read.field, code=3, hint=error.hint if Path(read.path).suffix else hint)
