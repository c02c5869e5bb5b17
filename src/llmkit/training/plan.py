"""What a run will take, before it is started and without its weights: parameters, FLOPs, memory, time and disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from llmkit.data.artifacts import Tokens
from llmkit.modeling.build import ModelConfig, configure
from llmkit.modeling.cost import Memory, count_embeddings, flops_per_token, measure_peak
from llmkit.modeling.load import count_parameters, grow_embeddings, read_config
from llmkit.modeling.loaded import loading, weightless
from llmkit.modeling.pace import measure_pace
from llmkit.modeling.presets import PRESETS
from llmkit.training.auto import resolve
from llmkit.training.memory import (
    checkpoint_bytes,
    device_limit,
    disk_needed,
    micro_batch_tokens,
    run_memory,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from llmkit.modeling.heads import Head
    from llmkit.training.config import TrainingConfig
    from llmkit.training.counted import Counted

COMPUTE_OPTIMAL = 20
"""Training tokens per parameter (Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models")."""
START_SECONDS = 7.0
"""From the command to the first step: imports, model, data."""
COMPILE_SECONDS, COMPILED_SHARE = 40.0, 6 / 7
"""What compiling costs once, and the share of a step's time that is left, on 2 cores; see training/auto.py."""
FORWARD_SHARE = 1 / 3
"""Of a pass forward and backward."""
DEFAULT_VOCABULARY = 16384


@dataclass(frozen=True)
class Plan:
    """A run's costs.

    Attributes:
        arch: The architecture.
        vocab_size: Ids of the tokenizer, or rows of the embedding where more are known of those.
        new_rows: Rows of the embedding that the model gets, for tokens that it was never trained with.
        parameters: All of them, tied ones once; `embedding` and `body` add up to it.
        embedding: Lookup tables and output layer.
        body: The rest.
        trained: Parameters that are trained; an adapter's are none of the model's.
        adapter: What these are, in words.
        tokens_per_epoch: Tokens of the training split, None if the data is not there yet.
        steps: Optimizer steps, those of `max_minutes` at the planned speed; None if the recipe counts in epochs and
            the data is not there, or nothing is known of the time.
        tokens: `steps` times `batch_tokens`; of rows that were counted, without the padding.
        epochs: Passes over the data.
        tokens_per_parameter: 20 is compute-optimal.
        flops_per_token: Forward and backward.
        flops: Of the whole run.
        precision: What the run computes in.
        compile: Whether the model is compiled.
        optimizer: Its name.
        micro_batch_tokens: Tokens of a forward pass of one process.
        memory: Peak bytes of one device by part, None for an architecture that cannot be run without data.
        memory_limit: Bytes one process has.
        flops_per_second: Of the matrix products alone, measured now, of all processes together.
        seconds: Start, dry run, training and validation; generated texts come on top. None without `steps`, or where
            no step of the architecture could be timed.
        checkpoint: Bytes of one checkpoint.
        disk: Bytes the run writes at most.
    """

    arch: str
    vocab_size: int
    new_rows: int
    parameters: int
    embedding: int
    body: int
    trained: int
    adapter: str
    tokens_per_epoch: int | None
    steps: int | None
    tokens: int | None
    epochs: float | None
    tokens_per_parameter: float | None
    flops_per_token: float
    flops: float | None
    precision: str
    compile: bool
    optimizer: str
    micro_batch_tokens: int
    memory: Memory | None
    memory_limit: int
    flops_per_second: float
    seconds: float | None
    checkpoint: int
    disk: int

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values; the memory has its total."""
        memory = None if self.memory is None else {**vars(self.memory), "total": self.memory.total}
        return {**asdict(self), "memory": memory}


def plan(
    config: TrainingConfig,
    spec: ModelConfig,
    data: list[str],
    head: Head,
    num_processes: int = 1,
    counted: Counted | None = None,
) -> Plan:
    """Work out what a run takes; times steps of the model's first layers, which takes some seconds.

    Args:
        config: The run's.
        spec: Its model.
        data: Token artifacts; those that do not exist yet count nothing.
        head: What the objective trains.
        num_processes: Processes that share the batch: GPUs, or parts of a CPU.
        counted: The rows of a training on labelled rows, counted; its config and head are those to give here.

    Raises:
        ConfigError: The model's settings cannot be.
        DataError: The model's directory is none.
    """
    facts = [tokens.facts for tokens in map(Tokens, data) if tokens.is_there()]
    vocab_size = facts[0]["vocab_size"] if facts else likely_vocabulary(spec)
    model = weightless_model(spec, head, vocab_size, config.context_length)
    grown = range(0)
    if spec.path is not None and (facts or counted):
        needed, known = (vocab_size, None) if counted is None else (counted.vocab_size, counted.known)
        grown = range(needed - grow_embeddings(model, needed, known), needed)
        vocab_size = max(vocab_size, needed)
    size, tables = count_parameters(model), count_embeddings(model)
    config.adapted.wrap(model, head, grown=grown)
    trained = config.adapted.describe(model)
    epoch_tokens, held_out, steps, batch_tokens = _amounts(config, facts, counted)
    readers = max(1, num_processes // (config.parallel.tensor * config.parallel.context))
    per_token, widest = flops_per_token(model, config.context_length), config if counted is None else counted.widest
    micro = micro_batch_tokens(widest, readers)
    cuda = torch.cuda.is_available()
    resolved = resolve(
        config,
        device="cuda" if cuda else "cpu",
        flops=math.inf if steps is None else per_token * steps * batch_tokens,
    )
    bf16, compiled = resolved["precision"] == "bf16", bool(resolved["compile"])
    # Processes on one CPU share its cores and its memory; GPUs are one each.
    devices, sharers = (num_processes, 1) if cuda else (1, num_processes)
    rate = measure_peak(model, torch.bfloat16 if bf16 else torch.float32) * devices
    blocks = micro // widest.context_length
    memory = run_memory(model, widest, bf16=bf16, num_blocks=blocks)
    times = _times(model, widest, blocks, rate, devices, batch_tokens, head=head, bf16=bf16, compiled=compiled)
    if times is not None and config.max_minutes is not None:
        fitting = max(1, int(60 * config.max_minutes / times.step))
        steps = fitting if steps is None else min(steps, fitting)
    tokens = None if steps is None else steps * batch_tokens if counted is None else counted.tokens(steps)
    return Plan(
        arch=model.config.model_type, vocab_size=vocab_size, new_rows=len(grown),
        parameters=size, embedding=tables, body=size - tables, trained=trained.trained, adapter=trained.what,
        tokens_per_epoch=epoch_tokens, steps=steps, tokens=tokens,
        epochs=round(tokens / epoch_tokens, 4) if tokens and epoch_tokens else None,
        tokens_per_parameter=None if tokens is None else tokens / size,
        flops_per_token=per_token, flops=None if tokens is None else per_token * tokens,
        precision="bf16" if bf16 else "float32", compile=compiled, optimizer=config.optimizer.type_name,
        micro_batch_tokens=micro,
        memory=memory,
        memory_limit=device_limit() // sharers,
        flops_per_second=rate,
        seconds=None if steps is None or times is None else times.total(widest, steps, held_out),
        checkpoint=checkpoint_bytes(model, config.optimizer.type_name),
        disk=disk_needed(model, config),
    )  # fmt: skip


def _amounts(
    config: TrainingConfig, facts: Sequence[Mapping[str, Any]], counted: Counted | None
) -> tuple[int | None, int, int | None, int]:
    """Return the tokens of an epoch and of validation, the steps, and the tokens of each: counted, or of artifacts."""
    if counted is not None:
        return counted.tokens_per_epoch, counted.held_out_tokens, counted.steps, counted.batch_tokens
    epoch_tokens = sum(f["splits"]["train"]["tokens"] for f in facts) if facts else None
    held_out = sum(f["splits"]["validation"]["tokens"] for f in facts if "validation" in f["splits"])
    return epoch_tokens, held_out, _steps(config, epoch_tokens), config.batch_tokens


class _Times(NamedTuple):
    """Seconds.

    Attributes:
        start: Before the first step.
        step: Of a step.
        scored: Of a block that is validated on.
    """

    start: float
    step: float
    scored: float

    def total(self, config: TrainingConfig, steps: int, held_out: int) -> float:
        """Return the whole run's: it validates before the first step, every so often, and after the last."""
        validations = 1 + math.ceil(steps / config.validate.every)
        return self.start + steps * self.step + validations * held_out / config.context_length * self.scored


def _times(
    model: PreTrainedModel,
    config: TrainingConfig,
    num_blocks: int,
    rate: float,
    devices: int,
    batch_tokens: int,
    *,
    head: Head,
    bf16: bool,
    compiled: bool,
) -> _Times | None:
    """Return what the parts of a run take; None if no step of the model can be timed."""

    def optimizer(shallow: PreTrainedModel) -> torch.optim.Optimizer:
        config.adapted.wrap(shallow, head)
        return config.optimizer.build(shallow)

    pace = measure_pace(
        model,
        optimizer,
        num_blocks=num_blocks,
        context_length=config.context_length,
        bf16=bf16,
        peak=rate / devices,
        limit=device_limit(),
        least=getattr(config.adapted, "last", 1),
    )
    if pace is None:
        return None
    one = pace.one_pass * (COMPILED_SHARE if compiled else 1)
    start = START_SECONDS + one + (COMPILE_SECONDS if compiled else 0)
    per_block = one / num_blocks / devices
    step = batch_tokens / config.context_length * per_block + pace.update
    return _Times(start, step, FORWARD_SHARE * per_block)


def weightless_model(spec: ModelConfig, head: Head, vocab_size: int, context_length: int) -> PreTrainedModel:
    """Return a model of a spec on the meta device; a directory's own has the vocabulary that it has."""
    if spec.path is not None:
        config = read_config(spec.path, head)
        head.configure(config)
        with loading(spec.path):
            return weightless(Path(spec.path), config, head.auto_model())
    else:
        ids = {"bos": 0, "eos": 1, "pad": 2}  # any: they change no size
        own = {key: i for key in ids if isinstance(i := spec.config.get(f"{key}_token_id"), int)}
        config = configure(spec, head=head, max_positions=context_length, vocab_size=vocab_size, ids={**ids, **own})
    with torch.device("meta"):
        model: PreTrainedModel = head.auto_model().from_config(config, dtype=torch.float32)
    return model


def likely_vocabulary(spec: ModelConfig) -> int:
    """Return the vocabulary to expect without data: the spec's, else the one its preset's name holds for."""
    given = spec.config.get("vocab_size")
    if isinstance(given, int):
        return given
    if spec.path is not None:
        return int(read_config(spec.path).get_text_config().vocab_size)
    same = (p for p in PRESETS.values() if p.arch == spec.arch and p.config.items() <= spec.config.items())
    return next((preset.vocab_size for preset in same), DEFAULT_VOCABULARY)


def _steps(config: TrainingConfig, epoch_tokens: int | None) -> int | None:
    """Return the steps of the limit that is reached first; None if it cannot be known without data."""
    limits = [config.max_steps]
    if config.max_tokens is not None:
        limits.append(math.ceil(config.max_tokens / config.batch_tokens))
    if config.max_epochs is not None and epoch_tokens:
        limits.append(math.ceil(config.max_epochs * epoch_tokens / config.batch_tokens))  # as budget.py counts
    return min((limit for limit in limits if limit is not None), default=None)
