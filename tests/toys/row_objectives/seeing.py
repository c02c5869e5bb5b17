"""A toy: tell pictures apart; what the model reads are numbers, not tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from llmkit.modeling.companions import Models
from llmkit.objectives.rows import Column, Example, RowObjective


class Seeing(RowObjective):
    """Pictures of one size, each line of which is a position of the model."""

    rows: ClassVar = ("picture",)
    head: ClassVar = "sequence_classification"

    def columns(self, vocabulary: Any) -> dict[str, Column]:
        """Keep pixels and labels; neither is ragged."""
        return {"pixels": Column("float32", None), "labels": Column("int32", None)}

    def encode(self, rows: Sequence[Any], kind: Any, tokenizer: Any, limit: int) -> list[Example]:
        """Take the pixels as they are."""
        return [Example({"pixels": np.array(row["pixels"]), "labels": int(row["label"])}) for row in rows]

    def collate(self, batch: Any, vocabulary: Any, seed: int) -> Any:
        """Return pixels `[rows, lines, columns]` and labels."""
        tensors = {"pixels": torch.from_numpy(batch.pixels), "labels": torch.from_numpy(batch.labels)}
        return tensors, {"labels": len(batch)}

    def loss(self, models: Models, batch: Any) -> Any:
        """Return the cross-entropy of the labels."""
        width = models.main.config.hidden_size
        embeds = functional.pad(batch["pixels"], (0, width - batch["pixels"].shape[-1]))
        logits = models.main(inputs_embeds=embeds).logits.float()
        return {"labels": (functional.cross_entropy(logits, batch["labels"], reduction="sum"), 1.0)}
