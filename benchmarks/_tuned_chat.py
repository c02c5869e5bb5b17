"""Case `chat` of benchmarks/finetune.py: LoRA on short dialogues, and what it costs elsewhere.

SmolLM2-135M-Instruct learns the dialogues of ChatterBot, each once: 950 of 2,026 rows are ten dialogues, and a model
learns these by heart. One in ten opening questions is held out with all its answers, so that no answer to a question
that was seen counts. Measured by `llmkit eval`: perplexity of the held-out answers, and of excerpts of general prose
that has nothing to do with them, before and after.
"""

from __future__ import annotations

import json
import math
import statistics
from argparse import Namespace
from pathlib import Path

from _compare import Bench
from _tuned import is_held_out, llmkit, read_rows, real_data, settings, write_rows

EXCERPTS, CHARACTERS = 8, 2000
ROWS = 200
"""Held-out answers that are scored."""
LENGTH, BATCH = 256, 512


def measure(bench: Bench, args: Namespace) -> None:
    """Tune once per seed, and add a row for each and the claims on their medians."""
    train, answers, prose = _data(bench, args)
    for seed in range(args.seeds):
        out, scores = bench.work / f"chat-{seed}", bench.work / f"chat-scores-{seed}"
        tuned = llmkit(
            bench, f"chat-{seed}", "finetune", "--lora", "--data", train, "--model", args.model, "-o", out,
            "--max-steps", args.steps or 100, "--seed", seed,
            *settings(context_length=LENGTH, batch_tokens=BATCH, micro_batch_tokens=BATCH, validation_fraction=0,
                      optimizer__lr=3e-4, schedule__warmup_steps=10, precision="float32", compile=False,
                      samples__count=0),
        )["metrics"]  # fmt: skip
        tasks = [{"type": "answers", "data": str(answers), "limit": ROWS}, {"type": "perplexity", "data": str(prose)}]
        found = llmkit(
            bench, f"chat-scores-{seed}", "eval", "--model", out, "--baseline", args.model, *settings(tasks=tasks),
            "-o", scores,
        )["metrics"]  # fmt: skip
        row = {"case": "chat", "seed": seed, "steps": tuned["steps"], "tokens": tuned["tokens"],
               "seconds": tuned["elapsed_s"]}  # fmt: skip
        for task, name in (("answers", "answers"), ("perplexity", "prose")):
            roles = {role: values["token_perplexity"] for role, values in found[task].items()}
            row |= {f"{name}_before": roles["baseline"], f"{name}_after": roles["model"]}
        bench.rows.append(row)
        print("  ", row, flush=True)
    for name, relation, target in (("answers", "<=", -30), ("prose", "<=", 5)):
        changes = [100 * (row[f"{name}_after"] / row[f"{name}_before"] - 1) for row in bench.rows
                   if row["case"] == "chat"]  # fmt: skip
        bench.claim(f"% more perplexity: {name}", statistics.median(changes), relation, target)


def _data(bench: Bench, args: Namespace) -> tuple[Path, Path, Path]:
    """Write the dialogues to train on, and artifacts of the held-out ones and of prose."""
    read = (row["messages"] for row in read_rows(real_data(args, "chatterbot_english.jsonl.gz")))
    rows = [{"messages": turns} for turns in {json.dumps(turns): turns for turns in read}.values()]
    held = [is_held_out(row["messages"][0]["content"].strip().lower(), 10) for row in rows]
    sides = {side: [row for row, is_held in zip(rows, held, strict=True) if is_held == (side == "held")]
             for side in ("train", "held")}  # fmt: skip
    train, other = (write_rows(bench.work / f"chat-{side}.jsonl", found) for side, found in sides.items())
    texts = [row["text"] for name in ("sotu", "austen") for row in read_rows(real_data(args, f"{name}.jsonl.gz"))]
    step = math.ceil(len(texts) / EXCERPTS)
    middles = [text[len(text) // 2 :][:CHARACTERS] for text in texts[::step]]
    prose = write_rows(bench.work / "prose.jsonl", [{"text": text} for text in middles])
    answers, general = bench.work / "chat-answers", bench.work / "chat-prose"
    llmkit(bench, "chat-clean", "clean", "-i", other, *settings(inputs__0__row="messages", steps=[]), "-o", answers)
    llmkit(bench, "prose-clean", "clean", "-i", prose, *settings(steps=[]), "-o", general)
    print(f"  {len(sides['train']):,} dialogues to train on, {len(sides['held']):,} held out", flush=True)
    return train, answers, general
