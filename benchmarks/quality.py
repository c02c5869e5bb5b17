"""Validation loss by wall time: the default recipe against transformers.Trainer, and against Muon in a plain loop.

python benchmarks/quality.py --data TOKENS [--minutes 10] [--recipe llama-7m] [--model llama-7m] [--json FILE]

All train the same new model on the same tokens for the same wall time, one after another on the whole machine, and are
scored on the same validation blocks by llmkit's own validation. Trainer runs as people run it (bf16, fused AdamW,
cosine with 5% warmup), at the best of several learning rates; `muon` is a raw loop with torch.optim.Muon for matrices,
AdamW for the rest, and a constant rate that falls to zero over the last fifth. Each first measures its pace, so that
its schedule ends where its time does. `time to Trainer's loss` is the share of the time after which llmkit's
validation was as low as the best Trainer's last.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _measure import machine

PACKAGES = ("llmkit", "torch", "transformers", "accelerate")
BATCH_TOKENS = 8192
RATES = (1e-3, 2e-3, 4e-3)


def model_and_data(args: argparse.Namespace) -> tuple[Any, Any, Any, Any]:
    """Return the new model, the training blocks, the validation packer and its bytes."""
    from llmkit.data.mixture import PackingPlan, training_stream, validation_packer
    from llmkit.modeling.build import ModelConfig, build_model
    from llmkit.modeling.tokenizer import load_tokenizer
    from llmkit.modeling.vocabulary import vocabulary_of

    vocabulary = vocabulary_of(load_tokenizer(args.data))
    spec = ModelConfig.model_validate(args.model)
    model = build_model(spec, vocabulary=vocabulary, max_positions=args.context, seed=0)
    plan = PackingPlan(args.context, prefix=[vocabulary.bos], suffix=[vocabulary.eos], pad_id=vocabulary.pad or 0)
    order = training_stream([Path(args.data)], plan, seed=0)
    found = validation_packer([Path(args.data)], plan)
    assert found is not None, "the tokens have no validation split"
    return model, order, *found


def bits_per_byte(model: Any, packer: Any, num_bytes: int) -> float:
    """Score every validation token once."""
    import torch

    from llmkit.modeling.companions import Models
    from llmkit.objectives.documents.causal_lm import CausalLM

    objective, nats, models = CausalLM(), 0.0, Models(model)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        for start in range(0, packer.num_blocks(0), 16):
            batch = packer.blocks(0, range(start, min(start + 16, packer.num_blocks(0))))
            tensors, _ = objective.collate(batch, None, 0)  # type: ignore[arg-type]
            nats += float(objective.loss(models, tensors)["tokens"][0])
    return nats / num_bytes / math.log(2)


def batches(order: Any, context: int) -> Iterator[Any]:
    """Yield batches of the same blocks that llmkit trains on."""
    step, blocks = 0, BATCH_TOKENS // context
    while True:
        yield order.batch(range(step * blocks, (step + 1) * blocks))
        step += 1


def trainer(args: argparse.Namespace, rate: float) -> float:
    """Train with transformers.Trainer and return bits per byte."""
    import torch
    from transformers import Trainer, TrainingArguments

    model, order, packer, num_bytes = model_and_data(args)

    class Rows(torch.utils.data.IterableDataset):
        def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
            for batch in batches(order, args.context):
                for row in torch.from_numpy(batch.input_ids):
                    yield {"input_ids": row, "labels": row}

    def run(steps: int, net: Any) -> float:
        arguments = TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=BATCH_TOKENS // args.context,
            max_steps=steps,
            bf16=True,
            use_cpu=True,
            optim="adamw_torch_fused",
            learning_rate=rate,
            weight_decay=0.1,
            adam_beta2=0.95,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, steps // 20),
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        job = Trainer(model=net, args=arguments, train_dataset=Rows())
        start = time.perf_counter()
        job.train()
        return time.perf_counter() - start

    pace = (run(12, model) - run(2, model)) / 10  # without what every start takes
    fresh, order, packer, num_bytes = model_and_data(args)
    run(max(1, int(60 * args.minutes / pace)), fresh)
    return bits_per_byte(fresh, packer, num_bytes)


def muon_loop(args: argparse.Namespace, rate: float) -> float:
    """Train with Muon in a plain loop and return bits per byte."""
    import torch

    model, order, packer, num_bytes = model_and_data(args)
    embeddings = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings]
    rest = [p for p in model.parameters() if p.ndim != 2 or id(p) in embeddings]
    optimizers = [
        torch.optim.Muon(matrices, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=rate, betas=(0.8, 0.95), weight_decay=0.0, fused=True),
    ]
    model.train()
    start, limit = time.perf_counter(), 60 * args.minutes
    for batch in batches(order, args.context):
        done = (time.perf_counter() - start) / limit
        if done >= 1:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, 5 * (1 - done))
        ids, labels = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.labels)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, position_ids=torch.from_numpy(batch.position_ids), use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return bits_per_byte(model, packer, num_bytes)


def llmkit(args: argparse.Namespace) -> list[tuple[float, float]]:
    """Train with the command, and return (seconds, bits per byte) of every validation."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model"
        sets = ["model=" + args.model, f"context_length={args.context}", f"batch_tokens={BATCH_TOKENS}", *args.set]
        sets += [
            "max_steps=null",
            f"max_minutes={args.minutes}",
            f"validate.every={args.validate_every}",
            "samples.count=0",
        ]
        options = [part for item in sets for part in ("-s", item)]
        command = [sys.executable, "-m", "llmkit", "pretrain", "-r", args.recipe, "--data", args.data, "-o", str(out)]
        command += [*options, "-q"]
        subprocess.run(command, check=True)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    at = {row["step"]: row["elapsed_s"] for row in rows if "elapsed_s" in row}
    return [(at[row["step"]], row["bits_per_byte"]) for row in rows if "bits_per_byte" in row and row["step"] in at]


def main() -> None:
    """Run all contenders, one after another, and print what each reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="token artifact with a validation split")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--recipe", default="llama-7m", help="llmkit's; its model and context are those given here")
    parser.add_argument("--model", default="llama-7m", help="preset")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--validate-every", type=int, default=50)
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--set", action="append", default=[], help="of the recipe, for llmkit only")
    parser.add_argument("--who", default="llmkit,trainer,muon")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {}
    rates = [float(rate) for rate in args.rates.split(",")]
    if "llmkit" in args.who:
        found["llmkit"] = llmkit(args)
        print(f"llmkit: {found['llmkit'][-1][1]:.4f} bits per byte after {args.minutes:g} minutes", flush=True)
    for name, train in (("trainer", trainer), ("muon", muon_loop)):
        for rate in rates if name in args.who else []:
            found[f"{name} {rate:g}"] = bits = train(args, rate)
            print(f"{name}, learning rate {rate:g}: {bits:.4f}", flush=True)
    best = min((bits for name, bits in found.items() if name.startswith("trainer")), default=None)
    if best is not None and "llmkit" in found:
        reached = next((seconds for seconds, bits in found["llmkit"] if bits <= best), math.inf)
        found["time to Trainer's loss"] = share = reached / (60 * args.minutes)
        print(f"time to Trainer's loss: {share:.2f} of Trainer's time (target 0.6)")
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(PACKAGES), "minutes": args.minutes, **found}, indent=2))


if __name__ == "__main__":
    main()
