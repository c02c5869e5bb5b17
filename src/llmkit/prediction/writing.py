"""Texts that a model writes about texts: asked as it was trained to be, by the prefix or prompt that its config has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.modeling.architecture import position_limit
from llmkit.modeling.pooling import Pooling
from llmkit.modeling.served import UNLIMITED
from llmkit.runtimes import Generate, Request, Written
from llmkit.runtimes._heads import Encoded
from llmkit.runtimes._in_memory import InMemory

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head

SOURCE = "{source}"
MOST_NEW = 128
"""Longest answer of a model whose generation config names none."""


@dataclass(frozen=True)
class Write(Request):
    """What the model makes of a text: `Written`."""

    kind = "write"
    text: str


class TextAnswers:
    """What `HeadAnswers` is to heads over texts, of a model that writes; see there.

    Args:
        model: The model, in eval mode.
        tokenizer: Its tokenizer.
        head: What stands on its body.
        where: Its directory, for errors.
        task: What its config says of the task that it was trained for; an adapter's base knows nothing of it.
        max_tokens: Most tokens of a prompt; None for all positions.
        max_new_tokens: Most tokens of an answer; None for what the generation config says.
    """

    kind = Write
    in_turn = True
    """Batches are asked one after another: a model that writes is in one state at a time."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        head: Head,
        where: str | Path,
        task: Mapping[str, Any],
        max_tokens: int | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        self.model, self.tokenizer, self.head, self.where, self.pooling = model, tokenizer, head, where, Pooling()
        self.running = InMemory(model, tokenizer, where=str(where))
        self.two_sided = bool(model.config.is_encoder_decoder)
        self.positions = position_limit(model.config) or UNLIMITED
        self.limit = min(self.positions, max_tokens or UNLIMITED)
        self.most = max_new_tokens or self._learned()
        self.template = str(task.get("prompt") or f"{task.get('prefix') or ''}{SOURCE}")
        self._known: dict[Request, Encoded] = {}

    def _learned(self) -> int:
        own = self.model.generation_config
        longest = own.max_length and own.max_length - 1  # the token that the decoder starts from is counted
        return own.max_new_tokens or (longest if self.two_sided and longest else MOST_NEW)

    def describe(self) -> str:
        """Return how the model is asked, for people."""
        from llmkit.core.json import dumps

        return f"asked by {dumps(self.template)}, for at most {self.most:,} tokens"

    def prepare(self, requests: Sequence[Any]) -> None:
        """Encode requests, of which `encoded` and `answer` are asked next."""
        texts = [self.template.replace(SOURCE, request.text) for request in requests]
        encode = self._sources if self.two_sided else self._prompts
        self._known = dict(zip(requests, encode(texts), strict=True))

    def encoded(self, request: Request) -> Encoded:
        """Return a request as the model reads it; without ids where it leaves no room for an answer."""
        return self._known[request]

    def _sources(self, texts: Sequence[str]) -> list[Encoded]:
        from llmkit.modeling.served import encode_texts

        found = encode_texts(self.tokenizer, texts, self.limit, offsets=False)
        return [Encoded(encoding.ids, None, None, bool(encoding.overflowing)) for encoding in found]

    def _prompts(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the ids that a server asks with; a prompt is never cut, for its end is what asks."""
        from llmkit.data.borders import literal_special
        from llmkit.data.rendering import encode_prompt

        found = []
        for text in texts:
            turns = [{"role": "user", "content": text}]
            chats = bool(self.tokenizer.chat_template)
            if chats and literal_special(self.tokenizer, turns) is not None:
                ids: list[int] = []  # it could fake a turn
            else:
                ids = (
                    encode_prompt(self.tokenizer, turns) if chats else self.tokenizer(text, verbose=False)["input_ids"]
                )
            room = len(ids) < self.positions and len(ids) <= self.limit
            found.append(Encoded(ids if room else [], None, None, cut=False))
        return found

    @cached_property
    def _alone(self) -> str:
        return self.running.alone(Generate)

    def alone(self) -> str:
        """Return why requests have to be answered one by one; nothing where padded neighbours change no answer."""
        return self._alone

    def answer(self, requests: Sequence[Request]) -> list[Written]:
        """Return what is written, computed as one batch.

        Raises:
            NotFiniteError: Logits are no numbers.
        """
        asked = []
        for request in requests:
            ids = tuple(self.encoded(request).ids)
            asked.append(Generate(ids, self.most if self.two_sided else min(self.most, self.positions - len(ids))))
        return self.running.answer(asked)
