"""What a run reads is there, or an earlier run writes it, and it is of the kind that the run can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.link import same_place
from llmkit.chain.runs import ABSENT, Chain, Finding, Read, Run
from llmkit.core.errors import DataError
from llmkit.core.found import way
from llmkit.core.inputs import check_directory
from llmkit.core.manifest import article, open_artifact, read_manifest


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Look at every path that a run reads."""
    for read in run.reads:
        if read.maker is not None:
            yield _of_chain(chain, run, read)
        elif read.path != ABSENT:
            yield from _on_disk(chain, run, read)


def _of_chain(chain: Chain, run: Run, read: Read) -> Finding:
    maker = read.maker
    assert maker is not None
    if maker is run:
        return run.problem(f"{read.path} is what this run writes itself", about=read.field, hint=f"-r {run.label} -o DIR")
    if maker not in chain.before(run):
        words = f"{read.path} is written by {maker.label}, which comes after {run.label}"
        return run.problem(words, about=read.field, hint=f"put -r {maker.label} before -r {run.label}")
    if read.kinds and maker.makes not in read.kinds:
        wanted = " or ".join(map(article, read.kinds))
        words = f"{maker.label} writes {article(maker.makes)} there, and {run.stage} reads {wanted}"
        hint = way(maker.makes, read.kinds, read.path, read.field.partition(".")[0])
        return run.problem(words, about=read.field, code=3, hint=hint)
    return run.found("ok", f"{read.shown}: {article(maker.makes)}, by {maker.label}", about=read.field)


def _on_disk(chain: Chain, run: Run, read: Read) -> Iterator[Finding]:
    role, place = read.field.partition(".")[0], Path(read.path)
    if read.source is not None and hasattr(read.source, "files") and read_manifest(place) is None:
        try:
            number = len(read.source.files())
        except DataError as error:
            raise _nobody(error, chain, run, read) from error
        yield run.found("ok", f"{read.path}: {number:,} file{'s' if number != 1 else ''}", about=read.field)
        return
    if read.field.startswith("tokenizer"):
        read.source.reads()
        yield run.found("ok", f"{read.path}: a tokenizer", about=read.field)
        return
    try:
        if "model" in read.kinds:
            artifact = check_directory(place, read.kinds, role=role)
        elif read.kinds:
            artifact = open_artifact(place, read.kinds, role=role)
        else:
            return
    except DataError as error:
        raise _nobody(error, chain, run, read) from error
    kind = "a model from elsewhere" if artifact is None else article(artifact.kind)
    yield run.found("ok", f"{read.path}: {kind}, there already", about=read.field)


def _nobody(error: DataError, chain: Chain, run: Run, read: Read) -> DataError:
    """Say of a path that is not there who could have written it."""
    message = error.message if error.message.startswith(read.field.partition(".")[0]) else f"{read.field}: {error.message}"
    if Path(read.path).exists():
        return DataError(message, error.hint)
    after = [other for other in chain.before(run) if not read.kinds or other.makes in read.kinds]
    written = [f"{other.label} writes {other.output}" for other in after if other.output is not None]
    free = [other.label for other in after if other.output is None]
    hint = error.hint
    if free:
        hint = f"llmkit preflight ... -r {free[0]} -o {read.path} ..."
    elif any(same_place(run.output, read.path) for run in chain.runs if run.output):
        hint = None
    said = f" ({', '.join(written)})" if written else ""
    return DataError(f"{message}; nothing before {run.label} in this chain writes it{said}", hint)
