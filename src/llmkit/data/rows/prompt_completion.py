"""A prompt and what completes it: `{"prompt": "What is 2 + 2?", "completion": "4"}`."""

from __future__ import annotations

from typing import ClassVar

from llmkit.data.rows._asked import SYSTEM, Asked


class PromptCompletion(Asked):
    """A prompt and its completion: a conversation of one question and one answer."""

    text_fields: ClassVar = ("prompt", "completion")
    aliases: ClassVar = {
        "prompt": ("prompt", "instruction", "question", "input"),
        "completion": ("completion", "response", "answer", "output"),
        "system": SYSTEM,
    }
