"""A server under load, asked with OpenAI's own client over the loopback, beside the servers of its peers.

python benchmarks/serve.py                      64 streams on a random Llama of 7M parameters
python benchmarks/serve.py --gguf FILE          the same file behind llmkit and behind xllamacpp's own server
python benchmarks/serve.py --model DIR --peer   the same directory behind llmkit and `transformers serve`, which needs
                                                pip install "transformers[serving]"

Of each: tokens/s of one stream after another and of all at once (`--streams 8 32` for several numbers), tokens per CPU
second of the server (which other work on the machine changes little), time to the first token, and the server's memory.

--arrivals N   N requests come one by one, with random gaps (a Poisson process), at half of what the server can do at
               most; the time to the first token is compared with a lone stream's
--requests N   N requests by 8 at once; the memory is printed after each tenth

The last line is everything as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORDS = ("the", "of", "and", "to", "in", "that", "it", "was", "for", "on", "are", "as", "with", "they", "at", "be")
TICKS = os.sysconf("SC_CLK_TCK")
LLAMA = """
import sys, time, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_parallel, p.n_ctx = sys.argv[1], int(sys.argv[3]), int(sys.argv[3]) * 512
p.port, p.verbosity, p.cpuparams.n_threads = int(sys.argv[2]), -1, int(sys.argv[4])
p.cpuparams_batch.n_threads = p.cpuparams.n_threads
server = xllamacpp.Server(p)
time.sleep(3600)
"""


@dataclass
class Measured:
    """What a round took: tokens/s by the clock and by the server's CPU, and seconds to the first token."""

    wall: float
    cpu: float
    first: list[float]
    texts: list[str]

    def after(self, share: float) -> float:
        """Return the seconds in which such a share has its first token."""
        return sorted(self.first)[round(share * (len(self.first) - 1))]

    def line(self, name: str) -> str:
        """Return it for people."""
        first = f"first token {self.after(0.5):.3f} s, p95 {self.after(0.95):.3f} s"
        return f"  {name:28} {self.wall:7.1f} tok/s  {self.cpu:7.1f} tok/CPU-s  {first}"

    def numbers(self) -> dict[str, float]:
        """Return it for programs."""
        return {
            "tokens_per_s": self.wall, "tokens_per_cpu_s": self.cpu, "first_p50_s": self.after(0.5),
            "first_p95_s": self.after(0.95),
        }  # fmt: skip


def random_llama(folder: Path) -> Path:
    """Save a Llama of 7M random weights with a tokenizer of words and bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator([" ".join(WORDS)], trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet))
    backend.add_tokens([f"<{i}>" for i in range(8192 - backend.get_vocab_size())])
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8,
        num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, eos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.06)
    model.save_pretrained(folder)
    return folder


@contextlib.contextmanager
def running(command: list[str], port: int, probe: str) -> Iterator[int]:
    """Start a server, wait until it answers, and give its process number."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            while True:
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{probe}", timeout=5).read()
                    break
                if server.poll() is not None or time.monotonic() - started > 300:
                    raise SystemExit(f"it does not start: {' '.join(command)}")
                time.sleep(0.1)
            print(f"  answers {time.monotonic() - started:.1f} s after its start")
            yield server.pid
        finally:
            server.send_signal(signal.SIGKILL)


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def megabytes(pid: int) -> int:
    """Return the memory of a process that is resident."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


async def ask(
    port: int, pid: int, model: str, prompts: list[str], tokens: int, streams: int, per_s: float | None = None
) -> Measured:
    """Ask for all prompts, so many at a time; with `per_s` so many a second on average come, at random times."""
    import openai

    first: list[float] = []
    gate = asyncio.Semaphore(streams)
    draw, times = random.Random(2), [0.0]
    for _ in prompts[1:]:
        times.append(times[-1] + (draw.expovariate(per_s) if per_s else 0.0))

    async def one(client: openai.AsyncOpenAI, prompt: str, when: float) -> str:
        await asyncio.sleep(when)
        async with gate:
            begun, text = time.monotonic(), ""
            chunks = await client.completions.create(
                model=model, prompt=prompt, max_tokens=tokens, temperature=0, stream=True
            )
            async for chunk in chunks:
                if not text:
                    first.append(time.monotonic() - begun)
                text += chunk.choices[0].text if chunk.choices else ""
            return text

    async with openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
        begun, before = time.monotonic(), cpu_s(pid)
        texts = await asyncio.gather(*map(functools.partial(one, client), prompts, times))
        wall, cpu = time.monotonic() - begun, cpu_s(pid) - before
    count = tokens * len(prompts)
    return Measured(count / wall, count / max(cpu, 1e-9), first, list(texts))


def measure(name: str, command: list[str], port: int, probe: str, model: str, told: argparse.Namespace) -> Any:
    """Start a server, ask it in all ways that are wanted, print the lines, and return the numbers."""
    print(name)
    draw = random.Random(1)
    prompts = [" ".join(draw.choices(WORDS, k=24)) for _ in range(max(*told.streams, told.arrivals, told.alone))]
    with running(command, port, probe) as pid:

        def asked(count: int, streams: int, per_s: float | None = None) -> Measured:
            wanted = [prompts[number % len(prompts)] for number in range(count)]
            return asyncio.run(ask(port, pid, model, wanted, told.tokens, streams, per_s))

        asyncio.run(ask(port, pid, model, ["warm up"], 4, 1))
        memory = [megabytes(pid)]
        alone = asked(told.alone, 1)
        print(alone.line("one after another"))
        found: dict[str, Any] = {"alone": alone.numbers()}
        best = alone.wall
        for streams in told.streams:
            together = asked(streams, streams)
            same = sum(a == b for a, b in zip(alone.texts, together.texts, strict=False))
            most = min(len(alone.texts), streams)
            print(together.line(f"{streams} at once"))
            print(f"  ratio {together.wall / alone.wall:.1f}, by CPU seconds {together.cpu / alone.cpu:.1f};"
                  f" {same} of {most} texts are the same")  # fmt: skip
            found[f"at_once_{streams}"] = {**together.numbers(), "same": same, "of": most}
            best = max(best, together.wall)
        if told.arrivals:
            per_s = best / told.tokens / 2
            arrived = asked(told.arrivals, told.arrivals, per_s)
            times = arrived.after(0.95) / alone.after(0.5)
            print(arrived.line(f"{told.arrivals} at {per_s:.2f} a second"))
            print(f"  p95 to the first token is {times:.1f} times a lone stream's")
            found["arrivals"] = {**arrived.numbers(), "per_s": per_s, "times_alone": times}
        for _ in range(10 if told.requests else 0):
            asked(told.requests // 10, 8)
            memory.append(megabytes(pid))
        memory.append(megabytes(pid))
        print(f"  memory in MB: {', '.join(map(str, memory))}")
    return {**found, "memory_mb": memory}


def compared(ours: Any, theirs: Any, name: str) -> None:
    """Print how much faster than a peer."""
    for way in (way for way in ours if way.startswith("at_once")):
        clock, cpu = (ours[way][key] / theirs[way][key] for key in ("tokens_per_s", "tokens_per_cpu_s"))
        print(f"llmkit / {name}, {way.removeprefix('at_once_')} at once: {clock:.2f}, by CPU seconds {cpu:.2f}")


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def main() -> None:
    """Measure what the options name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--peer", action="store_true", help="`transformers serve` as well")
    parser.add_argument("--cache-type", choices=("float16", "float32"), default="float16")
    parser.add_argument("--streams", type=int, nargs="+", default=[64])
    parser.add_argument("--alone", type=int, default=8, help="streams of those that run one after another")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--arrivals", type=int, default=0, help="requests that come at half of the capacity")
    parser.add_argument("--requests", type=int, default=0, help="requests over which the memory is watched")
    told = parser.parse_args()
    if told.peer and told.gguf:
        parser.error("--peer reads no GGUF file: give it --model DIR, in a run of its own")
    with tempfile.TemporaryDirectory() as scratch:
        where = told.gguf or told.model or random_llama(Path(scratch))
        port = free_port()
        own = [sys.executable, "-m", "llmkit", "serve", "--model", f"m={where}", "--port", str(port),
               "--batch", str(max(told.streams)), "--cache-type", told.cache_type]  # fmt: skip
        ours = measure("llmkit serve", own, port, "/health", "m", told)
        found = {"llmkit": ours}
        if told.gguf:
            port, threads = free_port(), os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
            peer = [sys.executable, "-c", LLAMA, str(where), str(port), str(max(told.streams)), threads]
            theirs = measure("xllamacpp's server", peer, port, "/health", "m", told)
            compared(ours, theirs, "xllamacpp")
            found["xllamacpp"] = theirs
        if told.peer:
            port = free_port()
            command = [str(Path(sys.executable).with_name("transformers")), "serve", str(where), "--port", str(port)]
            peer = [*command, "--continuous-batching"]
            theirs = measure("transformers serve", peer, port, "/v1/models", str(where), told)
            compared(ours, theirs, "transformers serve")
            found["transformers serve"] = theirs
        print(json.dumps(found))


if __name__ == "__main__":
    main()
