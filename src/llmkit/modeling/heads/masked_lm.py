"""Masked language models: each token from both sides."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head

_USAGE = """\
text = tokenizer(f"... {tokenizer.mask_token} ...", return_tensors="pt")
logits = model(**text).logits[text["input_ids"] == tokenizer.mask_token_id]
print(tokenizer.convert_ids_to_tokens(logits.topk(5).indices[0].tolist()))  # the likeliest words in its place"""


class MaskedLM(Head):
    """Layers over the vocabulary on an encoder."""

    auto_class: ClassVar[str] = "AutoModelForMaskedLM"
    table: ClassVar[str] = "MODEL_FOR_MASKED_LM_MAPPING_NAMES"
    refusal: ClassVar[str] = "is not a masked language model"
    examples: ClassVar[str] = "bert, roberta, modernbert"
    pipeline: ClassVar[str] = "fill-mask"
    chosen: ClassVar[str] = "likeliest tokens"
    objective: ClassVar[str | None] = "masked_lm"
    rank: ClassVar[int] = 2

    @property
    def answer(self) -> Answer:
        """A token of the vocabulary for every token."""
        return "token_labels"

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - an encoder does not chat
        """Return code that names the likeliest words in a mask's place."""
        return _USAGE
