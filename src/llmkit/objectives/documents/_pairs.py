"""Two parts of text in one block, `[CLS] A [SEP] B [SEP]`: masked tokens and a question about the pair."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llmkit.core.errors import ConfigError
from llmkit.data.packing import IGNORED
from llmkit.data.randomness import row_generators
from llmkit.objectives.documents import Collated, Losses, Packing, Tensors
from llmkit.objectives.documents._masking import Masking

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from llmkit.data.packing import Batch
    from llmkit.modeling.companions import Models
    from llmkit.modeling.head_loss import Judged
    from llmkit.modeling.vocabulary import Vocabulary

NUM_SPECIALS = 3
PAIR_LOGITS = ("seq_relationship_logits", "sop_logits")  # BERT's name and ALBERT's


class Pairs(Masking):
    """Objectives over pairs; they differ in the question."""

    layout: ClassVar[Literal["block", "pair"]] = "pair"
    head: ClassVar[str] = "pretraining"
    packings: ClassVar[tuple[Packing, ...]] = ("pad",)

    def check(self, vocabulary: Vocabulary) -> None:
        """Refuse a tokenizer without MASK, CLS, SEP or PAD."""
        for role in ("mask", "cls", "sep", "pad"):
            vocabulary.need(role, self.type_name)

    def around(self, vocabulary: Vocabulary) -> tuple[list[int], list[int]]:  # noqa: ARG002 - `collate` adds them
        """Return nothing: CLS and SEP stand around the parts of a pair, not around documents."""
        return [], []

    def raw_length(self, context_length: int) -> int:
        """Return the tokens of both parts: CLS and two SEP take three positions."""
        return context_length - NUM_SPECIALS

    def order(self, follows: bool, generator: np.random.Generator) -> tuple[bool, int]:
        """Return whether to swap the two parts, and the label of the pair."""
        raise NotImplementedError

    def collate(self, batch: Batch, vocabulary: Vocabulary, seed: int) -> Collated:
        """Return the tensors of the pairs.

        Returns:
            `input_ids`, `labels`, `token_type_ids` (0 up to the first SEP, then 1) and `attention_mask` (0 for
            padding), each `[blocks, context_length]`, and `pair_labels` `[blocks]`, all int64.
        """
        import torch

        blocks, length = len(batch.input_ids), batch.input_ids.shape[1] + NUM_SPECIALS
        input_ids = np.full((blocks, length), vocabulary.need("pad", self.type_name), np.int64)
        labels, kinds, seen = np.full_like(input_ids, IGNORED), np.zeros_like(input_ids), np.zeros_like(input_ids)
        pair_labels = np.zeros(blocks, np.int64)
        for row, generator in enumerate(row_generators(seed, batch.numbers)):
            first, second = _parts(batch, row)
            swapped, pair_labels[row] = self.order(bool(batch.follows[row]), generator)
            ids, border = _join(*((second, first) if swapped else (first, second)), vocabulary)
            part = (row, slice(0, ids.size))
            input_ids[part], labels[part] = self.mask(ids, np.arange(ids.size), vocabulary, generator)
            kinds[row, border : ids.size] = 1
            seen[part] = 1
        arrays = {"input_ids": input_ids, "labels": labels, "token_type_ids": kinds, "attention_mask": seen}
        tensors = {name: torch.from_numpy(array) for name, array in {**arrays, "pair_labels": pair_labels}.items()}
        return tensors, {"tokens": int((labels >= 0).sum()), "pairs": blocks}

    def inputs(self, model: PreTrainedModel, batch: Tensors) -> dict[str, Any]:  # noqa: ARG002 - the same for all
        """Return the pairs."""
        return {name: batch[name] for name in ("input_ids", "token_type_ids", "attention_mask")}

    def loss(self, models: Models, batch: Tensors) -> Losses:
        """Return the cross-entropy of the masked tokens and of the pairs, in nats.

        Raises:
            ConfigError: The model has no head for pairs.
        """
        from torch.nn.functional import cross_entropy

        from llmkit.modeling.head_loss import head_loss

        model = models.main
        tokens, outputs = head_loss(model, self.inputs(model, batch), batch["labels"], gather=True)
        pairs = cross_entropy(self._pair_logits(model, outputs), batch["pair_labels"], reduction="sum")
        return {"tokens": (tokens, 1.0), "pairs": (pairs, 1.0)}

    def judge(self, models: Models, batch: Tensors) -> dict[str, Judged]:
        """Return the same, target by target."""
        import torch
        from torch.nn.functional import cross_entropy

        from llmkit.modeling.head_loss import Judged, target_losses

        model, labels, pair_labels = models.main, batch["labels"], batch["pair_labels"]
        losses, hits, outputs = target_losses(model, self.inputs(model, batch), labels, gather=True)
        logits = self._pair_logits(model, outputs)
        pairs = cross_entropy(logits, pair_labels, reduction="none")
        rows = torch.arange(len(pair_labels), device=pair_labels.device)
        return {
            "tokens": Judged(losses, hits, (labels >= 0).nonzero(as_tuple=True)[0]),
            "pairs": Judged(pairs, logits.argmax(-1) == pair_labels, rows),
        }

    def _pair_logits(self, model: PreTrainedModel, outputs: Any) -> torch.Tensor:
        logits = next((getattr(outputs, name) for name in PAIR_LOGITS if hasattr(outputs, name)), None)
        if logits is None:
            raise ConfigError(
                f"model: {model.config.model_type} has no head for pairs of sentences, which {self.type_name} needs",
                "use bert or albert",
            )
        found: torch.Tensor = logits.float()
        return found


def _parts(batch: Batch, row: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the two parts of a block; positions restart at the second."""
    ids = batch.input_ids[row, : batch.num_tokens[row]]
    restarts = np.flatnonzero(batch.position_ids[row, : ids.size] == 0)
    border = int(restarts[1]) if restarts.size > 1 else ids.size
    return ids[:border], ids[border:]


def _join(first: NDArray[np.int64], second: NDArray[np.int64], vocabulary: Vocabulary) -> tuple[NDArray[np.int64], int]:
    """Return `[CLS] first [SEP] second [SEP]` and where the second part starts."""
    ids = np.concatenate([[vocabulary.cls], first, [vocabulary.sep], second, [vocabulary.sep]]).astype(np.int64)
    return ids, first.size + 2
