"""A text and its label: `{"text": "Good value, and fast.", "label": "positive"}`."""

from __future__ import annotations

from typing import ClassVar

from llmkit.data.rows._labels import LABEL_NAMES, Labelled


class TextLabel(Labelled):
    """A text with a class, with several classes, or with a number."""

    text_fields: ClassVar = ("text",)
    aliases: ClassVar = {
        "text": ("text", "sentence", "review", "content", "comment", "document", "body", "tweet", "utterance"),
        "label": LABEL_NAMES,
    }
