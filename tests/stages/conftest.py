"""Fixtures of the stage tests: rows on disk, options of a tiny training, and stage commands over the shared chain."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headed import SENTIMENT, save_headed
from llmkit.core.registry import PACKAGES, Family, Part


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., Path]:
    """Write rows, or texts, as JSON lines below the test's folder."""

    def write(name: str, rows: list[Any]) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        objects = [{"text": row} if isinstance(row, str) else row for row in rows]
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in objects), encoding="utf-8")
        return path

    return write


@pytest.fixture
def model_options() -> list[str]:
    """The chain's own model and training, so that a run with them may be compared with the chain's, bit for bit."""
    model = (
        "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,"
        " num_key_value_heads: 2, tie_word_embeddings: true}"
    )
    return ["-s", "model.arch=llama", "-s", model]


@pytest.fixture
def training_options() -> list[str]:
    """Float32, blocks of 64 tokens, four in a batch."""
    return ["-s", "context_length=64", "-s", "batch_tokens=256", "-s", "precision=float32", "-s", "log_every=1"]


@pytest.fixture
def reload_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an export be asked in this process instead of a fresh one, which saves seconds."""
    from llmkit.evaluation import fresh

    monkeypatch.setattr(fresh, "_run", lambda command: fresh.answer(*map(Path, command[-2:])))


@pytest.fixture
def add_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], Part]]:
    """Add a module to a family, and forget it after the test: one more file in its package, and no other change.

    This process looks for members in one more folder; fresh ones import llmkit from a tree of links with that file.
    """
    root, added = tmp_path / "with members", []
    monkeypatch.syspath_prepend(root)

    def linked(package: str) -> Path:
        folder = root.joinpath(*package.split("."))
        if folder.is_symlink() or not folder.exists():
            if "." in package:
                linked(package.rpartition(".")[0])
                folder.unlink()
            folder.mkdir(parents=True)
            for entry in Path(importlib.import_module(package).__path__[0]).iterdir():
                if entry.name != "__pycache__":
                    (folder / entry.name).symlink_to(entry)
        return folder

    def add(family: str, name: str, code: str) -> Part:
        assert name not in Family(family).members()
        package = importlib.import_module(PACKAGES[family])
        (linked(package.__name__) / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(linked(package.__name__))])
        importlib.invalidate_caches()
        added.append((package, name))
        return Family(family).parse(name)

    yield add
    for package, name in added:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)


@pytest.fixture
def stage_commands(
    chain: Any, model_options: list[str], training_options: list[str], tmp_path: Path
) -> dict[str, list[str]]:
    """One small command per stage, without `-o`, over the chain's artifacts; it takes a second or two."""
    training = [*training_options, "--max-steps", "8"]
    tuning = [*training_options, "--max-steps", "4", "-s", "validation_fraction=0.1"]
    tokenizer = ["--vocab-size", "400", "-s", "validation_fraction=0.1", "-s", "test_fraction=0.1"]
    tasks = f"tasks=[{{type: answers, data: {chain.pairs}, limit: 8}}]"
    body = save_headed(tmp_path / "encoder", SENTIMENT)
    prompts = tmp_path / "prompts.jsonl"  # the chain's model has 64 positions
    prompts.write_text("".join(json.dumps({"prompt": f"What is {i}?"}) + "\n" for i in range(8)), encoding="utf-8")
    commands = {
        "predict": ["--model", body, "-i", chain.root / "texts.jsonl"],
        "generate": ["--model", chain.model, "-i", prompts, "-s", "max_new_tokens=8", "-s", "temperature=2"],
        "index": ["-i", chain.root / "texts.jsonl"],
        "clean": ["-i", chain.root / "texts.jsonl"],
        "tokenize": ["-i", chain.corpus, *tokenizer],
        "pretrain": ["--data", chain.tokens, *model_options, *training],
        "finetune": ["--data", chain.pairs, "--model", chain.base, *tuning],
        "eval": ["--model", chain.model, "-s", tasks],
        "export": ["--model", chain.model, "-s", "parity_prompts=1", "-s", "parity_new_tokens=4"],
    }
    return {stage: [stage, *map(str, arguments)] for stage, arguments in commands.items()}


@pytest.fixture
def changed(chain: Any, tmp_path: Path) -> Callable[..., Path]:
    """The base model with weights that a function has changed in place."""
    from safetensors.torch import load_file, save_file

    def make(change: Callable[[dict[str, Any]], None]) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(chain.base, folder, ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.fixture
def little_tokenizer() -> Callable[[Path], Path]:
    """Save a tokenizer of words into a folder: it knows few of English and none of Chinese."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    def save(folder: Path) -> Path:
        words = ["[UNK]", "<end>", "the", "river", "clock", *".,?!"]
        backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", eos_token="<end>").save_pretrained(folder)
        return folder

    return save
