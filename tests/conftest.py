"""Shared fixtures: the command line in this process, and one tiny chain of artifacts per session."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from cells import pytest_addoption, pytest_collection_modifyitems, pytest_configure
from llmkit.cli.main import run
from texts import sentences, write_jsonl
from tiny_settings import TINY_MODEL, TINY_TRAINING

__all__ = ["pytest_addoption", "pytest_collection_modifyitems", "pytest_configure"]
"""What pytest asks for by these names: the matrix of exports."""
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
# Before torch is loaded: threads that wait for each other cost models of this size more than they bring, above all
# where tests run in parallel. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A killed process loses nothing that it wrote, and waiting for the disk is a third of what small commands take.
os.fsync = lambda descriptor: None
# Torch held to less than this processor has: oneDNN is to be held to the same, as it would be on such a processor.
LESSER = {"default": "SSE41", "avx2": "AVX2"}
if (isa := LESSER.get(os.environ.get("ATEN_CPU_CAPABILITY", "").lower())) is not None:
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", isa)
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@dataclass
class Outcome:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        return json.loads(self.out)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run `llmkit ARGUMENTS` in this process, in an empty current directory."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@dataclass(frozen=True)
class Chain:
    """Paths of one tiny artifact of each kind; read them, never write."""

    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Make `corpus`, `pairs` (examples), `tokens`, `base` and `model` (fine-tuned) once, in a few seconds."""
    root = tmp_path_factory.mktemp("chain")
    texts = write_jsonl(root / "texts.jsonl", [{"text": text, "n": i} for i, text in enumerate(sentences(300))])
    questions = [
        {
            "messages": [
                {"role": "user", "content": f"What is {i}?"},
                {"role": "assistant", "content": " ".join(text.split()[:6])},
            ]
        }
        for i, text in enumerate(sentences(60, seed=1000))
    ]
    pairs = write_jsonl(root / "pairs.jsonl", questions)
    steps = [
        ["clean", "-i", texts, "-o", root / "corpus"],
        ["clean", "-s", f"inputs=[{{type: files, path: {pairs}, messages_field: messages}}]", "-o", root / "pairs"],
        ["tokenize", "-i", root / "corpus", "--vocab-size", 400, "-s", "validation_fraction=0.1",
         "-s", "test_fraction=0.1", "-o", root / "tokens"],
        ["pretrain", "--data", root / "tokens", *TINY_MODEL, *TINY_TRAINING, "--max-steps", 8, "-o", root / "base"],
        ["finetune", "--data", root / "pairs", "--model", root / "base", *TINY_TRAINING,
         "--max-steps", 4, "-s", "validation_fraction=0.1", "-o", root / "model"],
    ]  # fmt: skip
    for step in steps:
        assert run([*map(str, step), "-q"]) == 0, step
    yield Chain(root)
    shutil.rmtree(root, ignore_errors=True)
