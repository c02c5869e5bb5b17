"""Supervised fine-tuning on chat messages: predict what the assistant says (Ouyang et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.objectives import NextToken
from llmkit.objectives.rows import RowObjective

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast


class SFT(NextToken, RowObjective):
    """Loss on the assistant's tokens only, the end of its turn included."""

    def encode(self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return ids and labels of a row with `messages`, both `[length]`; -100 where nothing is learned."""
        from llmkit.data.chat import encode_chat
        from llmkit.data.packing import IGNORED

        ids, spoken = encode_chat(tokenizer, row["messages"])
        labels = np.full(ids.shape, IGNORED, dtype=np.int64)
        labels[:-1] = np.where(spoken[1:], ids[1:], IGNORED)
        return ids, labels
