"""tokenize: train or take a tokenizer and encode corpora into the token artifact."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from llmkit.cleaning.estimate import estimate as reading_estimate
from llmkit.cleaning.estimate import measure_inputs
from llmkit.cleaning.reading import Readable, describe_inputs, read_inputs
from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import PARTIAL, Artifact, open_artifact, read_manifest
from llmkit.core.registry import Family
from llmkit.core.stage import Estimate, Facts, Stage
from llmkit.data.artifacts import Tokens
from llmkit.data.sources import RawFile, Source
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest
from llmkit.tokenization.estimate import estimate
from llmkit.tokenization.plan import EncoderName, Made, SplitCounts, encode_corpora
from llmkit.tokenization.report import write_token_reports
from llmkit.tokenization.show import Cutter
from llmkit.tokenization.texts import training_texts
from llmkit.tokenization.trainers import TokenizerPart
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.work.engine import Engine, EngineName
from llmkit.work.once import run_once, run_plan


class Config(BaseConfig):
    """Config of `llmkit tokenize`."""

    inputs: list[Annotated[Source, Family("source", shorthand=("files", "path"))]] = Field(min_length=1)
    """Corpus artifacts, or whatever `clean` reads, taken as it is; joined in this order. There are no weights here: a
    token artifact holds every document once, and `pretrain` mixes several artifacts by the weights of its `data`."""
    tokenizer: Annotated[TokenizerPart, Family("tokenizer", shorthand=("existing", "path"), default="bpe")] = Bpe()
    """The tokenizer: what to train, or the path of one to take."""
    validation_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the documents, by a hash of their text, that training never sees and validates on."""
    test_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the documents held out for `llmkit eval`."""
    allow_special: bool = False
    """Let special tokens that stand in the text, such as `<|endoftext|>`, become special tokens. If not, they are text:
    a web page that names one does not end a document."""
    encoder: Annotated[EncoderName, NotIdentity] = "auto"
    """What finds the ids, which are the same: `tokenizers`, or `gigatoken`, which is many times faster, does byte-level
    BPE only, and is checked against `tokenizers` on a part of the text; `auto` takes it where it can."""
    workers: Annotated[int | None, NotIdentity] = Field(None, ge=1)
    """Workers: threads with the fast encoder where they are faster, else processes; null for one per core, no more than
    there are tasks of 16 MB of text. Ray decides for itself."""
    engine: Annotated[EngineName, NotIdentity] = "local"
    """Where the tasks run: local processes, or a Ray cluster (`RAY_ADDRESS`). The output is the same."""

    @model_validator(mode="after")
    def _check_fractions(self) -> Config:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        return self


class Tokenize(Stage[Config]):
    """Corpora to tokens."""

    name, version, config, resumable = "tokenize", 4, Config, True

    def make(self, config: Config, context: Context) -> Result:
        """Tokenize corpora."""
        described = Inputs()
        text = describe_inputs(config.inputs, described, kind="corpus", role="inputs")
        _describe_tokenizer(config.tokenizer, described)
        with self.build(config, described, context) as build:
            if build.finished:
                failed = build.finished.manifest.metric("documents_failed")
                if context.strict and failed:
                    raise DataError(f"{build.out} was made with {failed:,} unreadable rows left out")
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            return _tokenize(config, context, build, text)

    def plan(self, config: Config, num_processes: int) -> Estimate:  # noqa: ARG002 - workers are the config's
        """Work out tasks, passes and the disk they need, from the sizes of the inputs and their first rows."""
        corpora, raw = [], []
        for source in config.inputs:
            if _is_artifact(source):
                corpora.append(open_artifact(source.root(), "corpus", role="inputs"))
            else:
                raw.append((source, source.files()))
        reading, sizes = reading_estimate(raw, []), measure_inputs(raw)
        files = [output for corpus in corpora for output in corpus.manifest.outputs if output.payload]
        found = estimate(
            config.tokenizer,
            num_files=sizes.num_files + len(files),
            num_bytes=sizes.num_bytes + sum(file.bytes for file in files),
            text_bytes=sizes.text_bytes + sum(corpus.manifest.metric("bytes_kept") for corpus in corpora),
            num_rows=sizes.num_rows + sum(corpus.manifest.metric("documents_kept") for corpus in corpora),
            raw_disk=reading.values["disk"],
        )
        return replace(found, warnings=reading.warnings)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: the tokenizer, what encoded, and what each split holds."""
        metrics, details = artifact.manifest.metrics, artifact.manifest.details
        encoder = details["encoder"]
        checked = f", {encoder['documents_checked']:,} documents checked" if encoder["documents_checked"] else ""
        return [
            ("tokenizer", f"{metrics['vocab_size']:,} tokens, {metrics['bytes_per_token']:.2f} bytes per token"),
            ("encoder", f"{encoder['name']}{checked}"),
            *(
                (split, f"{counts['tokens']:,} tokens, {counts['documents']:,} documents")
                for split, counts in metrics["splits"].items()
            ),
            ("report", str(Tokens(artifact.path).report)),
        ]


STAGE = Tokenize()


def _describe_tokenizer(tokenizer: TokenizerPart, described: Inputs) -> None:
    paths = tokenizer.reads()
    for directory in (path for path in paths if path.is_dir()):
        described.add_directory(directory, ("tokens", "model", "export"), role="tokenizer")
    files = [RawFile(str(path.absolute()), path.name, path.stat().st_size) for path in paths if not path.is_dir()]
    if files:
        described.add_files(str(Path(files[0].path).parent), files, role="tokenizer")


def _is_artifact(source: Source) -> bool:
    """Tell artifacts of ours from raw text, which may be no labelled rows; artifacts say themselves what they hold."""
    root = Path(source.root())
    if read_manifest(root) is not None or (root / PARTIAL).is_dir():
        return True
    if source.kind() != "corpus":
        raise ConfigError(f"inputs: {root} gives labelled rows, not text", "llmkit finetune reads them as they are")
    return False


def _tokenize(config: Config, context: Context, build: Build, text: Readable) -> Result:
    work = build.scratch / ("strict" if context.strict else "lenient")
    work.mkdir(exist_ok=True)
    with Engine(config.engine, config.workers) as engine:
        cutter = cache(lambda: Cutter(load_tokenizer(build.dir)))  # as those who train on the tokens will find it
        made, num_failed = run_once(work, "whole", lambda: _encode(config, context, build, text, engine, cutter))
    tokenizer = cutter().tokenizer
    # Not before the result is noted: with half of these files gone there would be nothing to go on from.
    for folder in work.glob("work-*"):
        shutil.rmtree(folder)
    train = made.counts.get("train", SplitCounts())
    if not train.num_tokens:
        num_bytes = sum(count.num_bytes for count in made.counts.values())
        raise DataError(
            f"the train split is empty: {num_bytes:,} bytes of text gave no training document",
            "lower validation_fraction and test_fraction" if num_bytes else "give inputs that hold text",
        )
    metrics = _metrics(made, len(cutter().kinds), num_failed)
    Tokens(build.dir).write_facts(
        vocab_size=metrics["vocab_size"],
        tokenizer_digest=tokenizer_digest(tokenizer),
        splits=metrics["splits"],
        fractions=_fractions(config),
    )
    write_token_reports(build.dir, made.statistics, cutter())
    artifact = build.finish(Tokens.KIND, payload=Tokens.PAYLOAD, metrics=metrics, details={"encoder": made.details})
    return Result(artifact, notes=[*config.tokenizer.notes(tokenizer), *_notes(made, tokenizer, config)])


def _encode(
    config: Config, context: Context, build: Build, text: Readable, engine: Engine, cutter: Callable[[], Cutter]
) -> tuple[Made, int]:
    """Make the tokenizer and the splits; return what was made, and how many rows were unreadable."""
    fractions = _fractions(config)
    work = build.scratch / ("strict" if context.strict else "lenient")
    corpora, num_failed = read_inputs(text, None, work, engine, context)

    def make() -> None:
        made = config.tokenizer.make(partial(training_texts, corpora, **fractions), context.console)
        made.save_pretrained(build.dir)

    run_once(work, "tokenizer", make)
    made = encode_corpora(
        corpora,
        cutter(),
        build.dir,
        work / "work-tokens",
        engine=engine,
        run_plan=run_plan,
        console=context.console,
        encoder=config.encoder,
        allow_special=config.allow_special,
        **fractions,
    )
    return made, num_failed


def _fractions(config: Config) -> dict[str, float]:
    return {"validation_fraction": config.validation_fraction, "test_fraction": config.test_fraction}


def _metrics(made: Made, vocab_size: int, num_failed: int) -> dict[str, Any]:
    total = made.statistics.total()
    return {
        "vocab_size": vocab_size,
        "splits": made.splits(),
        "bytes_per_token": round(total.bytes / max(total.tokens, 1), 4),
        "documents_failed": num_failed,
        "bytes_unknown": total.unknown_bytes,
        "bytes_lost": total.lost_bytes,
    }


def _notes(made: Made, tokenizer: Any, config: Config) -> list[str]:
    notes = []
    if not made.counts.get("validation", SplitCounts()).num_tokens:
        why = f"too few documents for validation_fraction {config.validation_fraction:g}"
        why = why if config.validation_fraction else "validation_fraction is 0"
        notes.append(f"note: no validation split ({why}): pretrain has nothing to validate on")
    if tokenizer.eos_token_id is None:
        notes.append("note: the tokenizer has no EOS token: causal models trained on these tokens cannot learn to stop")
    total = made.statistics.total()
    if total.lost_bytes:
        notes.append(f"note: {total.lost_bytes:,} bytes of text have no token: the vocabulary lacks them")
    if total.unread.total:
        then = "; training gives no bits per byte" if total.unread.is_too_much(total.bytes) else ""
        notes.append(f"note: {total.unread.words(total.bytes)}{then}")
    if made.details["differences"]:
        notes.append("note: gigatoken and tokenizers disagreed, so tokenizers encoded all of it; see llmkit.json")
    return notes
