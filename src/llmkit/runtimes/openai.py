"""Models behind an address, as vLLM, SGLang, llama.cpp, TGI, ollama and OpenAI serve them: `/v1/completions` and so on.

What is sent are ids where a tokenizer is here, so that the server reads what every other runtime reads; else turns.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.digest import digest_text
from llmkit.core.errors import ConfigError, DataError, SetupError, nearest
from llmkit.core.inputs import Inputs, RawFile
from llmkit.runtimes import Runtime
from llmkit.runtimes._http import NotThereError, Server
from llmkit.runtimes._remote import Remote

LENGTHS = ("max_model_len", "context_length", "max_context_length")
"""What servers call, in `/models`, the longest row that they take."""
SCORED = 2
"""Positions that a server needs beside a row that is scored: for the last target, and for the token that it writes."""


class OpenAI(Runtime):
    """Ask an OpenAI-compatible server."""

    remote: ClassVar[bool] = True
    note: ClassVar[str] = "answered by a server: there is no digest of its weights, and it may have others tomorrow"

    model: str | None = Field(None, min_length=1)
    """Name of the model on the server; null for the only one there."""
    tokenizer: Annotated[str | None, NotIdentity] = None
    """Directory, or GGUF file, with the model's tokenizer. With it the server is sent ids, and likelihoods can be asked
    for; without it, the turns of conversations alone."""
    key: Annotated[str | None, NotIdentity] = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the environment variable that holds the key, such as `OPENAI_API_KEY`; never the key itself."""
    positions: int | None = Field(None, ge=4)
    """Longest row that the server takes, in tokens; null for what it states, else 2048."""
    parallel: Annotated[int, NotIdentity] = Field(8, ge=1, le=256)
    """Requests that are on their way at a time."""
    timeout_s: Annotated[float, NotIdentity] = Field(600, gt=0)
    """Longest wait for a reply, in seconds."""
    retries: Annotated[int, NotIdentity] = Field(5, ge=0, le=20)
    """How often a request is sent again to a server that is busy or was gone; the wait doubles, or is what it asks."""

    def add_input(self, inputs: Inputs, where: str, role: str) -> None:
        """Add the address with the model's name, and the tokenizer; there is no digest of the weights.

        Raises:
            ConfigError: There are several models, and none is named.
            DataError: The server has no such model.
            SetupError: It is not there.
        """
        url = where.rstrip("/")
        name = self._named(self._server(where, retries=0))[0]
        stated = digest_text(f"{url}\n{name}")
        inputs.add_files(url, [RawFile(url, name, 0, stated)], role=role)
        if self.tokenizer is not None:
            inputs.add_directory(self.tokenizer, ("tokens", "model", "export"), role="tokenizer")

    def directory(self, where: str) -> Path | None:  # noqa: ARG002 - the interface
        """Return the tokenizer's directory."""
        from llmkit.modeling.gguf import model_directory

        return None if self.tokenizer is None else model_directory(self.tokenizer)

    def load(self, where: str, *, date: str | None = None) -> Remote:
        """Find the model on the server.

        Raises:
            ConfigError: There are several models, and none is named.
            DataError: The server has no such model.
            SetupError: It is not there, or wants a key.
        """
        from llmkit.data.clock import date_of, set_date
        from llmkit.modeling.tokenizer import load_tokenizer

        tokenizer = None
        if self.tokenizer is not None:
            tokenizer = load_tokenizer(self.tokenizer)
            if date_of(tokenizer) is None:
                set_date(tokenizer, date)
        server = self._server(where, retries=self.retries)
        name, stated = self._named(server)
        most = self.positions or stated
        return Remote(server, name, tokenizer, None if most is None else most - SCORED, self.parallel)

    def _server(self, where: str, *, retries: int) -> Server:
        key = os.environ.get(self.key, "") if self.key else ""
        if self.key and not key:
            raise SetupError(f"runtime.key: the environment has no {self.key}", f"export {self.key}=KEY")
        if not key.isprintable() or not key.isascii():
            raise SetupError(f"runtime.key: what is in ${self.key} is no key", f"export {self.key}=KEY")
        return Server(where.rstrip("/"), key, self.key or "", self.timeout_s, retries)

    def _named(self, server: Server) -> tuple[str, int | None]:
        """Return the model's name and the longest row that the server states."""
        try:
            listed = server.get("/models").get("data")
        except NotThereError:
            if self.model is None:
                raise
            return self.model, None  # some serve a model and no list of them
        listed = listed if isinstance(listed, list) else []
        found = {item["id"]: item for item in listed if isinstance(item, dict) and isinstance(item.get("id"), str)}
        name = self.model or (next(iter(found)) if len(found) == 1 else None)
        if name is None:
            shown = ", ".join(sorted(found)[:12]) or "none"
            raise ConfigError(
                f"{server.url} serves {len(found)} models ({shown}), and none is named",
                "-s runtime.type=openai -s runtime.model=NAME",
            )
        if name not in found:
            raise DataError(f"{server.url} has no model '{name}'{nearest(name, found)}", f"curl {server.url}/models")
        own = found[name]
        meta = own.get("meta")  # llama.cpp's
        lengths = [*(own.get(field) for field in LENGTHS), meta.get("n_ctx") if isinstance(meta, dict) else None]
        return name, next((value for value in lengths if type(value) is int and value > SCORED), None)
