"""What tokenizing will take, before it is started: tasks, passes over the text and the disk it needs at most."""

from __future__ import annotations

from math import ceil

from llmkit.core.page import size
from llmkit.core.stage import Estimate
from llmkit.tokenization.plan import TASK_BYTES
from llmkit.tokenization.trainers import TokenizerPart

ROW_BYTES = 200
"""Beside a document's ids: its id, source and language, lengths, and where its sentences start."""
WIDE = 2**16
"""A vocabulary of more has ids of 4 bytes."""


def estimate(
    tokenizer: TokenizerPart, *, num_files: int, num_bytes: int, text_bytes: int, num_rows: int, raw_disk: int
) -> Estimate:
    """Return what tokenizing some text takes.

    Args:
        tokenizer: Where the tokenizer comes from.
        num_files: Files to read.
        num_bytes: As they lie there.
        text_bytes: Of their text, in UTF-8, at most.
        num_rows: About how many documents.
        raw_disk: What reading those that are no corpus of ours takes in the scratch folder; 0 where all are.
    """
    vocab_size = tokenizer.known_size()
    id_bytes = 2 if vocab_size is not None and vocab_size <= WIDE else 4
    output = text_bytes * id_bytes + num_rows * ROW_BYTES
    disk = raw_disk + 2 * output  # encoded by task, then joined into shards
    tasks = ceil(text_bytes / TASK_BYTES)
    passes = ["read raw text"] if raw_disk else []
    passes += ["train the tokenizer"] if tokenizer.needs_text() else []
    passes += ["encode"]
    facts = [
        ("files", f"{num_files:,}, {size(num_bytes)}"),
        ("tasks", f"about {tasks:,}, {size(TASK_BYTES)} of text each"),
        *((f"pass {number}", what) for number, what in enumerate(passes, 1)),
        ("tokens", f"{text_bytes:,} at most, one a byte; ids of {id_bytes} bytes"),
        ("disk", f"{size(disk)} at most while it runs, {size(output)} at most in the end"),
    ]
    values = {
        "files": num_files,
        "bytes": num_bytes,
        "text_bytes": text_bytes,
        "tasks": tasks,
        "task_bytes": TASK_BYTES,
        "passes": passes,
        "tokens": text_bytes,
        "output": output,
        "disk": disk,
    }
    return Estimate(facts, values)
