"""Two texts and what holds between them: `{"text": "It rains.", "pair": "The street is wet.", "label": "neutral"}`."""

from __future__ import annotations

from typing import ClassVar

from llmkit.data.rows._labels import LABEL_NAMES, Labelled


class TextPair(Labelled):
    """Two texts with a class, with several classes, or with a number: inference, paraphrases, similarity, relevance."""

    text_fields: ClassVar = ("text", "pair")
    aliases: ClassVar = {
        "text": ("text", "text1", "text_a", "sentence1", "sentence_a", "question1", "premise", "question", "query"),
        "pair": ("pair", "text2", "text_b", "sentence2", "sentence_b", "question2", "hypothesis", "passage"),
        "label": (*LABEL_NAMES, "similarity", "is_duplicate", "relevance"),
    }
