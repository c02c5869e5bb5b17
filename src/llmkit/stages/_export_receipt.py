"""The receipt of an export: ask the model, ask what was written in fresh processes, and say what was found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.artifact import Build
from llmkit.core.errors import CheckFailedError, SetupError
from llmkit.core.page_numbers import percent
from llmkit.exporters import Exporter, Served
from llmkit.runtimes import Runtime
from llmkit.stages._export_text import given_text, held_out

if TYPE_CHECKING:
    from llmkit.evaluation.fresh import Answers
    from llmkit.evaluation.parity import Parity
    from llmkit.evaluation.rounded import Rounded
    from llmkit.runtimes._in_memory import InMemory
    from llmkit.stages.export import Config

__all__ = ["Asked", "ask_model", "equal_line", "graph_line", "measured_line", "parity_line", "prove"]

ADVICE = "use a wider dtype, or allow more knowingly: llmkit schema export --fields lists the exporter's limits"


@dataclass(frozen=True)
class Asked:
    """A model that has answered.

    Attributes:
        parity: What it was asked.
        answers: Its answers.
        runtime: What ran it.
        text: Where the text is from.
        rounded: Its answers with the weights that its export has, and as that rounds; None where nobody can tell.
    """

    parity: Parity
    answers: Answers
    runtime: Runtime
    text: str
    rounded: Rounded | None = None

    def with_rounded(self, running: InMemory, exporter: Exporter) -> Asked:
        """Return the same of a model that has been written, and may compute as its export does from then on."""
        context = exporter.as_run(running.model)
        if context is None:
            return self
        from llmkit.evaluation.rounded import ask_rounded

        answer = self.parity.head.answer
        return replace(self, rounded=ask_rounded(self.parity.asked, answer, running, self.runtime.type_name, context))


def ask_model(config: Config, running: InMemory, runtime: Runtime, path: Path) -> Asked:
    """Put to a model what its export will be asked.

    Raises:
        NotFiniteError: An answer is no number.
    """
    from llmkit.evaluation.parity import Parity
    from llmkit.evaluation.probes import probes

    most = config.parity_prompts
    text = held_out(path, most) if config.text is None else given_text(config.text, most)
    asked = probes(
        running.model.config, running.head, running.tokenizer, positions=running.facts.positions, prompts=most,
        new_tokens=config.parity_new_tokens, seed=config.seed, held_out=text.texts, start=running.facts.start,
    ).without(partial(config.exporter.leaves_out, tokenizer=running.tokenizer))  # fmt: skip
    parity = Parity(path, running.model.config, running.head, asked)
    return Asked(parity, parity.ask_original(running, runtime.type_name), runtime, text.source)


def prove(config: Config, build: Build, asked: Asked, notes: list[str]) -> dict[str, Any]:
    """Ask an export in fresh processes and return the receipt.

    Args:
        config: The run's.
        build: Where the export lies.
        asked: The model, which has answered.
        notes: What the exporter says of what it wrote.

    Returns:
        `proven`: something has answered; `passed`: as the model has, within the limits; `failures`: why not.

    Raises:
        ConfigError: The runtime does not answer what has to be asked.
        SetupError: It is not installed, or was killed.
    """
    exporter, proving = config.exporter, config.exporter.runtime()
    inside = build.dir / exporter.root
    receipt = {"exporter": exporter.spec(mode="json"), "text": asked.text}
    ours = _named(asked.runtime, asked.answers.versions)
    try:
        proving.check_installed()
        others = asked.parity.ask_export(proving, inside, build.scratch)
    except (CheckFailedError, SetupError) as error:
        if isinstance(error, SetupError) and not config.unproven:
            raise
        failed = {
            "passed": False, "proven": isinstance(error, CheckFailedError), "failures": [error.message],
            "hint": error.hint, "notes": notes,
        }  # fmt: skip
        return failed | receipt | {"runtimes": {"model": ours, "export": _named(proving, {})}}
    found = asked.parity.compare(
        asked.answers, others, limits=partial(exporter.limits, config=asked.parity.config),
        stops_early=exporter.stops_early, rounded=asked.rounded,
    )  # fmt: skip
    readers = _ask_readers(exporter, build, asked, found)
    served = _rehearse(exporter, build, asked, others, found)
    found["notes"] = [*notes, *found["notes"]]
    found["passed"] = not found["failures"]
    if not found["passed"]:
        found["hint"] = _advice(found)
    runtimes = {"model": ours, "export": _named(proving, others.versions)}
    more = ({"readers": readers} if readers else {}) | ({"served": dict(served.facts)} if served else {})
    return {"proven": True} | found | receipt | {"runtimes": runtimes} | more


def _rehearse(exporter: Exporter, build: Build, asked: Asked, others: Answers, found: dict[str, Any]) -> Served | None:
    """Start what serves the export, if it brings any; add to what was found how it differs."""
    if found["failures"]:
        return None
    try:
        served = exporter.rehearse(build.dir, asked.parity.asked, others)
    except CheckFailedError as error:
        found["failures"].append(error.message)
        return None
    found["failures"] += served.failures if served else ()
    return served


def _ask_readers(exporter: Exporter, build: Build, asked: Asked, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Ask what else reads the export; add to what was found how it differs."""
    told = []
    for reader in exporter.readers():
        try:
            reader.check_installed()
            answers = asked.parity.ask_reader(reader, build.dir / exporter.root, build.scratch)
        except SetupError as error:
            told.append({**_named(reader, {}), "left_out": error.message})
            continue
        except CheckFailedError as error:
            found["failures"].append(f"{reader.type_name}: {error.message}")
            told.append(_named(reader, {}))
            continue
        failures, notes = asked.parity.borders(
            asked.answers, answers, reader.type_name, stops_early=exporter.stops_early
        )
        found["failures"] += failures
        found["notes"] += notes
        told.append(_named(reader, answers.versions))
    return told


def _advice(found: dict[str, Any]) -> str | None:
    first = found["failures"][0]
    if "does not answer like" in first:
        return ADVICE
    if "does not compute what" in first:
        return "that is a fault of the export or of its runtime: --format safetensors writes it for transformers"
    if "reads text otherwise" in first:
        return "compare tokenizer.json and tokenizer_config.json with the model's"
    if "stops writing" in first:
        return "compare eos_token_id in generation_config.json with the model's"
    if "renders a chat" in first:
        return "write the chat template so that both engines render it alike"
    return "is it of another vocabulary, or of another head?"


def _named(runtime: Runtime, versions: Any) -> dict[str, Any]:
    return {"runtime": runtime.spec(mode="json"), "versions": dict(versions)}


def parity_line(parity: dict[str, Any]) -> str:
    """Return the outcome of the comparison in a line."""
    if not parity.get("proven", True):
        return f"unproven: {parity['failures'][0]}"
    limit = parity["tolerance"]
    allowed = "" if limit is None else f" (limit {limit:.2g})"
    noun = "numbers" if parity.get("answer") in ("number", "vector") else "logits"
    # An older export does not say what was chosen.
    chosen = f", {parity['equal_tokens']} of {parity['tokens']} {parity.get('chosen', 'tokens')} equal"
    largest = parity["max_logit_difference"]
    return f"{noun} within {largest:.2g}{allowed}{chosen if parity['tokens'] else ''}, in a fresh process"


def graph_line(parity: dict[str, Any]) -> str:
    """Return what was found of the graph apart from rounding; nothing where weights are not rounded."""
    graph = parity.get("graph")
    if not graph:
        return ""
    off, most = (percent(graph[name], 1) for name in ("off", "limit"))
    return f"{off} off the model with the same rounded weights (at most {most})"


def measured_line(parity: dict[str, Any]) -> str:
    """Return what else was measured in a line, with its limits; nothing of an older export, or an unproven one."""
    groups, limits = parity.get("measured"), parity.get("limits", {})
    if not groups:
        return ""
    where, sums = next((name, groups[name]) for name in ("text", "random") if name in groups)
    parts = [f"mean difference {parity['mean_logit_difference']:.2g}"]
    if sums["top1"] is not None:
        parts.append(f"top-1 {_floored(sums['top1'])}")
        if "top1" in limits:
            parts.append(f"{_floored(sums['top1_but_ties'])} but for ties (at least {limits['top1']:g})")
    if sums["kl"] is not None:
        parts.append(f"KL {max(0.0, sums['kl']):.2g}")
    if bits := parity["bits_per_byte"]:
        most = f" (at most {limits['bits']:.0%} more)" if "bits" in limits else ""
        parts.append(f"bits per byte {bits['export']:.4g}, the model's {bits['model']:.4g}{most}")
    if parity["cosine"] is not None:
        least = f" (at least {limits['cosine']:g})" if "cosine" in limits else ""
        parts.append(f"cosine {_floored(parity['cosine'])}{least}")
    said = parity["text"] if where == "text" else "random tokens"
    return f"{', '.join(parts)}, on {said}"


def equal_line(parity: dict[str, Any]) -> str:
    """Return what of the tokenizer was found to be equal, in a line."""
    equal = parity.get("equal") or {}
    parts = [f"ids of {equal['texts']} texts"] if equal.get("texts") else []
    parts += [f"{equal['chats']} rendered chats"] if equal.get("chats") else []
    parts += [f"stops at {', '.join(map(str, equal['ends']))}"] if equal.get("ends") else []
    parts += [f"{count} answers of {route}" for route, count in parity.get("served", {}).items()]
    return ", ".join(parts)


def _floored(share: float) -> str:
    """Return a share in four digits that is 1 only if it is, but for the rounding of a cosine: 0.99996 is not."""
    return f"{int(share * 10_000 + 1e-4) / 10_000:g}"
