"""What the runs of a chain take: memory of a training's step, and disk, while it runs and in the end.

Of trainings nothing is timed and no weight is made; the rest goes by the sizes of the raw files and their first rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from llmkit.chain.known import first_place, model_of
from llmkit.chain.runs import Chain, Read, Run
from llmkit.core.manifest import read_manifest

if TYPE_CHECKING:
    from llmkit.modeling.cost import Memory


class Disk(NamedTuple):
    """Bytes.

    Attributes:
        output: Of what is there in the end, at most.
        working: While it runs, at most, the output included.
        text: Of the text or the rows in the output; 0 where it is none.
        rows: About how many rows.
    """

    output: int
    working: int
    text: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Training:
    """What a training takes.

    Attributes:
        memory: Of a step of one process; None for an architecture of which it is not known.
        limit: What one process has.
        parameters: Of the model.
        disk: Of model and checkpoints.
    """

    memory: Memory | None
    limit: int
    parameters: int
    disk: int


def training_of(chain: Chain, run: Run) -> Training | None:
    """Return what a training takes; None where its model is not known yet."""
    key = ("training", run)
    if key not in chain.facts:
        chain.facts[key] = _training(chain, run)
    found: Training | None = chain.facts[key]
    return found


def _training(chain: Chain, run: Run) -> Training | None:
    base = run.reading("model")
    model = model_of(chain, first_place(base) if base else run)
    if model is None:
        return None
    import torch

    from llmkit.modeling.architecture import position_limit
    from llmkit.modeling.load import count_parameters
    from llmkit.training.auto import resolve
    from llmkit.training.memory import device_limit, disk_needed, micro_batch_tokens, run_memory
    from llmkit.training.plan import likely_vocabulary, weightless_model

    config = run.config
    length = min(config.context_length, position_limit(model.config) or config.context_length)
    if length != config.context_length:  # as the run does it
        config = config.model_copy(update={"context_length": length, "batch_tokens": length})
    head = config.objective.model_head()
    positions = max(length, position_limit(model.config) or length)
    built = weightless_model(model.spec, head, likely_vocabulary(model.spec), positions)
    size = count_parameters(built)
    config.adapted.wrap(built, head)
    cuda = torch.cuda.is_available()
    readers = max(1, run.given.nproc // (config.parallel.tensor * config.parallel.context))
    precision = resolve(config, device="cuda" if cuda else "cpu", flops=0)["precision"]
    blocks = max(1, micro_batch_tokens(config, readers) // length)
    memory = run_memory(built, config, bf16=precision == "bf16", num_blocks=blocks)
    limit = device_limit() // (1 if cuda else run.given.nproc)
    return Training(memory, limit, size, disk_needed(built, config))


def disk_of(chain: Chain, run: Run) -> Disk | None:
    """Return the disk that a run takes; None where that is not known."""
    key = ("disk", run)
    if key not in chain.facts:
        chain.facts[key] = None if run.resolved is None else _disk(chain, run)
    found: Disk | None = chain.facts[key]
    return found


def _disk(chain: Chain, run: Run) -> Disk | None:
    if run.stage == "clean":
        return _cleaning(chain, run)
    if run.stage == "tokenize":
        return _tokens(chain, run)
    if hasattr(run.config, "objective"):
        found = training_of(chain, run)
        return None if found is None else Disk(found.disk, found.disk)
    if run.stage == "export":
        maker = run.reading("model")[0].maker
        found = training_of(chain, maker) if maker is not None and hasattr(maker.config, "objective") else None
        return None if found is None else Disk(4 * found.parameters, 4 * found.parameters)
    return None


def _cleaning(chain: Chain, run: Run) -> Disk | None:
    from llmkit.cleaning.estimate import InputSizes, estimate, measure_inputs, scratch_bytes
    from llmkit.cleaning.plan import TASK_BYTES, make_passes

    made = [read for read in run.reads if isinstance(read.place, Run)]
    raw = [(source, source.files()) for _, source in run.raw("inputs")]
    if len(made) + len(raw) < len(run.config.inputs):
        return None
    if not made:
        found = estimate(raw, run.config.steps).values
        return Disk(found["output"], found["disk"], found["text_bytes"], measure_inputs(raw).num_rows)
    before = [disk_of(chain, read.maker) for read in made if read.maker is not None]
    if any(disk is None for disk in before):
        return None
    there = measure_inputs(raw)
    text = there.text_bytes + sum(disk.text for disk in before if disk)
    rows = there.num_rows + sum(disk.rows for disk in before if disk)
    sizes = InputSizes(0, text, text, there.spooled_bytes, rows, -(-text // TASK_BYTES))
    passes = make_passes(run.config.steps, sizes.num_tasks, text, Path())
    return Disk(text, scratch_bytes(sizes, run.config.steps, passes), text, rows)


def _tokens(chain: Chain, run: Run) -> Disk | None:
    from llmkit.cleaning.estimate import estimate as reading_estimate
    from llmkit.cleaning.estimate import measure_inputs
    from llmkit.tokenization.estimate import estimate

    text = rows = 0
    ours = [read for read in run.reading("inputs") if read.broken or not _is_raw(read)]
    for there in (_corpus(chain, read) for read in ours):
        if there is None:
            return None
        text, rows = text + there.text, rows + there.rows
    sources = [source for _, source in run.raw("inputs") if source not in [read.source for read in ours]]
    raw = [(source, source.files()) for source in sources]
    sizes, reading = measure_inputs(raw), reading_estimate(raw, []).values["disk"] if raw else 0
    found = estimate(
        run.config.tokenizer, num_files=1, num_bytes=0, text_bytes=text + sizes.text_bytes,
        num_rows=rows + sizes.num_rows, raw_disk=reading,
    ).values  # fmt: skip
    return Disk(found["output"], found["disk"])


def _is_raw(read: Read) -> bool:
    return isinstance(read.place, Path) and read_manifest(read.place) is None


def _corpus(chain: Chain, read: Read) -> Disk | None:
    """Return the size of a corpus, there or to be made."""
    if isinstance(read.place, Run):
        return disk_of(chain, read.place)
    manifest = read_manifest(read.place) if isinstance(read.place, Path) else None
    if manifest is None or manifest.kind != "corpus":
        return None
    return Disk(0, 0, manifest.metric("bytes_kept"), manifest.metric("documents_kept"))
