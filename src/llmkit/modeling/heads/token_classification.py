"""A label for every token: names, parts of speech, borders."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer
from llmkit.modeling.heads._labels import Labelled

_USAGE = """\
text = tokenizer("...", return_tensors="pt", return_token_type_ids=False)
labels = [model.config.id2label[i] for i in model(**text).logits[0].argmax(-1).tolist()]
print(list(zip(text.tokens(), labels)))"""


class TokenClassification(Labelled):
    """A layer over labels on every token's vector."""

    auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    table: ClassVar[str] = "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES"
    refusal: ClassVar[str] = "has no head for labels of tokens"
    examples: ClassVar[str] = "bert, modernbert, llama"
    pipeline: ClassVar[str] = "token-classification"
    peft_task: ClassVar[str | None] = "TOKEN_CLS"
    chosen: ClassVar[str] = "labels of tokens"

    @property
    def answer(self) -> Answer:
        """A label for every token."""
        return "token_labels"

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - it does not write
        """Return code that labels the tokens of a text."""
        return _USAGE
