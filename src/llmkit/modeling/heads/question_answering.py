"""Extractive question answering: where in a text the answer stands (Rajpurkar et al. 2016, "SQuAD")."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head

_USAGE = """\
asked = tokenizer("How long is the ferry?", "The ferry is ninety metres long.", return_tensors="pt")
found = model(**asked)
start, end = found.start_logits.argmax(), found.end_logits.argmax()
print(tokenizer.decode(asked["input_ids"][0, start : end + 1]))"""


class QuestionAnswering(Head):
    """A layer that rates every token as the first and as the last of the answer."""

    auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    table: ClassVar[str] = "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES"
    refusal: ClassVar[str] = "has no head for spans of texts"
    examples: ClassVar[str] = "bert, roberta, modernbert"
    pipeline: ClassVar[str] = "question-answering"
    chosen: ClassVar[str] = "borders of spans"
    new: ClassVar[frozenset[str]] = frozenset({"qa_outputs", "classifier", "head"})
    rank: ClassVar[int] = 15

    @property
    def answer(self) -> Answer:
        """A span."""
        return "span"

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - it does not chat
        """Return code that finds the answer to a question in a text."""
        return _USAGE
