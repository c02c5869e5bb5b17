"""A tiny model that writes, and servers of it: in a thread of the tests, and as a process of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import uvicorn

from llmkit.serving.app import application
from llmkit.serving.engine import EngineSettings
from llmkit.serving.running import RunningEngine
from llmkit.serving.service import Service
from tiny import byte_tokenizer, model

POSITIONS = 256
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_writer(folder: Path, **settings: Any) -> Path:
    """Save a Llama of some thousand parameters with a tokenizer of bytes; what it writes depends on all before."""
    tokenizer = byte_tokenizer(template=TEMPLATE)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": POSITIONS}
    built = model("llama", **{**sizes, **ends, **settings})
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.mul_(10)
    built.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def open_writer(folder: Path, **settings: Any) -> RunningEngine:
    """Open its engine."""
    return RunningEngine(str(folder), None, EngineSettings(cache_bytes=1 << 24, **settings), lambda _: None)


@contextlib.contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve in a thread, and give the address."""
    config = uvicorn.Config(
        application(service), log_config=None, access_log=False, lifespan="off", http="h11", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@contextlib.contextmanager
def process(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start `llmkit serve` on a free port, and give the process and its address."""
    command = [sys.executable, "-m", "llmkit", "serve", *arguments, "--port", "0"]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    try:
        assert started.stderr is not None
        said = []
        for line in started.stderr:
            said.append(line)
            if found := re.search(r"http://[\w.\[\]:]+?:\d+", line):
                yield started, found[0]
                break
        else:
            raise AssertionError("".join(said))
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGKILL)
        started.wait()
        if started.stderr is not None:
            started.stderr.close()
