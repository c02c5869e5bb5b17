"""Exports to ONNX in transformers.js, under Node: its own tokenizer, its own template engine, and what it writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, cast

from llmkit.core.errors import DataError, SetupError
from llmkit.core.json import dumps
from llmkit.runtimes import Facts, Generate, Request, Running, Runtime, Turns, Written

PACKAGE = "@huggingface/transformers"
SCRIPT = Path(__file__).with_suffix(".mjs")
INSTALL = f"npm install --ignore-scripts {PACKAGE}"
FRESH = "export the model again: `llmkit export --model MODEL --format onnx -o DIR`"
BESIDE = Path(sys.prefix, "node", "node_modules")
"""Where packages of Node are looked for besides the current folder, those above it, and NODE_PATH."""


class TransformersJs(Runtime):
    """Ask transformers.js, which has to be installed for Node: by `npm install` in the current folder or above it."""

    def check_installed(self) -> None:
        """Find out whether Node and the package are there.

        Raises:
            SetupError: One is not.
        """
        if shutil.which("node") is None:
            raise SetupError("the runtime 'transformers_js' needs Node, which is not installed", "https://nodejs.org")
        here = Path.cwd()
        places = [BESIDE, *map(Path, filter(None, os.environ.get("NODE_PATH", "").split(os.pathsep)))]
        places += [folder / "node_modules" for folder in (here, *here.parents)]
        if not any((place / PACKAGE).is_dir() for place in places):
            raise SetupError(f"the runtime 'transformers_js' needs the Node package {PACKAGE}", INSTALL)

    def load(self, where: str, *, date: str | None = None) -> Running:  # noqa: ARG002 - templates have JavaScript's date
        """Start Node.

        Raises:
            DataError: transformers.js does not load the tokenizer.
            SetupError: Something is not installed.
        """
        self.check_installed()
        return _InNode(where)


class _InNode(Running):
    def __init__(self, where: str) -> None:
        self.where = where
        config, generation = (_read(Path(where, name)) for name in ("config.json", "generation_config.json"))
        ends = generation.get("eos_token_id")
        self.two_sided = bool(config.get("is_encoder_decoder"))
        paths = os.pathsep.join(filter(None, [str(BESIDE), os.environ.get("NODE_PATH", "")]))
        self._said = TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with Node; a full pipe would stop it
        self._node = subprocess.Popen(
            ["node", str(SCRIPT), str(Path(where).resolve())], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self._said, text=True, encoding="utf-8", env={**os.environ, "NODE_PATH": paths},
        )  # fmt: skip
        try:
            version = self._ask("version")
        except DataError:
            self.close()
            raise
        self.facts = Facts(
            answer="tokens" if generation else None,
            two_sided=self.two_sided,
            ends=frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends]) if generation else None,
            versions={"transformers.js": version},
        )

    def takes(self, request: Request) -> str | None:
        """Return why not: it is asked for what it writes, and for nothing that it would have to send as numbers."""
        if not isinstance(request, Generate):
            return "it reads texts, renders chats and writes\nthe runtime onnxruntime answers the rest"
        greedy = not (request.temperature or request.stop or request.inputs)
        return None if greedy and self.facts.answer == "tokens" else "it writes greedily, and without stop texts"

    def tokens(self, request: Request) -> int:
        """Return the positions of a row."""
        generate = cast("Generate", request)
        return len(generate.prompt) + generate.budget

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return what it writes, one after the other."""
        found = []
        for request in cast("Sequence[Generate]", requests):
            given = {"ids": list(request.prompt), "budget": request.budget, "exact": request.exact}
            new = self._ask("generate", **given, twoSided=self.two_sided)
            ids, ended = tuple(new["ids"]), False
            if ids and not request.exact and ids[-1] in (self.facts.ends or ()):
                ids, ended = ids[:-1], True
            found.append(Written(ids, new["text"], ended))
        return found

    def read(self, text: str) -> Sequence[int] | None:
        """Return the ids that the tokenizer of transformers.js makes of a text."""
        return cast("list[int]", self._ask("read", text=text))

    def render(self, turns: Turns, *, prompt: bool) -> str | None:
        """Return a conversation as the template engine of transformers.js writes it."""
        return cast("str | None", self._ask("render", turns=[dict(turn) for turn in turns], prompt=prompt))

    def close(self) -> None:
        """End Node."""
        for stream in (self._node.stdin, self._node.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):  # it may have ended before it has read everything
                    stream.close()
        self._node.wait()
        self._said.close()

    def _ask(self, action: str, **given: Any) -> Any:
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        with suppress(BrokenPipeError):  # it has ended, and says why
            self._node.stdin.write(dumps({"action": action, **given}) + "\n")
            self._node.stdin.flush()
        line = self._node.stdout.readline()
        if not line:
            self._node.wait()
            self._said.seek(0)
            said = [one.strip() for one in self._said if "Error" in one]
            raise DataError(
                f"transformers.js does not load '{self.where}': {said[0] if said else 'Node has ended'}", FRESH
            )
        answer = json.loads(line)
        if "error" in answer:
            raise DataError(f"transformers.js fails on '{self.where}': {answer['error']}", FRESH)
        return answer["found"]


def _read(file: Path) -> dict[str, Any]:
    from llmkit.core.reading import read_json

    return read_json(file) if file.is_file() else {}
