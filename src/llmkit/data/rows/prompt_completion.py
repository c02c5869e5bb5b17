"""A prompt and what completes it: `{"prompt": "What is 2 + 2?", "completion": "4"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from llmkit.data.rows import Row


class PromptCompletion(Row):
    """A prompt and its completion: a conversation of one question and one answer."""

    text_fields: ClassVar = ("prompt", "completion")
    aliases: ClassVar = {
        "prompt": ("prompt", "instruction", "question", "input"),
        "completion": ("completion", "response", "answer", "output"),
    }

    def turns(self, row: Mapping[str, Any]) -> list[dict[str, str]]:
        """Return the prompt as the user's turn and the completion as the assistant's."""
        return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]
