"""Encoders as they are pretrained: masked tokens, and a question about two texts (BERT, ALBERT)."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head

_USAGE = """\
pair = tokenizer("...", "...", return_tensors="pt")
masked_words, order = model(**pair)[:2]  # logits [1, tokens, vocabulary] and [1, 2]
print(order.softmax(-1))  # [the second text follows, it does not]"""


class Pretraining(Head):
    """Two heads on an encoder: over the vocabulary, and over the pair."""

    auto_class: ClassVar[str] = "AutoModelForPreTraining"
    table: ClassVar[str] = "MODEL_FOR_PRETRAINING_MAPPING_NAMES"
    refusal: ClassVar[str] = "has no heads for pretraining"
    examples: ClassVar[str] = "bert, albert"
    pipeline: ClassVar[str] = "fill-mask"
    chosen: ClassVar[str] = "likeliest tokens"
    objective: ClassVar[str | None] = "masked_lm"
    rank: ClassVar[int] = 3  # its table has the plain language models as well

    @property
    def answer(self) -> Answer:
        """A token of the vocabulary for every token; the pair's logits are numbers beside it."""
        return "token_labels"

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - an encoder does not chat
        """Return code that tells whether two texts belong together."""
        return _USAGE
