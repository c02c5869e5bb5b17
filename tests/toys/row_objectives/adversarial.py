"""A toy: a language model, and a second one trained to tell its guesses from the text (Clark et al. 2020)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch.nn import functional

from llmkit.modeling.companions import Companion, Models
from llmkit.objectives.rows import IGNORED, Example, RowObjective, padded_tensors


class Adversarial(RowObjective):
    """Two trained models; the second learns at half the rate."""

    rows: ClassVar = ("text_label",)
    target: ClassVar = "tokens"

    def companions(self) -> Mapping[str, Companion]:
        """Ask for a second model, a copy to begin with."""
        return {"discriminator": Companion("start", trained=True, lr_factor=0.5)}

    def encode(self, rows: Sequence[Any], kind: Any, tokenizer: Any, limit: int) -> list[Example]:
        """Predict each next token of a text."""
        found = []
        for row in rows:
            ids = [tokenizer.bos_token_id, *tokenizer(row["text"], add_special_tokens=False)["input_ids"]][:limit]
            found.append(Example({"input_ids": ids, "labels": [*ids[1:], IGNORED]}))
        return found

    def collate(self, batch: Any, vocabulary: Any, seed: int) -> Any:
        """Return ids, mask and targets; as many tokens are to be told as to be predicted."""
        tensors = padded_tensors(batch, "labels")
        targets = int((tensors["labels"] >= 0).sum())
        return tensors, {"tokens": targets, "told": targets}

    def loss(self, models: Models, batch: Any) -> Any:
        """Return the cross-entropy of the tokens, and of telling the model's guesses from them."""
        ids, labels = batch["input_ids"], batch["labels"]
        logits = models.main(input_ids=ids, attention_mask=batch["attention_mask"], use_cache=False).logits.float()
        tokens = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum", ignore_index=IGNORED)
        guessed = logits.detach().argmax(-1)
        real = guessed == labels
        seen = models["discriminator"](input_ids=guessed, attention_mask=batch["attention_mask"], use_cache=False)
        told = functional.binary_cross_entropy_with_logits(
            seen.logits[..., 0].float(), real.float(), weight=(labels >= 0).float(), reduction="sum"
        )
        return {"tokens": (tokens, 1.0), "told": (told, 2.0)}
