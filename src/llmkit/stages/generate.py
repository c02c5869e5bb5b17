"""generate: a model's answers to the prompts of any files, as rows that finetune learns from."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from llmkit.cleaning.reading import check_failed, check_filled, check_unchanged, file_stamps
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.digest import canonical_json
from llmkit.core.errors import DataError
from llmkit.core.hub import located
from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.manifest import Artifact, read_manifest
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Examples
from llmkit.data.clock import Date, settle_date
from llmkit.data.rendering import asks_for_date
from llmkit.data.sources import Source
from llmkit.runtimes import Generate, Runtime, is_address
from llmkit.runtimes.openai import OpenAI
from llmkit.runtimes.transformers import Transformers

if TYPE_CHECKING:
    from llmkit.data.rows import Row
    from llmkit.prediction.generating import Generating, Tally
    from llmkit.prediction.prompts import PromptReader
    from llmkit.runtimes import Running

AnySource = Annotated[Source, Family("source", shorthand=("files", "path"))]
Read = list[tuple[Source, list[RawFile]]]


class Config(BaseConfig):
    """Config of `llmkit generate`."""

    model: Annotated[str, NotIdentity]
    """What writes: a directory, a file in GGUF, a name in the hub's cache, or the address of a server."""
    inputs: list[AnySource] = Field(min_length=1)
    """Where the prompts are: conversations, rows with `prompt`, `instruction` and `input`, `source_text` or `text`,
    with or without answers, in any files that `clean` reads; or a corpus or examples. An answer that is there is not
    shown to the model, and kept as `reference`."""
    columns: dict[str, str] = {}
    """Column of the data that holds a field of the row, where its name differs: `{prompt: query}`."""
    runtime: Annotated[Runtime, Family("runtime", default="transformers")] = Transformers()
    """What runs the models that lie here; one for servers, as `openai`, asks those that have an address."""
    chat: Literal["auto", "on", "off"] = "auto"
    """Ask in the chat template: where the model has one, always (ChatML, where it has the tokens), or never: prompts
    are gone on with as they stand then."""
    system: str = ""
    """What the system says before a conversation in which it says nothing."""
    max_new_tokens: int = Field(256, ge=1)
    """Longest answer; what there is room for in the model's positions, if that is less."""
    num_samples: int = Field(1, ge=1)
    """Answers to each row."""
    temperature: float = Field(0.0, ge=0)
    """0 takes the likeliest token each time; 1 draws as the model has learned."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the likeliest tokens that have this share of the probability together."""
    top_k: int = Field(0, ge=0)
    """Draw from so many of the likeliest tokens; 0 for all."""
    min_p: float = Field(0.0, ge=0, le=1)
    """Draw from tokens at least this share as likely as the likeliest; 0 for all."""
    stop: list[str] = []
    """Texts that end an answer, and are no part of it; the model's own end of a text or turn always ends it."""
    seed: int = 0
    """Of the draws; each answer has its own, made of this, the row's id and the sample's number."""
    ended_only: bool = False
    """Leave out answers that were cut at `max_new_tokens`: a model that learns from them learns not to end."""
    date: Date = None
    """Today's date, as YYYY-MM-DD, to a chat template that asks for it, where training recorded none. null: today."""

    @field_validator("stop")
    @classmethod
    def _stops(cls, stop: list[str]) -> list[str]:
        if "" in stop:
            raise ValueError("an empty text would end every answer at once")
        return stop

    @model_validator(mode="after")
    def _draws(self) -> Self:
        if self.temperature:
            return self
        if self.num_samples > 1:
            raise ValueError(
                f"temperature 0 writes the same answer {self.num_samples} times: set temperature, such as 0.8"
            )
        for name, none in (("top_p", 1.0), ("top_k", 0), ("min_p", 0.0)):
            if getattr(self, name) != none:
                raise ValueError(f"{name} says what is drawn from, and temperature 0 draws nothing: set temperature")
        return self


class GenerateStage(Stage[Config]):
    """A model's answers."""

    name, version, config, resumable = "generate", 1, Config, True

    def make(self, config: Config, context: Context) -> Result:
        """Generate."""
        inputs, where = Inputs(), located(config.model)
        runtime = runtime_of(config, where)
        runtime.add_input(inputs, where, "model")
        read: Read = []
        for source in config.inputs:
            ours = read_manifest(Path(source.root())) is not None
            files = [] if ours else source.files()
            if ours:
                inputs.add_artifact(source.root(), ("corpus", "examples"), role=source.type_name)
            else:
                check_filled(files)
                inputs.add_files(source.root(), files, role=source.type_name)
            read.append((source, files))
        files = [file for _, found in read for file in found]
        stamps, folder = file_stamps(files), runtime.directory(where)
        asked = folder is not None and asks_for_date(folder)
        config = config.model_copy(update={"date": settle_date(config.date, context) if asked else None})
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            with closing(runtime.load(where, date=config.date)) as running:
                tally, kind = _generate(config, running, runtime, read, build, context)
            check_unchanged(stamps, files)
            return _finish(config, build, tally, kind)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return how many answers there are, and how many did not end."""
        metrics = artifact.manifest.metrics
        left = [f"{count:,} {why}" for why, count in metrics["skipped"].items()]
        rows = f"{metrics['answers_kept']:,} answers to {metrics['rows_read']:,} rows"
        found = [("rows", rows), *((("left out", "; ".join(left)),) if left else ())]
        if metrics["answers_cut"]:
            found.append(("cut", f"{metrics['answers_cut']:,} answers at the longest length"))
        return [*found, ("report", str(Examples(artifact.path).report))]


STAGE = GenerateStage()


def runtime_of(config: Config, where: str) -> Runtime:
    """Return what runs a model: of an address one for servers, of anything else one for what lies here."""
    if is_address(where):
        return config.runtime if config.runtime.remote else OpenAI()
    return Transformers() if config.runtime.remote else config.runtime


def _generate(
    config: Config, running: Running, runtime: Runtime, read: Read, build: Build, context: Context
) -> tuple[Tally, Row]:
    from llmkit.evaluation.engine import Engine
    from llmkit.evaluation.kept import Kept
    from llmkit.prediction.generating import generate, skipped_notes
    from llmkit.prediction.prompts import make_reader

    readers = [make_reader(number, *item, config.columns) for number, item in enumerate(read)]
    for number, reader in enumerate(readers):
        context.console.info(f"inputs.{number}: {reader.describe()}")
    # What a server was paid for is not asked again. A model that lies here is asked by whole windows: see `WINDOW`.
    owner = canonical_json([build.inputs.entries[0].digest, runtime.spec(mode="json", identity=True)])
    with Kept(build.scratch / "answers" if runtime.remote else None, owner) as kept:
        engine = Engine(running, kept)
        engine.check(Generate((0,), 1), f"the model {'at' if runtime.remote else 'in'} '{config.model}'")
        generating = _generating(config, running, engine, readers, strict=context.strict)
        tally = generate(generating, readers, build.dir, build.scratch, context)
    for line in tally.broken:
        context.console.warn(line)
    if tally.failed > len(tally.broken):
        context.console.warn(f"and {tally.failed - len(tally.broken):,} more unreadable rows")
    for line in skipped_notes(tally):
        context.console.warn(line)
    if not tally.rows:
        raise DataError("nothing to answer: the input has no rows", "name another --input")
    check_failed(tally.failed, tally.rows, context.max_failed)
    if not tally.kept:
        raise DataError(f"no answers: of {tally.rows:,} rows none has one that is kept", "the lines above say why")
    return tally, generating.kind


def _generating(
    config: Config, running: Running, engine: object, readers: list[PromptReader], *, strict: bool
) -> Generating:
    """Settle how a model is asked.

    Raises:
        DataError: It has no chat template, and the rows are conversations.
    """
    from llmkit.data.chat import kind_of_answers
    from llmkit.evaluation.asking import Asking, Layout
    from llmkit.prediction.generating import Generating, Sampling

    asking = Asking(running, config.chat, Layout())
    if not asking.chats and any(reader.is_chat for reader in readers):
        raise DataError(
            f"the rows are conversations, and the model in '{config.model}' has no chat template",
            "-s chat=on asks in ChatML, if its tokenizer has the tokens; rows with `prompt` or `text` are gone on with"
            " as they stand",
        )
    sampling = Sampling(
        **{name: getattr(config, name) for name in ("max_new_tokens", "num_samples", "temperature", "top_p", "top_k",
                                                    "min_p", "seed", "ended_only")},
        stop=tuple(config.stop),
    )  # fmt: skip
    positions = None if running.facts.two_sided else running.facts.positions
    kind = kind_of_answers([reader.kind for reader in readers], system=bool(config.system))
    return Generating(engine, asking, positions, sampling, config.system, kind, strict)  # type: ignore[arg-type]


def _finish(config: Config, build: Build, tally: Tally, kind: Row) -> Result:
    from llmkit.prediction.generated import write_card, write_report

    model = Path(config.model).name if not is_address(config.model) else config.model
    write_report(Examples(build.dir), tally, model)
    write_card(Examples(build.dir), tally, kind, model)
    metrics = {
        "rows_read": tally.rows, "rows_failed": tally.failed, "answers": tally.answers, "answers_kept": tally.kept,
        "answers_cut": tally.unended, "tokens": tally.tokens, "skipped": dict(tally.skipped.most_common()),
    }  # fmt: skip
    details = {"row": kind.record()}
    return Result(build.finish(Examples.KIND, payload=Examples.PAYLOAD, metrics=metrics, details=details))
