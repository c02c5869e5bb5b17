"""A toy: prefer the first text of a pair to the second, against a frozen copy of the model (Rafailov et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch.nn import functional

from llmkit.modeling.companions import Companion, Models
from llmkit.objectives.rows import Column, Example, RowObjective

BETA = 0.5


class Preferring(RowObjective):
    """Two sequences a row, and a reference that stays as the model was."""

    rows: ClassVar = ("text_pair",)
    target: ClassVar = "pairs"

    def companions(self) -> Mapping[str, Companion]:
        """Ask for the model as it is when training begins."""
        return {"reference": Companion("start")}

    def columns(self, vocabulary: Any) -> dict[str, Column]:
        """Keep the ids of both texts."""
        pad = vocabulary.pad or 0
        return {"chosen_input_ids": Column(pad=pad), "rejected_input_ids": Column(pad=pad)}

    def encode(self, rows: Sequence[Any], kind: Any, tokenizer: Any, limit: int) -> list[Example]:
        """Begin both texts with BOS."""
        found = []
        for row in rows:
            chosen, rejected = (
                [tokenizer.bos_token_id, *tokenizer(row[name], add_special_tokens=False)["input_ids"]][:limit]
                for name in ("text", "pair")
            )
            found.append(Example({"chosen_input_ids": chosen, "rejected_input_ids": rejected}))
        return found

    def collate(self, batch: Any, vocabulary: Any, seed: int) -> Any:
        """Return ids and where they end."""
        tensors = {}
        for side in ("chosen", "rejected"):
            lengths = batch.columns[f"{side}_input_ids_length"]
            tensors[side] = torch.from_numpy(batch.columns[f"{side}_input_ids"][:, : int(lengths.max())].copy())
            tensors[f"{side}_length"] = torch.from_numpy(lengths)
        return tensors, {"pairs": len(batch)}

    def loss(self, models: Models, batch: Any) -> Any:
        """Return what the policy's preference lacks; ln 2 a pair before the first step."""
        with torch.no_grad():
            before = margin(models["reference"], batch)
        return {"pairs": (-functional.logsigmoid(BETA * (margin(models.main, batch) - before)).sum(), 1.0)}


def margin(model: Any, batch: Any) -> torch.Tensor:
    """How much likelier the chosen texts are than the rejected ones, in nats, `[rows]`."""
    return likelihood(model, batch, "chosen") - likelihood(model, batch, "rejected")


def likelihood(model: Any, batch: Any, side: str) -> torch.Tensor:
    ids, lengths = batch[side], batch[f"{side}_length"]
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    nats = -functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (nats * (torch.arange(1, ids.shape[1]) < lengths[:, None])).sum(1)
