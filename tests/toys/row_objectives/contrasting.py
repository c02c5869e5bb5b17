"""A toy: a pair's texts are nearer to each other than to all others of the step (van den Oord et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.nn import functional

from llmkit.modeling.companions import Models
from llmkit.objectives.rows import Column, Example, RowObjective


class Contrasting(RowObjective):
    """In-batch negatives: the loss of a row depends on all rows of the step."""

    rows: ClassVar = ("text_pair",)
    target: ClassVar = "pairs"
    couples: ClassVar = True

    def columns(self, vocabulary: Any) -> dict[str, Column]:
        """Keep the ids of both texts."""
        pad = vocabulary.pad or 0
        return {"left_input_ids": Column(pad=pad), "right_input_ids": Column(pad=pad)}

    def encode(self, rows: Sequence[Any], kind: Any, tokenizer: Any, limit: int) -> list[Example]:
        """Encode both texts."""
        sides = {"left_input_ids": "text", "right_input_ids": "pair"}
        return [
            Example({
                name: tokenizer(row[field], add_special_tokens=False)["input_ids"][:limit]
                for name, field in sides.items()
            })
            for row in rows
        ]  # fmt: skip

    def collate(self, batch: Any, vocabulary: Any, seed: int) -> Any:
        """Return ids and masks of both sides."""
        tensors = {}
        for side in ("left", "right"):
            ids, lengths = batch.columns[f"{side}_input_ids"], batch.columns[f"{side}_input_ids_length"]
            tensors[side] = torch.from_numpy(ids)
            tensors[f"{side}_mask"] = torch.arange(ids.shape[1])[None] < torch.from_numpy(lengths)[:, None]
        return tensors, {"pairs": len(batch)}

    def outputs(self, models: Models, batch: Any) -> Any:
        """Return a point for each text, `[rows, dim]`."""
        return {side: embed(models.main, batch[side], batch[f"{side}_mask"]) for side in ("left", "right")}

    def loss_of(self, outputs: Any) -> Any:
        """Return the cross-entropy of finding each row's own second text."""
        left, right = (functional.normalize(outputs[side], dim=-1) for side in ("left", "right"))
        scores = 10 * left @ right.T
        return {"pairs": (functional.cross_entropy(scores, torch.arange(len(scores)), reduction="sum"), 1.0)}


def embed(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    hidden = model.base_model(input_ids=ids, attention_mask=mask.long(), use_cache=False).last_hidden_state
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
