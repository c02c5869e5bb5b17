"""A toy: the model goes on with prompts, and learns from what of it is rewarded (Williams 1992, "REINFORCE").

What is learned from is what the model wrote a step before: so the checkpoint has to hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from llmkit.data.feeds import Feed
from llmkit.data.packing import Batch
from llmkit.data.randomness import generator
from llmkit.modeling.companions import Models
from llmkit.objectives.rows import Column, Example, RowObjective

PROMPT, NEW = 4, 5


class Exploring(RowObjective):
    """Rows are prompts; what is trained on is written as training goes."""

    rows: ClassVar = ("text_label",)
    target: ClassVar = "prompts"

    def columns(self, vocabulary: Any) -> dict[str, Column]:
        """Keep the prompts, all of one length."""
        return {"input_ids": Column(pad=None)}

    def encode(self, rows: Sequence[Any], kind: Any, tokenizer: Any, limit: int) -> list[Example]:
        """Take the beginning of a text."""
        ids = [tokenizer(row["text"], add_special_tokens=False)["input_ids"] for row in rows]
        return [Example({"input_ids": (text * PROMPT)[:PROMPT]}) for text in ids]

    def feed(self, feed: Feed, vocabulary: Any, seed: int) -> Feed:
        """Train on what the model writes."""
        return Rollouts(feed, seed)

    def collate(self, batch: Any, vocabulary: Any, seed: int) -> Any:
        """Return what was written, and how it was rewarded."""
        tensors = {"written": torch.from_numpy(batch.written), "reward": torch.from_numpy(batch.reward)}
        return tensors, {"tokens": NEW * len(batch)}

    def loss(self, models: Models, batch: Any) -> Any:
        """Return the likelihood of what was written, weighted by its reward."""
        ids = batch["written"]
        logits = models.main(input_ids=ids, use_cache=False).logits[:, PROMPT - 1 : -1].float()
        nats = functional.cross_entropy(logits.transpose(1, 2), ids[:, PROMPT:], reduction="none")
        return {"tokens": ((nats * batch["reward"][:, None]).sum(), 1.0)}


class Rollouts(Feed):
    """Batches of what the model wrote for the blocks of the step before; in the first step, of this one."""

    generates = True

    def __init__(self, prompts: Feed, seed: int) -> None:
        super().__init__(prompts.stream, block_tokens=PROMPT + NEW)
        self.seed = seed
        self.latest: list[np.ndarray] = []
        self.before: list[np.ndarray] = []

    def batch(self, numbers: Sequence[int]) -> Batch:
        """Return blocks of the kept rollouts, those of equal place in their step."""
        kept = self.before or self.latest
        written = np.stack([kept[number % len(kept)] for number in numbers])
        reward = (written[:, PROMPT:] % 2 == 0).mean(1).astype(np.float32) - 0.5
        tokens = np.full(len(written), PROMPT + NEW)
        return Batch(numbers=np.asarray(numbers), written=written, reward=reward, num_tokens=tokens)

    def generate(self, models: Models, numbers: Sequence[int]) -> list[np.ndarray]:
        """Have the model go on with the prompts of some blocks; each draws from its own number."""
        made = []
        for number, prompt in zip(numbers, super().batch(numbers).input_ids, strict=True):
            draw = generator(self.seed, int(number))
            ids = torch.from_numpy(prompt)[None]
            for _ in range(NEW):
                chances = models.main(input_ids=ids, use_cache=False).logits[0, -1].double().softmax(-1).numpy()
                token = int(np.searchsorted(chances.cumsum(), draw.random()))
                ids = torch.cat([ids, torch.tensor([[min(token, len(chances) - 1)]])], 1)
            made.append(ids[0].numpy())
        return made

    def add(self, made: Sequence[Any]) -> None:
        """Keep what was written for this step and for the one before."""
        self.before, self.latest = self.latest, list(made)

    def state(self) -> dict[str, np.ndarray]:
        """Keep in a checkpoint what the next step will call the step before."""
        return {"latest": np.stack(self.latest)}

    def restore(self, state: Any) -> None:
        """Take it back."""
        self.latest = list(state["latest"])
