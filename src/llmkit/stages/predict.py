"""predict: a model's labels, numbers, tags, spans or vectors for the rows of any files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from llmkit.cleaning.reading import check_failed, check_filled, check_unchanged, file_stamps
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs, RawFile
from llmkit.core.manifest import Artifact, read_manifest
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Model, Predictions
from llmkit.data.sources import Source

if TYPE_CHECKING:
    from llmkit.prediction.run import Prediction
    from llmkit.prediction.tally import Tally
    from llmkit.prediction.writing import TextAnswers
    from llmkit.runtimes._heads import HeadAnswers

BROKEN_SHOWN = 5
LABELS_SHOWN = 8
_LABELLED = 1000
"""Labels whose counts stand in the manifest; the report has more."""
AnySource = Annotated[Source, Family("source", shorthand=("files", "path"))]
Read = list[tuple[Source, list[RawFile]]]
Share = Annotated[float, Field(ge=0, le=1)]


class Config(BaseConfig):
    """Config of `llmkit predict`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model: of a head over texts, or a body alone, whose vectors are wanted."""
    inputs: list[AnySource] = Field(min_length=1)
    """Where the rows are: paths, source names, or sources with their fields, in the order of the output."""
    columns: dict[str, str] = {}
    """Column of the data that holds a text of the row, where its name differs: `{text: review}`, of pairs
    `{text: premise, pair: hypothesis}`, of questions `{question: query, text: passage}`. A second text is read from a
    column `pair` or one that is named here."""
    keep: list[str] | Literal["all"] = "all"
    """Columns of the data that are written beside the answers: all of them, or a list. A text has its own column, all
    else is in `meta`, as JSON."""
    answer: Literal["auto", "vector", "text"] = "auto"
    """What is asked: what the model's head gives, or the vectors of its body, whatever stands on it: as its
    `modules.json` says (sentence-transformers), else the mean of the tokens' vectors. A model that was trained to make
    texts of texts writes them; `text` has any model write that can."""
    prompt: str | None = None
    """Name of the prompt that is put before every text, of models of vectors that have several: `query`, `document`.
    null: the one that the model's files say, else none."""
    threshold: Share | dict[str, Share] | None = None
    """Probability from which a label is said, for all of them or by name; below it `label` is null. null: of several
    labels those from 0.5 on, of one the likeliest."""
    max_tokens: int | None = Field(None, ge=4)
    """Tokens of a text that the model reads, special ones included; null for all its positions. Longer texts are cut at
    their end, of a pair the longer one, and counted."""
    max_new_tokens: int | None = Field(None, ge=1)
    """Tokens of a text that the model writes, at most; null for what its generation config says."""
    precision: Literal["float32", "bf16", "auto"] = "float32"
    """Number format of the model. bf16 is faster where hardware multiplies it, and less exact; auto takes it there."""


class Predict(Stage[Config]):
    """A model's answers to rows."""

    name, version, config, resumable = "predict", 1, Config, True

    def make(self, config: Config, context: Context) -> Result:
        """Predict."""
        from llmkit.modeling.pooling import add_pooling

        inputs = Inputs()
        path = inputs.add_directory(config.model, Model.KINDS, role="model")
        add_pooling(path, inputs)
        read: Read = [(source, source.files()) for source in config.inputs]
        files = [file for _, found in read for file in found]
        check_filled(files)
        stamps = file_stamps(files)
        for source, found in read:
            if read_manifest(Path(source.root())) is None:
                inputs.add_files(source.root(), found, role=source.type_name)
            else:
                inputs.add_artifact(source.root(), ("corpus", "examples"), role=source.type_name)
        with self.build(config, inputs, context) as build:
            if build.finished:
                metrics = build.finished.manifest.metric
                check_failed(metrics("rows_failed"), metrics("rows_read"), context.max_failed, str(build.out))
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            prediction, tally = _predict(config, context, build, path, read)
            check_unchanged(stamps, files)
            return _finish(config, build, path, prediction, tally)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: how many rows have an answer, and what was said how often."""
        from llmkit.prediction.report import shares

        metrics = artifact.manifest.metrics
        left = {
            "without a text": metrics["rows_without_text"], "unreadable": metrics["rows_failed"],
            "cut at the end": metrics["rows_cut"],
        }  # fmt: skip
        rows = [f"{metrics['rows_predicted']:,} of {metrics['rows_read']:,} have an answer"]
        facts = [("rows", ", ".join([*rows, *(f"{count:,} {what}" for what, count in left.items() if count)]))]
        if metrics["said"]:
            facts.append(("said", shares(metrics["said"], LABELS_SHOWN)))
        return [*facts, ("report", str(Predictions(artifact.path).report))]


STAGE = Predict()


def _predict(config: Config, context: Context, build: Build, path: Path, read: Read) -> tuple[Prediction, Tally]:
    from llmkit.prediction.model import choose_head, open_model, output_of, settle_precision
    from llmkit.prediction.rows import make_readers
    from llmkit.prediction.run import Prediction, predict

    head = choose_head(path, config.answer)
    precision = settle_precision(config.precision)
    answers = open_model(path, head, precision, config.max_tokens, config.prompt, config.max_new_tokens)
    output = output_of(answers, config.threshold)
    assert answers.kind is not None
    readers = make_readers(read, answers.kind, config.columns, config.keep)
    for number, reader in enumerate(readers):
        context.console.info(f"inputs.{number}: {reader.describe()}")
    _say_what_is_asked(answers, precision, context)
    kept = list(dict.fromkeys(field for reader in readers for field in reader.kept_fields()))
    if alone := answers.alone():
        context.console.warn(f"rows are answered one by one, since {alone}")
    prediction = Prediction(answers, output, kept, bool(alone), context.strict)
    tally = predict(prediction, readers, build.dir, build.scratch, context)
    _check(tally, context)
    return prediction, tally


def _say_what_is_asked(answers: HeadAnswers | TextAnswers, precision: str, context: Context) -> None:
    from llmkit.prediction.writing import TextAnswers

    how = f"; {answers.pooling.describe()}" if answers.head.answer == "vector" else ""
    how = how or (f"; {answers.describe()}" if isinstance(answers, TextAnswers) else "")
    device = answers.model.device.type
    context.console.info(
        f"model: {answers.head.type_name}, {precision} on {device}, {answers.limit:,} tokens a text{how}"
    )


def _check(tally: Tally, context: Context) -> None:
    """Warn of what is left out, and refuse a run that has predicted nothing."""
    for row in tally.broken[:BROKEN_SHOWN]:
        where = f"{row['file']}:{row['line']}" if row["line"] else f"{row['file']}: row {row['row'] + 1}"
        context.console.warn(f"{where}: {row['reason']}")
    if tally.failed > BROKEN_SHOWN:
        context.console.warn(f"and {tally.failed - BROKEN_SHOWN:,} more unreadable rows")
    if not tally.rows:
        raise DataError("nothing to predict: the input has no rows", f"head {next(iter(tally.files), 'FILE')}")
    check_failed(tally.failed, tally.rows, context.max_failed)
    if not tally.predicted:
        raise DataError(
            f"nothing to predict: none of the {tally.rows:,} rows has a text",
            "--text-field names the column that holds it",
        )
    if tally.without_text:
        context.console.warn(f"{tally.without_text:,} of {tally.rows:,} rows lack a text: their answers are null")
    if tally.cut:
        context.console.warn(f"{tally.cut:,} texts are longer than what the model reads, and were cut at their end")


def _finish(config: Config, build: Build, path: Path, prediction: Prediction, tally: Tally) -> Result:
    from llmkit.prediction.report import write_card, write_report

    answers = prediction.answers
    how = {"vectors": answers.pooling.describe()} if answers.head.answer == "vector" else {}
    write_report(build.dir, tally, {"model": path.name, "head": answers.head.type_name, **how})
    write_card(build.dir, tally, prediction.output, path.name)
    metrics = {
        "rows_read": tally.rows,
        "rows_predicted": tally.predicted,
        "rows_without_text": tally.without_text,
        "rows_failed": tally.failed,
        "rows_cut": tally.cut,
        "said": dict(tally.said.most_common(_LABELLED)),
    }
    details = {"head": answers.head.type_name, "columns": [field.name for field in prediction.schema]}
    resolved = {"precision": str(answers.model.dtype).removeprefix("torch.")} if config.precision == "auto" else {}
    artifact = build.finish(
        Predictions.KIND, payload=Predictions.PAYLOAD, metrics=metrics, resolved=resolved, details=details
    )
    return Result(artifact)
