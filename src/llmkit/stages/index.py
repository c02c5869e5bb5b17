"""index: passages of documents, tables and triples, to be searched by words and, with a model, by meaning."""

from __future__ import annotations

from contextlib import closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.cleaning.reading import check_failed, check_filled, check_unchanged, file_stamps
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.extras import check as check_extra
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.manifest import Artifact, read_manifest
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Index
from llmkit.data.sources import Source
from llmkit.runtimes import Runtime
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    from llmkit.retrieval.building import Tally
    from llmkit.runtimes import Running

AnySource = Annotated[Source, Family("source", shorthand=("files", "path"))]
Read = list[tuple[Source, list[RawFile]]]


class Config(BaseConfig):
    """Config of `llmkit index`."""

    inputs: list[AnySource] = Field(min_length=1)
    """What is searched: a corpus, or whatever `clean` reads. A row with a text is a document; of other tables each row
    is a passage, `city: Oslo; country: Norway`; rows with `subject`, `relation` and `object` are triples, which are
    found by the entities that a question names."""
    model: Annotated[str | None, NotIdentity] = None
    """Directory of an embedding model, which makes a vector of each passage and of each question; null: passages are
    found by their words alone."""
    runtime: Annotated[Runtime, Family("runtime", default="transformers")] = Transformers()
    """What runs the model; servers give no vectors."""
    max_words: int = Field(200, ge=8)
    """Words of a passage at most, in whole sentences; each character of a script without spaces is one. 200 English
    words are about 260 tokens."""
    overlap: int = Field(0, ge=0)
    """Words that a passage shares with the one before it, at most, in whole sentences."""


class IndexStage(Stage[Config]):
    """Passages that can be searched."""

    name, version, config, resumable = "index", 1, Config, True

    def check(self, config: Config) -> None:
        """Refuse passages that are mostly repeated, and say early what is not installed."""
        if config.overlap * 2 > config.max_words:
            raise ConfigError(
                f"overlap: {config.overlap} of {config.max_words} words: more than half of each passage would be"
                " repeated", f"-s overlap={config.max_words // 4}",
            )  # fmt: skip
        if config.runtime.remote:
            raise ConfigError("runtime: servers give no vectors here", "name a directory with --model")
        check_extra("retrieval")

    def make(self, config: Config, context: Context) -> Result:
        """Make an index."""
        inputs = Inputs()
        model = None if config.model is None else _add_model(located(config.model), config.runtime, inputs)
        read: Read = []
        for number, source in enumerate(config.inputs):
            if read_manifest(Path(source.root())) is not None:
                inputs.add_artifact(source.root(), ("corpus", "examples"), role=source.type_name)
                read.append((source, []))
                continue
            files = source.files()
            check_filled(files)
            inputs.add_files(source.root(), files, role=source.type_name)
            read.append((source, files))
            if not files:
                raise DataError(f"inputs.{number}: no files")
        files = [file for _, found in read for file in found]
        stamps = file_stamps(files)
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            with nullcontext() if model is None else closing(config.runtime.load(model)) as running:
                tally = _index(config, running, read, build, context)
                prompts = dict(running.facts.prompts) if running is not None else {}
            check_unchanged(stamps, files)
            return _finish(build, tally, prompts)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return how much is searched, and how."""
        metrics = artifact.manifest.metrics
        left = {"unreadable": metrics["rows_failed"], "without words": metrics["rows_empty"]}
        rows = f"{metrics['passages']:,} of {metrics['rows_read']:,} rows"
        found = [("passages", ", ".join([rows, *(f"{count:,} {what}" for what, count in left.items() if count)]))]
        vectors = f"{metrics['dimensions']:,} dimensions" if metrics["dimensions"] else "none: found by words alone"
        return [*found, ("vectors", vectors), ("search", f'llmkit search {artifact.path} "..."')]


STAGE = IndexStage()


def _add_model(where: str, runtime: Runtime, inputs: Inputs) -> str:
    """Add a model to the inputs, with what says how it makes vectors, and return where it is."""
    from llmkit.modeling.pooling import add_pooling

    runtime.check_installed()
    runtime.add_input(inputs, where, "model")
    if Path(where).is_dir():
        add_pooling(Path(where), inputs)
    return where


def _index(config: Config, running: Running | None, read: Read, build: Build, context: Context) -> Tally:
    from llmkit.evaluation.engine import Engine
    from llmkit.retrieval.building import Building
    from llmkit.retrieval.building import build as make
    from llmkit.retrieval.entries import make_reader
    from llmkit.runtimes import Embed

    if running is not None:
        Engine(running).check(Embed("a"), f"the model in '{config.model}'")
    readers = [make_reader(number, *item) for number, item in enumerate(read)]
    for number, reader in enumerate(readers):
        context.console.info(f"inputs.{number}: {reader.describe()}")
    building = Building(config.max_words, config.overlap, running, context.strict)
    tally = make(building, readers, build.dir, build.scratch, context)
    for line in tally.broken:
        context.console.warn(line)
    if tally.failed > len(tally.broken):
        context.console.warn(f"and {tally.failed - len(tally.broken):,} more unreadable rows")
    if not tally.rows:
        raise DataError("nothing to index: the input has no rows", "name another --input")
    check_failed(tally.failed, tally.rows, context.max_failed)
    if not tally.passages:
        raise DataError(f"nothing to index: none of the {tally.rows:,} rows has a word in it", "name another --input")
    if tally.cut:
        context.console.warn(
            f"{tally.cut:,} of {tally.passages:,} passages are longer than what the model reads: it sees their"
            f" beginning; -s max_words={max(8, config.max_words // 2)} makes shorter ones"
        )
    return tally


def _finish(build: Build, tally: Tally, prompts: dict[str, str]) -> Result:
    import numpy as np

    found = Index(build.dir)
    dimensions = int(np.load(found.vectors, mmap_mode="r").shape[1]) if prompts else 0
    found.write_facts({"passages": tally.passages, "triples": tally.triples, "prompts": prompts})
    found.write_card(tally.passages, dimensions)
    metrics = {
        "rows_read": tally.rows, "rows_failed": tally.failed, "rows_empty": tally.empty, "passages": tally.passages,
        "triples": tally.triples, "passages_cut": tally.cut, "dimensions": dimensions,
    }  # fmt: skip
    return Result(build.finish(Index.KIND, payload=Index.PAYLOAD, metrics=metrics))
