"""llama.cpp's template engine, which only its server has: one in this process, asked over its own address."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

from llmkit.core.json import dumps
from llmkit.data.chat import for_server

if TYPE_CHECKING:
    from llmkit.runtimes import Turns
    from llmkit.runtimes._llama_model import LlamaModel

TIMEOUT_S = 60
QUIET = -1
ROOM = 256
"""Positions, of which none is used."""


class Engine:
    """A server that renders conversations; it starts in half a second, and maps the weights that are mapped already.

    Args:
        model: The file, loaded.
    """

    def __init__(self, model: LlamaModel) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path, params.n_ctx, params.n_parallel = model.file, ROOM, 1
        params.warmup, params.verbosity, params.use_jinja = False, QUIET, True
        params.prefill_assistant = False  # a conversation may end with an answer
        params.port = 0  # any that is free; the host is this machine alone by default
        self.server: Any = xllamacpp.Server(params)
        self.model = model

    def render(self, turns: Turns, *, prompt: bool) -> str:
        """Return a conversation as text.

        Raises:
            ValueError: The template refuses it; the words are the engine's.
        """
        asked = {**for_server([dict(turn) for turn in turns]), "add_generation_prompt": prompt}
        request = urllib.request.Request(  # noqa: S310 - http, to this process
            f"{self.server.listening_address}/apply-template", dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=TIMEOUT_S) as reply:
                found = str(json.loads(reply.read())["prompt"])
        except HTTPError as error:
            raise ValueError(_said(error.read())) from None
        return self._begun(found)

    def close(self) -> None:
        """Stop the server."""
        self.server = None

    def _begun(self, text: str) -> str:
        """Return a text as the server reads it.

        Where a tokenizer puts BOS before every text, it takes the template's own away, and the tokenizer puts it back.
        """
        model = self.model
        if not model.adds_bos or model.bos is None:
            return text
        return str(model.lib.llama_vocab_get_text(model.vocab, model.bos).decode()) + text


def _said(reply: bytes) -> str:
    try:
        return str(json.loads(reply)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return reply.decode("utf-8", "replace")
