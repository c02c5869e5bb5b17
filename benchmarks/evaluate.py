"""How fast `llmkit eval` measures a small model on samples of mixed lengths, against another checkout of llmkit.

python benchmarks/evaluate.py --before ../llmkit-before/src [--rounds 3] [--cores 1] [--cases perplexity,answers]

`perplexity`: the documentation of Python, from one line to many windows of the model. `answers`: questions and answers
of 5 to 150 words. `system`: the same behind one system prompt of 60 words. `generation`: greedy answers of up to 48
tokens, of which some end soon and some never. `all`: the first two and the last in one run.

The model is a Llama of 6 layers of 256 with random weights and a vocabulary of 8,192; a fiftieth of its tokens end an
answer, so that lengths differ. A run starts when everything is imported, and ends with the results written; loading the
model is not counted. Contenders run in processes of their own, on as many cores as threads, in turns; medians are
shown. Linux only.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from _compare import MB, Bench, finish, print_claims
from _corpus import python_docs
from _measure import RunError, run

HERE = Path(__file__).parent
PACKAGES = ("llmkit", "transformers", "torch", "tokenizers", "numpy")
VOCABULARY, POSITIONS = 8192, 512
SIZES = {"perplexity": 400, "answers": 200, "system": 200, "generation": 80}
"""Samples of each case."""
ENDS = 50
"""One of so many tokens ends an answer."""


def make_model(folder: Path, texts: list[str]) -> None:
    """Save a Llama with random weights and a tokenizer trained on the texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from llmkit.data.rendering import CHAT_TEMPLATE

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=special[0], eos_token=special[2])
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=POSITIONS, initializer_range=0.06, bos_token_id=0,
        eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = [2, *range(ENDS, VOCABULARY, ENDS)]
    model.save_pretrained(folder)


def write_data(work: Path, texts: list[str]) -> None:
    """Write the corpus and the two sets of conversations as artifacts."""
    rng = random.Random(0)
    words = itertools.cycle(word for text in texts for word in re.findall(r"\S+", text))

    def said(least: int, most: int) -> str:
        return " ".join(itertools.islice(words, rng.randint(least, most)))

    documents = sorted(texts, key=lambda _: rng.random())[: SIZES["perplexity"]]
    (work / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in documents))
    system = {"role": "system", "content": said(60, 60)}
    pairs = [
        [{"role": "user", "content": said(5, 80)}, {"role": "assistant", "content": said(5, 150)}]
        for _ in range(SIZES["answers"])
    ]
    for name, rows in (("pairs", pairs), ("system", [[system, *turns] for turns in pairs])):
        lines = "".join(json.dumps({"messages": turns}) + "\n" for turns in rows)
        (work / f"{name}.jsonl").write_text(lines)
    for name, more in (("corpus", []), ("pairs", ["--row", "messages"]), ("system", ["--row", "messages"])):
        command = [sys.executable, "-m", "llmkit", "clean", "-i", str(work / f"{name}.jsonl"), "-s", "steps=[]"]
        subprocess.run([*command, *more, "-o", str(work / name), "--quiet"], check=True)


def tasks(case: str, work: Path) -> str:
    """Return the tasks of a case as eval's config takes them."""
    made = {
        "perplexity": {"type": "perplexity", "data": str(work / "corpus")},
        "answers": {"type": "answers", "data": str(work / "pairs")},
        "system": {"type": "answers", "data": str(work / "system")},
        "generation": {
            "type": "generation", "data": str(work / "pairs"), "limit": SIZES["generation"], "max_new_tokens": 48,
        },
    }  # fmt: skip
    names = ("perplexity", "answers", "generation") if case == "all" else (case,)
    return f"tasks={json.dumps([made[name] for name in names])}"


def compare(bench: Bench, case: str, sources: dict[str, Path], num_cores: int) -> None:
    """Let the checkouts take turns, and note the medians and what is claimed of them."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sources}
    paths = os.environ.get("PYTHONPATH")
    for number, name in itertools.product(range(bench.rounds), sources):
        out, log = bench.work / "out" / name, bench.work / "logs" / f"{case}-{name}-{number}.log"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        # -P: beside the script lies this file, which is not the package `evaluate`.
        command = [sys.executable, "-P", str(HERE / "_evaluating.py"), str(out), "--model", str(bench.work / "model")]
        os.environ["PYTHONPATH"] = str(sources[name])
        try:
            cores = sorted(os.sched_getaffinity(0))[-num_cores:]
            measured = run([*command, "-s", tasks(case, bench.work)], cores=cores, log=log, threads=num_cores)
        except RunError as error:
            bench.failures.append(f"{case}: {name}: {error}")
            return
        finally:
            os.environ.pop("PYTHONPATH")
            if paths is not None:
                os.environ["PYTHONPATH"] = paths
        found[name].append({**json.loads((out / "found.json").read_text()), "peak_bytes": measured.peak_bytes})
        print(f"  {case}: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    rows: dict[str, dict[str, Any]] = {}
    for name, runs in found.items():
        numbers = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "scores"}
        rows[name] = {"case": case, "who": name, **numbers, "scores": runs[0]["scores"], "all": runs}
    bench.rows += rows.values()
    before, now = rows["before"], rows["now"]
    bench.claim(f"{case}: times the samples/s of before", before["seconds"] / now["seconds"], ">=", 1.3)
    cpu = before["work_cpu_seconds"] / now["work_cpu_seconds"]
    bench.claim(f"{case}: times the samples per CPU second", cpu, ">=", 1.3)
    bench.claim(f"{case}: first sample, share of before's time", now["first_s"] / before["first_s"], "<=", 1.1)
    worst = max(abs(now["scores"][name] / value - 1) for name, value in before["scores"].items() if value)
    bench.claim(f"{case}: scores differ by, relatively", worst, "<=", 1e-6)


def print_tables(bench: Bench) -> None:
    """Print the rows and the claims."""
    print(f"{'case':12} {'who':8} {'samples':>8} {'s':>8} {'samples/s':>10} {'CPU s':>8} {'first s':>8} {'peak MB':>8}")
    for row in bench.rows:
        rate = row["samples"] / row["seconds"]
        times = f"{row['work_cpu_seconds']:8.1f} {row['first_s']:8.2f} {row['peak_bytes'] / MB:8.0f}"
        print(f"{row['case']:12} {row['who']:8} {row['samples']:8.0f} {row['seconds']:8.1f} {rate:10.1f} {times}")
    print_claims(bench)


def main() -> None:
    """Measure, print the tables and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the directory `src` of another checkout")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=1, help="cores, each with a thread, of every contender")
    parser.add_argument("--cases", default="perplexity,answers,system,generation,all")
    parser.add_argument("--work", type=Path, help="where the model and the data are kept; made anew otherwise")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(given.work or Path(folder), given.rounds)
        bench.work.mkdir(parents=True, exist_ok=True)
        if not (bench.work / "system").exists():
            texts = list(python_docs())
            make_model(bench.work / "model", texts)
            write_data(bench.work, texts)
        sources = {"before": given.before.resolve(), "now": HERE.parent / "src"}
        for case in given.cases.split(","):
            compare(bench, case, sources, given.cores)
        print_tables(bench)
        finish(bench, given.json, PACKAGES)


if __name__ == "__main__":
    main()
