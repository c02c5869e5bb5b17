"""How fast `llmkit finetune -s objective=embedding` trains, and what comes of it, against sentence-transformers.

python benchmarks/finetune_embedding.py --model DIR --pairs FILE.jsonl [--columns src,tgt] [--cases speed,recall]
    [--batch 256] [--steps 4] [--rounds 1] [--epoch-steps 90] [--mini 0] [--lr 1e-4]
    [--json FILE]

`speed`: pairs per second in one run, contenders in turns, each in a process of its own on two cores, float32, the same
pairs, model, batch and learning rate, the first step not counted. The peer is `SentenceTransformerTrainer` with
MultipleNegativesRankingLoss, or with the cached one where `--mini` says how many rows it takes at a time.

`recall`: 1,000 pairs are held out whose texts stand nowhere else. Each contender trains for `--epoch-steps` steps; both
are loaded by sentence-transformers and asked for the nearest of the 1,000 texts. The model as it is stands beside. The
peer takes the cached loss there, whose gradient is the same: a batch of 256 with one text of 256 tokens in it takes it
about 20 GB otherwise (75 MB a pair were measured), of which the system may kill it without a word.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from _measure import RunError, run

HERE = Path(__file__).parent
HELD_OUT = 1000
MICRO_BATCH_TOKENS = 32_768
RECALL_MINI = 32
"""Rows at a time of the peer's cached loss where recall is measured, and not speed."""


def split(source: Path, columns: tuple[str, str], folder: Path) -> tuple[Path, Path]:
    """Write pairs to train on, and pairs whose texts stand nowhere else."""
    raw = source.read_bytes()
    text = (gzip.decompress(raw) if source.suffix == ".gz" else raw).decode("utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    pairs = list(dict.fromkeys((row[columns[0]], row[columns[1]]) for row in rows))
    random.Random(0).shuffle(pairs)
    counts: dict[str, int] = {}
    for pair in pairs:
        for text in set(pair):
            counts[text] = counts.get(text, 0) + 1
    alone = [pair for pair in pairs if all(counts[text] == 1 for text in pair)][:HELD_OUT]
    held = set(alone)
    found = folder / "pairs.jsonl", folder / "heldout.jsonl"
    for path, chosen in zip(found, ([pair for pair in pairs if pair not in held], alone), strict=True):
        lines = [json.dumps({"query": a, "positive": b}, ensure_ascii=False) + "\n" for a, b in chosen]
        path.write_text("".join(lines), encoding="utf-8")
    return found


def contend(name: str, args: argparse.Namespace, places: tuple[Path, Path], settings: dict[str, Any]) -> dict[str, Any]:
    """Run one contender in a process of its own."""
    out = args.work / "out" / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    command = [sys.executable, str(HERE / "_embedding.py"), name, str(out), str(args.model), str(places[0]),
               str(places[1]), json.dumps(settings)]  # fmt: skip
    log = args.work / f"{name}.log"
    measured = run(command, cores=sorted(os.sched_getaffinity(0))[-2:], log=log, shared=True, threads=2)
    found = json.loads((out / "found.json").read_text())
    found |= {"peak_bytes": measured.peak_bytes, "wall_s": measured.seconds}
    print(f"  {name}: {found}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Run the cases and print what they found."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--columns", default="src,tgt")
    parser.add_argument("--cases", default="speed,recall")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--epoch-steps", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--mini", type=int, default=0)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--micro-batch-tokens", type=int, default=MICRO_BATCH_TOKENS)
    parser.add_argument("--who", default="base,llmkit,sentence-transformers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "llmkit-embedding")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    first, second = args.columns.split(",")
    places = split(args.pairs, (first, second), args.work)
    found: dict[str, Any] = {}
    failures: list[str] = []
    for case in args.cases.split(","):
        settings = {"batch": args.batch, "lr": args.lr, "mini": args.mini or (RECALL_MINI if case == "recall" else 0),
                    "micro_batch_tokens": args.micro_batch_tokens,
                    "recall": case == "recall", "steps": args.steps if case == "speed" else args.epoch_steps,
                    }  # fmt: skip
        names = [name for name in args.who.split(",") if case == "recall" or name != "base"]
        for _ in range(args.rounds if case == "speed" else 1):
            for name in names:
                try:
                    found.setdefault(case, {}).setdefault(name, []).append(contend(name, args, places, settings))
                except RunError as error:
                    failures.append(f"{case}: {name}: {error}")
    for case, contenders in found.items():
        print(f"\n{case}")
        for name, runs in ((name, runs) for name, runs in contenders.items() if runs):  # the others have failed
            rates = ", ".join(f"{run['pairs_per_s']:.1f}" for run in runs if "pairs_per_s" in run)
            recalls = ", ".join(f"{run['recall_at_1']:.3f}" for run in runs if "recall_at_1" in run)
            parts = [f"{rates} pairs/s" if rates else "", f"recall@1 {recalls}" if recalls else ""]
            memory = max(run["peak_bytes"] for run in runs) / 1e9
            print(f"  {name:24} {'  '.join(part for part in parts if part)}  {memory:.2f} GB")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return len(failures)


if __name__ == "__main__":
    sys.exit(main())
