"""export: write a model for a runtime and prove, in a fresh process, that it answers the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from pydantic_core import PydanticCustomError

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.errors import CheckFailedError, ConfigError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.registry import Family
from llmkit.core.stage import Facts, Stage
from llmkit.data import artifacts
from llmkit.exporters import Exporter
from llmkit.exporters.safetensors import Safetensors
from llmkit.runtimes import Runtime

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.parity import Parity


class Config(BaseConfig):
    """Config of `llmkit export`."""

    model: Annotated[str, NotIdentity]
    """Directory of the model to export, or its file in GGUF."""
    exporter: Annotated[Exporter, Family("exporter")] = Safetensors()
    """What to write."""
    parity_prompts: int = Field(4, ge=1)
    """Random prompts of 32 tokens on which the export is compared with the model, by logits and by chosen tokens."""
    parity_new_tokens: int = Field(16, ge=1)
    """Greedy tokens compared per prompt; of a model that writes none, what it chooses is: tokens, labels or a span."""
    seed: int = Field(0, ge=0)
    """Seed of the prompts."""


class Export(Stage[Config]):
    """A model for a runtime."""

    name, version, config = "export", 1, Config

    def make(self, config: Config, context: Context) -> Result:
        """Export a model."""
        inputs = Inputs()
        path = inputs.add_directory(config.model, "model", role="model")
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            return _export(config, context, build, path)

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: the format, the files and their parity with the model."""
        metrics = artifact.manifest.metrics
        files = ", ".join(output.path for output in artifact.manifest.outputs if output.payload)
        return [
            ("format", f"{metrics['parity']['exporter']['type']}, {metrics['bytes'] / 1e6:.1f} MB"),
            ("files", files),
            ("parity", parity_line(metrics["parity"])),
        ]


STAGE = Export()


def _export(config: Config, context: Context, build: Build, path: Path) -> Result:
    from llmkit.evaluation.parity import Parity
    from llmkit.modeling.adapted import check_merges
    from llmkit.modeling.load import count_parameters
    from llmkit.modeling.pooling import pooling_of, write_pooling
    from llmkit.runtimes.transformers import Transformers

    check_merges(path)
    ours, proving = Transformers(), config.exporter.runtime()
    running = ours.load(str(path))
    model, tokenizer = running.model, running.tokenizer
    _check_supported(config.exporter, model.config, tokenizer, path)
    parity = Parity.of(
        path, model.config, running.head, positions=running.facts.positions,
        prompts=config.parity_prompts, new_tokens=config.parity_new_tokens, seed=config.seed,
    )  # fmt: skip
    answers = parity.ask_original(running, ours.type_name)
    config.exporter.write(model, tokenizer, build.dir)
    if running.head.answer == "vector" and (pooling := pooling_of(path)).files:
        write_pooling(build.dir, pooling, model.config.get_text_config().hidden_size)
    parameters = count_parameters(model)
    del model
    running.close()  # the fresh process needs the memory
    export = artifacts.Export(build.dir)
    written = export.files()
    context.console.info("reloading the export in a fresh process")
    others = parity.ask_export(proving, build.dir, build.scratch)
    found = parity.compare(answers, others, tolerance=config.exporter.tolerance, exact=config.exporter.exact)
    found |= {
        "exporter": config.exporter.spec(mode="json"),
        "runtimes": {"model": _receipt(ours, answers), "export": _receipt(proving, others)},
    }
    export.write_parity(found)
    if not found["passed"]:
        raise CheckFailedError(
            f"the export does not answer like {path}: {_compared(found)} differ by"
            f" {found['max_logit_difference']:.3g} (at most {found['tolerance']:.3g} allowed){_chosen(found)}",
            hint="nothing was exported; use a wider dtype, or raise exporter.max_logit_difference knowingly",
        )
    _write_card(build.dir, config.exporter, parity, found, parameters, chat=bool(tokenizer.chat_template))
    size = sum(file.stat().st_size for file in written)
    metrics = {"parameters": parameters, "bytes": size, "parity": found}
    payload = [file.relative_to(build.dir).as_posix() for file in written]
    return Result(build.finish(export.KIND, payload=payload, metrics=metrics))


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


def _receipt(runtime: Runtime, answers: Answers) -> dict[str, Any]:
    return {"runtime": runtime.spec(mode="json"), "versions": dict(answers.versions)}


def parity_line(parity: dict[str, Any]) -> str:
    """Return the outcome of the comparison in a line."""
    return (
        f"{_compared(parity)} within {parity['max_logit_difference']:.2g} (limit {parity['tolerance']:.2g})"
        f"{_chosen(parity)}, in a fresh process"
    )


def _compared(parity: dict[str, Any]) -> str:
    return "numbers" if parity.get("answer") in ("number", "vector") else "logits"


def _chosen(parity: dict[str, Any]) -> str:
    if not parity["tokens"]:
        return ""
    chosen = parity.get("chosen", "tokens")  # an older export does not say
    return f", {parity['equal_tokens']} of {parity['tokens']} {chosen} equal"


def _write_card(
    directory: Path, exporter: Exporter, parity: Parity, found: dict[str, Any], parameters: int, *, chat: bool
) -> None:
    from llmkit.training.finish import write_card

    facts = {"parameters": f"{parameters:,}", "format": exporter.type_name, "parity": parity_line(found)}
    title = f"{parity.config.model_type} {parameters / 1e6:.1f}M"
    write_card(directory, parity.head, title=title, facts=facts, chat=chat)
