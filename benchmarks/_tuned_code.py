"""Case `code` of benchmarks/finetune.py: a missing line of Python's standard library, filled in.

SmolLM2-135M-Instruct learns to fill in the middle (suffix first) with LoRA on the modules of the standard library, one
in ten of which is held out. A line of those counts where the likeliest token is the right one at each of its tokens and
at its end, which is what greedy decoding writes. The base goes on from what stands before the line; the tuned model
reads what stands behind it as well.
"""

from __future__ import annotations

import random
import re
import statistics
import sysconfig
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from _compare import Bench
from _tuned import is_held_out, llmkit, settings, write_rows

LENGTH, BATCH, BEFORE, BEHIND = 256, 1024, 160, 64
SENTINELS = {"prefix_token": "<|fim_prefix|>", "suffix_token": "<|fim_suffix|>", "middle_token": "<|fim_middle|>"}
LINES = 200
LEFT_OUT = re.compile(r"/(test|tests|idlelib|lib2to3|site-packages|turtledemo|pydoc_data|ensurepip)/")


class Gap(NamedTuple):
    """A line of a module: the ids before it, of it, and behind it, its own line break first."""

    before: list[int]
    line: list[int]
    behind: list[int]


def measure(bench: Bench, args: Namespace) -> None:
    """Tune once per seed, and add a row for each and the claim on their median."""
    modules = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in _modules()}
    held = {name: text for name, text in modules.items() if is_held_out(name, 10)}
    train = write_rows(bench.work / "code.jsonl", ({"text": t} for name, t in modules.items() if name not in held))
    print(f"  {len(modules) - len(held):,} modules to train on, {len(held):,} held out", flush=True)
    base = _share(args.model, list(held.values()), filling=False)
    bench.rows.append({"case": "code", "who": "base", "lines": LINES, "exact": 100 * base})
    print("  ", bench.rows[-1], flush=True)
    found = []
    for seed in range(args.seeds):
        out = bench.work / f"code-{seed}"
        made = llmkit(
            bench, f"code-{seed}", "finetune", "--lora", "--data", train, "--model", args.model, "-o", out,
            "--max-steps", args.steps or 60, "--seed", seed,
            *settings(objective={"type": "fill_in_the_middle", "fim_rate": 0.9, "spm_rate": 1.0, "max_per_block": 2},
                      context_length=LENGTH, batch_tokens=BATCH, micro_batch_tokens=BATCH, optimizer__lr=3e-4,
                      schedule__warmup_steps=5, precision="float32", compile=False, validation_fraction=0),
        )["metrics"]  # fmt: skip
        found.append(_share(out, list(held.values()), filling=True))
        facts = {"steps": made["steps"], "tokens": made["tokens"], "seconds": made["elapsed_s"]}
        bench.rows.append({"case": "code", "who": "filled in", "seed": seed, **facts, "exact": 100 * found[-1]})
        print("  ", bench.rows[-1], flush=True)
    bench.claim("points more exact lines than the base", 100 * (statistics.median(found) - base), ">=", 0)


def _modules() -> Iterator[Path]:
    root = Path(sysconfig.get_path("stdlib"))
    return (path for path in sorted(root.rglob("*.py")) if not LEFT_OUT.search(f"/{path.relative_to(root)}"))


def _share(model_path: Path, texts: list[str], *, filling: bool) -> float:
    """Return the share of lines that a model writes exactly, token by token the likeliest."""
    import torch

    from llmkit.modeling.gguf import model_directory
    from llmkit.modeling.load import load_model
    from llmkit.modeling.tokenizer import load_tokenizer

    tokenizer, model = load_tokenizer(model_directory(str(model_path))), load_model(model_path).eval()
    gaps = list(_gaps(texts, tokenizer))
    right = 0
    with torch.no_grad():
        for gap in gaps:
            prompt, end = gap.before, gap.behind[:1]
            if filling:
                pre, suf, mid = tokenizer.convert_tokens_to_ids(list(SENTINELS.values()))
                prompt, end = [pre, suf, *gap.behind[:BEHIND], mid, *gap.before], [tokenizer.eos_token_id]
            ids = torch.tensor([[*([tokenizer.bos_token_id] if filling else []), *prompt, *gap.line]])
            likeliest = model(input_ids=ids).logits[0, -len(gap.line) - 1 :].argmax(-1).tolist()
            if filling:
                right += likeliest == [*gap.line, *end]
            else:  # a line ends at whatever begins with a line break
                right += likeliest[:-1] == gap.line and tokenizer.decode(likeliest[-1:]).startswith("\n")
    return right / len(gaps)


def _gaps(texts: list[str], tokenizer: Any) -> Iterator[Gap]:
    """Yield lines of code, the same ones every time: no comments, ten characters or more."""
    rng = random.Random(0)
    found = 0
    while found < LINES:
        text = rng.choice(texts)
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, spans = encoded["input_ids"], encoded["offset_mapping"]
        lines = [
            m for m in re.finditer(r"[^\s#\"'].{9,79}(?=\n)", text) if text[: m.start()].rpartition("\n")[2].isspace()
        ]
        if not lines:
            continue
        line = rng.choice(lines)
        inside = [i for i, (start, end) in enumerate(spans) if end > line.start() and start < line.end()]
        first, last = inside[0], inside[-1]
        if spans[last][1] > line.end() or first < 8 or last + 8 > len(ids):
            continue  # a token that reaches over the line's end
        found += 1
        yield Gap(ids[max(0, first - BEFORE) : first], ids[first : last + 1], ids[last + 1 : last + 1 + BEHIND])
