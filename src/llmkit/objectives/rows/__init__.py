"""Family "row_objective": what a model learns from labelled rows, one module each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llmkit.objectives import Objective

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast


class RowObjective(Objective):
    """An objective over labelled rows."""

    def encode(self, row: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast) -> tuple[NDArray[Any], NDArray[Any]]:
        """Turn a row into ids and labels, `labels[t]` being the target of `ids[t]`."""
        raise NotImplementedError
