"""A training from beginning to end, pretrain and finetune alike: prepare, train, save, report, finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.core.artifact import Build
from llmkit.core.context import Context, Result
from llmkit.core.extension import Passed
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Model
from llmkit.data.unread import Unread
from llmkit.modeling.adapters import Adapter, Base, Targets
from llmkit.training.config import TrainingConfig
from llmkit.training.finish import FULL
from llmkit.training.resume import add_checkpoint, passed_limit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.page import Page
    from llmkit.training.job import Job
    from llmkit.training.snapshot import TrainState
    from llmkit.training.stops import Ask

_NOT_VALIDATED = "no validation split: nothing says how the model does on text that it has not seen"
C = TypeVar("C", bound=TrainingConfig)
Report = Callable[["Page", Sequence[Any]], None]
"""Writes about the answers to the held-out rows, in their order."""


@dataclass(frozen=True)
class Prepared:
    """What a stage has made ready.

    Attributes:
        job: What is trained on what.
        config: The training fields, with every `auto` that the data decides resolved.
        tokenizer: The model's.
        end_ids: Tokens at which generation stops.
        chat: The tokenizer has a chat template that the model is trained with.
        suffix: What the card's headline says of the model beside its size: `, fine-tuned`.
        facts: What card and report say beside the figures of the training.
        metrics: What the manifest says of the data.
        resolved: What the data decided, for the manifest.
        report: Adds to the report what the answers to held-out rows show.
        notes: Sentences for people, at the end.
        stops: Asks the trained model whether it comes to an end; None where it does not write.
        adapter: What of the model is trained.
        targets: The same in numbers; None for all of it.
        base: The model that an adapter is trained on, where a run leaves the adapter alone.
    """

    job: Job
    config: TrainingConfig
    tokenizer: PreTrainedTokenizerFast
    end_ids: list[int]
    chat: bool = False
    suffix: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    resolved: dict[str, Any] = field(default_factory=dict)
    report: Report | None = None
    notes: list[str] = field(default_factory=list)
    stops: Ask | None = None
    adapter: Adapter = FULL
    targets: Targets | None = None
    base: Base | None = None


class TrainingStage(Stage[C]):
    """A stage that trains: a config, what it reads, and how model and data are made ready."""

    resumable = True
    kept = Model.KEPT

    def check(self, config: C) -> None:
        """Check that the trackers are installed."""
        from llmkit.training.trackers import check_trackers

        check_trackers(config.trackers)

    def passed(self, config: C, context: Context) -> Passed:
        """Measure limits by what is trained: any may be exchanged for another that lies beyond it."""
        return lambda kept: passed_limit(config, kept, context.checkpoint)

    def describe(self, config: C, inputs: Inputs) -> Any:
        """Add what is read to the inputs of the run; return of it what `prepare` wants to know."""
        raise NotImplementedError

    def settle(self, config: C, context: Context, found: Any) -> C:  # noqa: ARG002 - for those that have any such
        """Return the config with what today decides, such as a date, as a run that was begun earlier has it."""
        return config

    def prepare(self, config: C, context: Context, build: Build, found: Any) -> Prepared:
        """Make model and data ready, with what `describe` has found."""
        raise NotImplementedError

    def make(self, config: C, context: Context) -> Result:
        """Train."""
        inputs = Inputs()
        found = self.describe(config, inputs)
        config = self.settle(config, context, found)
        add_checkpoint(context, inputs)
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            return _train(build, context, self.prepare(config, context, build, found))

    def summarize(self, artifact: Artifact) -> Facts:
        """Return label and value pairs: size, training, validation, speed."""
        return [*training_facts(artifact.manifest.metrics).items(), ("report", str(Model(artifact.path).report))]


def _train(build: Build, context: Context, prepared: Prepared) -> Result:
    from llmkit.training.auto import eager
    from llmkit.training.loop import Trainer
    from llmkit.training.memory import out_of_memory_explained
    from llmkit.training.saving import mend, nothing_lost

    mend(prepared, context.console)
    context.shared("saving", lambda: _tried(build, prepared))
    with out_of_memory_explained(prepared.config):
        trainer = Trainer(prepared.job, prepared.config, build.dir, context.console)
        if trainer.held_out is None:
            context.console.info(_NOT_VALIDATED)
        state = trainer.train()
    if not context.leads:
        return Result(build.finish("model", payload=Model.PAYLOAD, metrics={}))
    answers = trainer.scored.ordered if trainer.scored is not None else []
    found = trainer.best.record(state)
    if prepared.stops is not None and not prepared.config.parallel.splits:
        with eager(state.resolved):
            found |= prepared.stops(trainer.plain.dtype)
    with nothing_lost(build.dir, context.console):
        metrics = {**_save(build, prepared, answers, state, found), "ended": state.ended}
    resolved = {**state.resolved, **prepared.resolved}
    notes = [*prepared.notes, *([f"note: {_NOT_VALIDATED}"] if trainer.held_out is None else [])]
    return Result(build.finish("model", payload=Model.PAYLOAD, metrics=metrics, resolved=resolved), notes=notes)


def _tried(build: Build, prepared: Prepared) -> dict[str, Any]:
    from llmkit.training.saving import try_saving

    try_saving(prepared, build.dir)
    return {}


def _save(
    build: Build, prepared: Prepared, answers: Sequence[Any], state: TrainState, found: dict[str, Any]
) -> dict[str, Any]:
    """Write model, card and report; return the metrics, with what was found out of the trained model."""
    from llmkit.modeling.load import count_parameters
    from llmkit.training.finish import save_model, training_metrics, write_card
    from llmkit.training.report import write_report

    job, model = prepared.job, prepared.job.models.main
    adapter, targets, base = prepared.adapter, prepared.targets, prepared.base
    save_model(
        build.dir, model, prepared.tokenizer, context_length=prepared.config.context_length, end_ids=prepared.end_ids,
        adapter=adapter, base=base,
    )  # fmt: skip
    size = targets.total if targets is not None else count_parameters(model)
    done = {"steps": state.step, "tokens": state.tokens, "elapsed_s": state.elapsed_s}
    metrics = {
        "parameters": size,
        **_adapted(prepared),
        **prepared.metrics,
        **done,
        **training_metrics(build.dir, found["best"]["step"] if "best" in found else None),
        **found,
        **_unread(job),
    }
    facts = {**prepared.facts, **training_facts(metrics)}
    title = f"{model.config.model_type} {size / 1e6:.1f}M{prepared.suffix}"
    write_card(build.dir, job.objective.model_head(), title=title, facts=facts, chat=prepared.chat, base=base)
    report, more = prepared.report, None
    if report is not None and answers:
        more = lambda page: report(page, answers)  # noqa: E731
    write_report(build.dir, title=job.title, facts=facts, more=more)
    return metrics


def _adapted(prepared: Prepared) -> dict[str, Any]:
    """Return what the manifest says of a model of which a part is trained."""
    targets, base = prepared.targets, prepared.base
    if targets is None:
        return {}
    found = {
        "trained_parameters": targets.trained,
        "adapted": targets.what,
        "adapter": prepared.adapter.spec(mode="json"),
    }
    return found if base is None else {**found, "base": {"path": base.path, "digest": base.digest}}


def _unread(job: Job) -> dict[str, Any]:
    """Return what the tokenizer did not read of the text that the model is validated on, where that is any."""
    held_out = job.feed.held_out()
    if held_out is None or not (job.objective.scores_text and held_out.unread.total):
        return {}
    return {"validation_unread": {"bytes": held_out.num_bytes, **held_out.unread.as_counts()}}


def training_facts(metrics: dict[str, Any]) -> dict[str, str]:
    """Return a training's metrics as people read them."""
    facts = {"parameters": f"{metrics['parameters']:,}"}
    if "trained_parameters" in metrics:
        facts["adapter"] = Targets(metrics["adapted"], metrics["trained_parameters"], metrics["parameters"]).words
    if "base" in metrics:
        facts["base"] = f"{metrics['base']['path']} ({metrics['base']['digest'][:12]})"
    if "rows" in metrics:
        expanded = f" as {metrics['examples']:,} examples" if metrics.get("examples", 0) > metrics["rows"] else ""
        facts["rows"] = f"{metrics['rows']:,}{expanded}, {metrics['targets']:,} {metrics['target']} an epoch"
    facts["trained"] = f"{metrics['steps']:,} steps, {metrics['tokens']:,} tokens"
    if best := metrics.get("best"):
        facts["kept"] = f"the weights of step {best['step']:,}, by {best['measure']} {best['value']:.4f}"
    if "loss" in metrics:
        facts["loss"] = f"{metrics['loss']:.4f}"
    if "bits_per_byte" in metrics:
        before, after = metrics["bits_per_byte_before"], metrics["bits_per_byte"]
        facts["bits per byte"] = f"{before:.4f} -> {after:.4f} on the validation split"
    elif "validation_loss" in metrics:
        facts["validation loss"] = f"{metrics['validation_loss']:.4f}"
    if counts := metrics.get("validation_unread"):
        unread, num_bytes = Unread.in_counts(counts), counts["bytes"]
        then = "no bits per byte, which would mean nothing" if unread.is_too_much(num_bytes) else "not counted in them"
        facts["unread"] = f"{unread.words(num_bytes)}: {then}"
    facts |= {name.replace("_", " "): f"{value:.4f}" for name, value in metrics.get("measures", {}).items()}
    if stops := metrics.get("stops"):
        words = f"{stops['ended']} of {stops['prompts']} answers end by themselves"
        facts["stops"] = f"{words}, within {stops['max_new_tokens']} tokens"
    if "tokens_per_second" in metrics:
        facts["speed"] = f"{metrics['tokens_per_second']:,.0f} tokens/s, {metrics['elapsed_s']:.0f} s in all"
    return facts
