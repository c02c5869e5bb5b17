"""What a training will take, in the words of `llmkit plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.core.page import size
from llmkit.core.progress import clock
from llmkit.core.stage import Estimate, Facts
from llmkit.modeling.adapters import Targets
from llmkit.modeling.adapters.full import ALL
from llmkit.modeling.build import ModelConfig
from llmkit.objectives import Objective
from llmkit.training.config import TrainingConfig
from llmkit.training.plan import COMPUTE_OPTIMAL, Plan, plan

if TYPE_CHECKING:
    from llmkit.training.counted import Counted


def estimate(
    config: TrainingConfig,
    spec: ModelConfig,
    objective: Objective,
    tokens: list[str],
    num_processes: int,
    *,
    packing: str | None = None,
    counted: Counted | None = None,
) -> Estimate:
    """Work out what a run takes; see `plan`.

    Args:
        config: The run's.
        spec: Its model.
        objective: What it trains.
        tokens: Token artifacts to count; those that are not there count nothing.
        num_processes: Processes that share the batch.
        packing: How documents become blocks, where there is a choice.
        counted: The rows of a training on labelled rows, counted.
    """
    found = plan(config, spec, tokens, objective.model_head(), num_processes, counted)
    warnings = []
    if found.memory is not None and found.memory.total > found.memory_limit:
        warnings.append("a step does not fit into memory: lower micro_batch_tokens")
    chosen = {"objective": objective.type_name, **({"packing": packing} if packing else {})}
    run = ", ".join([objective.type_name, *([f"packing {packing}"] if packing else []), found.optimizer])
    rows = {} if counted is None else {"rows": counted.num_rows}
    facts = [("rows", f"{number:,}") for number in rows.values()]
    return Estimate([*facts, *_rows(found), ("run", run)], {**chosen, **rows, **found.as_json()}, warnings)


def _rows(found: Plan) -> Facts:
    rows = [
        ("parameters", f"{found.parameters:,}: embedding {found.embedding:,}, body {found.body:,}"),
        (
            "",
            f"{found.arch}, vocabulary {found.vocab_size:,}" + (f", {found.new_rows:,} new" if found.new_rows else ""),
        ),
    ]
    if found.adapter != ALL:
        rows.append(("trained", Targets(found.adapter, found.trained, found.parameters).words))
    if found.tokens is None or found.steps is None or found.tokens_per_parameter is None:
        rows.append(("tokens", "unknown: no data to count, and no max_steps or max_tokens"))
    else:
        rows.append(("tokens", f"{found.tokens:,} in {found.steps:,} steps"))
        if found.epochs is not None:
            rows.append(("", f"{found.epochs:.2f} epochs of {found.tokens_per_epoch:,} tokens"))
        ratio = (
            f"{found.tokens_per_parameter:.2g}"
            if found.tokens_per_parameter < 10
            else f"{found.tokens_per_parameter:,.0f}"
        )
        optimal = COMPUTE_OPTIMAL * found.parameters
        rows.append(("", f"{ratio} per parameter ({COMPUTE_OPTIMAL} is compute-optimal: {optimal:,})"))
        rows.append(("FLOPs", f"{found.flops:.3g}, {found.flops_per_token:.3g} per token"))
    if found.seconds is not None:
        compiled = ", compiled" if found.compile else ""
        rows += [
            ("time", f"{clock(found.seconds)} in {found.precision}{compiled}, validation included"),
            ("", f"{found.flops_per_second / 1e9:,.0f} GFLOP/s of matrix products, measured now"),
        ]
    if found.memory is None:
        rows.append(("memory", f"unknown: {found.arch} cannot be run without data"))
    else:
        total = f"{size(found.memory.total)} per process, {size(found.memory_limit)} are there"
        rows += [("memory", total), ("", f"{found.micro_batch_tokens:,} tokens at a time")]
        rows += [(f"  {name.replace('_', ' ')}", size(part)) for name, part in vars(found.memory).items() if part]
    return [*rows, ("disk", f"{size(found.disk)} at most, {size(found.checkpoint)} a checkpoint")]
