"""export: write a model for a runtime and prove, in a fresh process, that it answers the same."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import CheckFailedError, ConfigError, DataError, SetupError
from llmkit.core.failed import keep_failed
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.page_numbers import size
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data import artifacts
from llmkit.data.sources import Source
from llmkit.exporters import Exporter
from llmkit.exporters.safetensors import Safetensors
from llmkit.stages._export_receipt import equal_line, graph_line, measured_line, parity_line, prove

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.evaluation.parity import Parity


class Config(BaseConfig):
    """Config of `llmkit export`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to export, or its file in GGUF."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """What to write."""
    text: Annotated[Source | None, Family("source", shorthand=("files", "path"), also=(None,))] = None
    """Text to compare on, beside random tokens; null for what training held out, found by the lineage, else texts that
    come with llmkit."""
    parity_prompts: int = Field(4, ge=1)
    """Random prompts of 32 tokens, and as many of text, to compare on; a longer one is added."""
    parity_new_tokens: int = Field(16, ge=1)
    """Greedy tokens compared per prompt; of a model that writes none, what it chooses: labels or a span."""
    unproven: bool = False
    """Write the export where its runtime is missing; the receipt says so, and the exit code is 7."""
    allow_pickle: Annotated[bool, NotIdentity] = False
    """Read pickled weights, as tensors alone: no code in them is run."""
    seed: int = Field(0, ge=0)
    """Seed of the random prompts."""


class Export(Stage[Config]):
    """A model for a runtime."""

    name, version, config = "export", 2, Config

    def check(self, config: Config) -> None:
        """Find out whether what writes and what proves the export is installed."""
        config.exporter.check_installed()
        try:
            config.exporter.runtime().check_installed()
        except SetupError as error:
            if not config.unproven:
                hint = f"{error.hint}; --unproven writes what nothing has proven" if error.hint else None
                raise SetupError(error.message, hint) from error

    def make(self, config: Config, context: Context) -> Result:
        """Export a model."""
        from llmkit.data.rendering import add_templates
        from llmkit.evaluation.reading import add_source
        from llmkit.modeling.pooling import add_pooling

        inputs = Inputs()
        path = inputs.add_directory(config.model, "model", role="model")
        add_templates(path, inputs)
        with suppress(DataError):  # of another head they say nothing, and where vectors are made it is said later
            add_pooling(path, inputs)
        config.exporter.add_inputs(inputs)
        if config.text is not None:  # not as `data`: nothing is learned from it, which is what lineage says of those
            add_source(config.text, inputs, ("corpus", "examples"), role="text")
        with self.build(config, inputs, context) as build:
            if build.finished:
                result = Result(build.finished, up_to_date=True)
            else:
                context.announce(build)
                result = _export(config, context, build, path)
        return _proven(result)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: the format, the files and their parity with the model."""
        metrics = artifact.manifest.metrics
        parity = metrics["parity"]
        files = ", ".join(output.path for output in artifact.manifest.outputs if output.payload)
        facts = [
            ("format", f"{parity['exporter']['type']}, {_size(metrics['bytes'])}"),
            ("files", files),
            ("parity", parity_line(parity)),
            ("graph", graph_line(parity)),
            ("measured", measured_line(parity)),
            ("equal", equal_line(parity)),
        ]
        notes = [("note", note) for note in parity.get("notes", ())]
        return [(label, value) for label, value in facts if value] + notes


STAGE = Export()


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e6 else size(num_bytes)


def _export(config: Config, context: Context, build: Build, path: Path) -> Result:
    from llmkit.modeling.adapted import check_merges
    from llmkit.modeling.generation import check_ends
    from llmkit.modeling.load import count_parameters
    from llmkit.modeling.pickled import unpickled
    from llmkit.modeling.pooling import pooling_of, write_pooling
    from llmkit.modeling.tied import mend_tied
    from llmkit.runtimes.transformers import Transformers
    from llmkit.stages._export_receipt import ask_model

    check_merges(path)
    source = unpickled(path, build.scratch) if config.allow_pickle else path
    ours = Transformers()
    running = ours.load(str(source))
    model, tokenizer = running.model, running.tokenizer
    _check_supported(config.exporter, model.config, tokenizer, path)
    check_ends(model, path)
    asked = ask_model(config, running, ours, path)
    inside = build.dir / config.exporter.root
    inside.mkdir(exist_ok=True)
    if running.head.answer == "vector" and (pooling := pooling_of(path)).files:
        write_pooling(inside, pooling, model.config.get_text_config().hidden_size)
    untied, parameters = mend_tied(model), count_parameters(model)
    notes = [*([untied] if untied else []), *(config.exporter.write(model, tokenizer, inside) or ())]
    asked = asked.with_rounded(running, config.exporter)
    chat = bool(tokenizer.chat_template)
    del model, tokenizer
    running.close()  # the fresh process needs the memory
    export = artifacts.Export(build.dir)
    written = export.files()
    context.console.info("reloading the export in a fresh process")
    found = prove(config, build, asked, notes)
    export.write_parity(found)
    if not found["passed"] and found["proven"]:
        _keep(build, found)
    _write_card(build.dir, config.exporter, asked.parity, found, parameters, chat=chat)
    num_bytes = sum(file.stat().st_size for file in written)
    metrics = {"parameters": parameters, "bytes": num_bytes, "parity": found}
    payload = [file.relative_to(build.dir).as_posix() for file in written]
    return Result(build.finish(export.KIND, payload=payload, metrics=metrics))


def _keep(build: Build, found: dict[str, Any]) -> None:
    """Keep an export that failed for a look, and say why it has.

    Raises:
        CheckFailedError: Always.
    """
    failures, hint = found["failures"], found.pop("hint", None)
    kept = keep_failed(build.dir, build.out)
    more = f" and {len(failures) - 1} more faults" if len(failures) > 1 else ""
    look = f"it is kept in {kept.name} for a look, with {artifacts.Export.PARITY}{more}"
    hint = f"{hint}; {look}" if hint else look
    was, now = str(build.dir), str(kept)  # where a runtime has looked, and where that is now
    raise CheckFailedError(failures[0].replace(was, now), hint=hint.replace(was, now))


def _proven(result: Result) -> Result:
    """Return a result that was proven.

    Raises:
        CheckFailedError: It was not; it is whole all the same.
    """
    parity = result.artifact.manifest.metrics["parity"]
    if parity.get("proven", True):
        return result
    raise CheckFailedError(
        f"{result.artifact.path} is written, and nothing has proven that it answers like its model:"
        f" {parity['failures'][0]}",
        hint=f"{parity['hint']}, then the same command without --unproven and with --force" if parity["hint"] else None,
    )


def _check_supported(
    exporter: Exporter, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, path: Path
) -> None:
    """Refuse a model that the exporter cannot write, with the names of exporters that can.

    Raises:
        ConfigError: It cannot.
    """
    why = exporter.supports(config, tokenizer)
    if why is None:
        return
    family = Family("exporter")
    others = []
    for name in family.members():
        try:
            other = family.parse(name)
        except PydanticCustomError:
            continue  # it has fields without defaults
        if name != exporter.type_name and other.supports(config, tokenizer) is None:
            others.append(f"-s exporter={name}")
    raise ConfigError(
        f"exporter: {exporter.type_name} does not write {path}: {why}",
        hint=f"{' or '.join(others)} does" if others else None,
    )


def _write_card(
    directory: Path, exporter: Exporter, parity: Parity, found: dict[str, Any], parameters: int, *, chat: bool
) -> None:
    from llmkit.training.finish import write_card

    facts = {"parameters": f"{parameters:,}", "format": exporter.type_name, "parity": parity_line(found)}
    facts |= {"note" if not i else f"note {i + 1}": note for i, note in enumerate(found["notes"])}
    title = f"{parity.config.model_type} {parameters / 1e6:.1f}M"
    usage = exporter.usage(parity.head)
    write_card(directory, parity.head, title=title, facts=facts, chat=chat, usage=usage)
