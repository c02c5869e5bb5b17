"""One tiny artifact of every kind, made once, and copied for each case that damages one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from campaign._cases import Case, run

SUBJECTS = ("the fox", "a river", "my neighbour", "the old clock", "rain", "the editor", "a small dog", "the train")
VERBS = ("crosses", "remembers", "follows", "paints", "repairs", "misses", "watches", "answers")
OBJECTS = ("the bridge", "a letter", "two apples", "the evening", "her garden", "a song", "the question", "the door")
MODEL = (
    "model.config={hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2,"
    " num_key_value_heads: 2, tie_word_embeddings: true}"
)
TRAINING = ["context_length=64", "batch_tokens=256", "precision=float32", "validate.every=2", "checkpoint.every=2"]


KINDS = ("corpus", "pairs", "tokens", "base", "model", "adapter", "scores", "export", "predictions", "answers",
         "index")  # fmt: skip


class Chain:
    """Artifacts of all kinds below one folder, whose paths are those their manifests name.

    Args:
        root: Where they are used; damaged at will.
        kept: Where they stay whole.
    """

    def __init__(self, root: Path, kept: Path) -> None:
        self.root, self.kept = root, kept

    def commands(self) -> dict[str, list[str]]:
        """Return the command that makes each artifact, in order."""
        at = {name: str(self.root / name) for name in KINDS}
        training = [word for setting in TRAINING for word in ("-s", setting)]
        answers = f"{{type: answers, data: {at['pairs']}, limit: 4}}"
        tasks = f"tasks=[{answers}, {{type: generation, data: {at['pairs']}, limit: 1, max_new_tokens: 4}}]"
        chats = f"inputs=[{{type: files, path: {self.root / 'pairs.jsonl'}, messages_field: messages}}]"
        return {
            "corpus": ["clean", "-i", str(self.root / "texts.jsonl"), "-s", "steps=[]", "-o", at["corpus"]],
            "pairs": ["clean", "-s", chats, "-s", "steps=[]", "-o", at["pairs"]],
            "tokens": ["tokenize", "-i", at["corpus"], "--vocab-size", "400", "-s", "validation_fraction=0.1",
                       "-s", "test_fraction=0.1", "-s", "workers=1", "-o", at["tokens"]],
            "base": ["pretrain", "--data", at["tokens"], "-s", "model.arch=llama", "-s", MODEL, *training,
                     "--max-steps", "4", "-o", at["base"]],
            "model": ["finetune", "--data", at["pairs"], "--model", at["base"], *training, "--max-steps", "2",
                      "-s", "validation_fraction=0.1", "-s", "workers=1", "-o", at["model"]],
            "adapter": ["finetune", "--data", at["pairs"], "--model", at["base"], "--lora", *training,
                        "--max-steps", "2", "-s", "validation_fraction=0.1", "-s", "workers=1", "-o", at["adapter"]],
            "scores": ["eval", "--model", at["model"], "-s", tasks, "-o", at["scores"]],
            "export": ["export", "--model", at["model"], "-s", "parity_prompts=1", "-s", "parity_new_tokens=2",
                       "-o", at["export"]],
            "predictions": ["predict", "--model", at["base"], "-i", str(self.root / "texts.jsonl"), "-s",
                            "answer=vector", "-o", at["predictions"]],
            "answers": ["generate", at["model"], "-i", str(self.root / "pairs.jsonl"), "--temperature", "1",
                        "--max-new-tokens", "8", "-o", at["answers"]],
            "index": ["index", "-i", at["corpus"], "-o", at["index"]],
        }  # fmt: skip

    def make(self) -> None:
        """Make everything, and keep a copy."""
        self.root.mkdir(parents=True, exist_ok=True)
        write_texts(self.root)
        for name, command in self.commands().items():
            made = run(Case(name, partial(_given, command), frozenset({0}), seconds=300), self.root)
            assert not made.problem, f"{name}: {made.problem}\n{made.said}"
        shutil.copytree(self.root, self.kept)

    def restore(self) -> None:
        """Put everything back as it was made."""
        shutil.rmtree(self.root)
        shutil.copytree(self.kept, self.root)


def _given(command: Sequence[str], _folder: Path) -> Sequence[str]:
    return command


def sentences(count: int) -> list[str]:
    """Return distinct little texts, the same every time."""
    return [
        f"Story {i}. " + " ".join(f"{SUBJECTS[(i * k + k) % 8]} {VERBS[(i + 3 * k) % 8]} {OBJECTS[(i * 5 + k) % 8]}."
                                  for k in range(1, 2 + i % 5))
        for i in range(count)
    ]  # fmt: skip


def write_texts(folder: Path) -> None:
    """Write the raw texts and conversations that the chain is made of."""
    texts = [{"text": text} for text in sentences(200)]
    chats = [
        {"messages": [{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": text}]}
        for i, text in enumerate(sentences(40))
    ]
    for name, rows in (("texts.jsonl", texts), ("pairs.jsonl", chats)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
