"""Models in GGUF, run by llama.cpp: its own kernels, tokenizer and template engine, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmkit.core.cores import num_threads
from llmkit.core.errors import DataError
from llmkit.core.extras import check
from llmkit.core.found import is_gguf
from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.gguf_header import LINK as FILE
from llmkit.runtimes import (
    Embed,
    Facts,
    Generate,
    Logits,
    Request,
    Running,
    Runtime,
    Score,
    ScoreParts,
    Turns,
    Written,
)
from llmkit.runtimes._exporting import way_to
from llmkit.runtimes._sampling import chances

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

    from llmkit.modeling.pooling import Pooling
    from llmkit.runtimes._llama_model import LlamaModel
    from llmkit.runtimes._llama_places import LlamaPlaces, PieceSpeller
    from llmkit.runtimes._llama_template import Engine


class LlamaCpp(Runtime):
    """Run a GGUF file by llama.cpp, as quantized as it is."""

    cache: Literal["float32", "float16"] = "float32"
    """Number format of keys and values; llama.cpp's own programs keep them in float16, which rounds them."""

    def check_installed(self) -> None:
        """Find out whether `xllamacpp` is there.

        Raises:
            SetupError: It is not.
        """
        check("llama-cpp")

    def directory(self, where: str) -> Path | None:
        """Return where the tokenizer is that reads the file for tasks."""
        return super().directory(str(_file(where)))

    def load(self, where: str, *, date: str | None = None) -> Loaded:
        """Load a file, or the one in a directory.

        Raises:
            DataError: There is none, or llama.cpp does not load it.
            SetupError: It is not installed.
        """
        from llmkit.modeling.pooling import Pooling, pooling_of
        from llmkit.runtimes._llama_model import LlamaModel

        file = _file(where)
        folder = Path(where)
        # llama.cpp's own programs make every vector one long; what else is in the directory says it for ours.
        pooling = pooling_of(folder) if folder.is_dir() else Pooling(normalized=True)
        return Loaded(LlamaModel(str(file), self.cache), where, pooling, date)


class Loaded(Running):
    """A loaded file.

    Args:
        model: The file.
        where: What the user has named.
        pooling: What is put before a text, and whether its vector is made one long.
        date: What a chat template takes for today.
    """

    def __init__(self, model: LlamaModel, where: str, pooling: Pooling, date: str | None = None) -> None:
        self.model, self.where, self.pooling, self.date = model, where, pooling, date
        self._engine: Engine | None = None

    gives_parts = True

    @cached_property
    def facts(self) -> Facts:  # type: ignore[override]
        """What it is."""
        from importlib.metadata import version

        from llmkit.runtimes import _llama_c

        model = self.model
        return Facts(
            answer="tokens" if model.writes else "vector",
            positions=model.positions,
            start=model.eos if model.bos is None else model.bos,
            prompts={} if model.writes else self.pooling.sides(),
            ends=model.ends if model.writes else None,
            versions={"llama.cpp": _llama_c.version(), "xllamacpp": version("xllamacpp")},
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast | None:  # type: ignore[override]
        """What reads text for tasks: the file's tokenizer, as transformers has it; `read` is llama.cpp's own."""
        from llmkit.data.clock import date_of, set_date
        from llmkit.modeling.tokenizer import load_tokenizer

        if not self.model.writes:
            return None  # transformers reads none of an encoder
        found = load_tokenizer(_file(self.where))
        if date_of(found) is None:
            set_date(found, self.date)
        return found

    def takes(self, request: Request) -> str | None:
        """Return why not."""
        if request.inputs:
            return "llama.cpp is given text alone here"
        if not self.model.writes:
            return None if isinstance(request, Embed) else "it is an encoder, of which llama.cpp gives vectors alone"
        if not isinstance(request, Logits | Score | Generate):
            return "llama.cpp gives logits of it, and writes\nthe runtime transformers runs the model it was made of"
        if isinstance(request, Generate) and not isinstance(request.prompt[0], int):
            return "prompts are ids here, not turns"
        return None

    def tokens(self, request: Request) -> int:
        """Return the positions of a row."""
        if isinstance(request, Score):
            return len(request.context) + len(request.target) - 1
        if isinstance(request, Generate):
            return len(request.prompt) + request.budget
        return len(self._read(request) if isinstance(request, Embed) else request.ids)  # type: ignore[attr-defined]

    def cuts(self, request: Request) -> bool:
        """Tell whether the end of a text is not read."""
        return isinstance(request, Embed) and len(self._ids(request)) > self._limit

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers, one row after the other: llama.cpp is busy with one."""
        functions = {Logits: self._logits, Score: self._score, ScoreParts: self._parts, Generate: self._write,
                     Embed: self._embed}  # fmt: skip
        return [functions[type(request)](request) for request in requests]  # type: ignore[operator]

    def read(self, text: str) -> Sequence[int] | None:
        """Return the ids of a text by llama.cpp's tokenizer."""
        return self.model.ids(text)

    def places(self, most: int, tokens: int) -> LlamaPlaces | None:
        """Return sequences of a context of their own; None of an encoder."""
        from llmkit.runtimes._llama_places import LlamaPlaces

        return LlamaPlaces(self.model, most, tokens) if self.model.writes else None

    def token_bytes(self) -> int:
        """Return what the file says of its layers, in the number format of the cache."""
        return self.model.token_bytes

    def speller(self) -> PieceSpeller:
        """Return what spells by llama.cpp's own tokenizer."""
        from llmkit.runtimes._llama_places import PieceSpeller

        return PieceSpeller(self.model)

    def render(self, turns: Turns, *, prompt: bool) -> str | None:
        """Return a conversation as llama.cpp's own template engine writes it; it is that of its server."""
        from llmkit.runtimes._llama_template import Engine

        if not self.model.template:
            return None
        self._engine = self._engine or Engine(self.model)
        return self._engine.render(turns, prompt=prompt)

    def conditions(self) -> dict[str, Any]:
        """Return device, threads, number format of the cache and versions."""
        return {"device": "cpu", "threads": num_threads(), "cache": self.model.cache, **self.facts.versions}

    def peak_bytes(self) -> int | None:
        """Return this process's."""
        from llmkit.core.peak import peak_bytes

        return peak_bytes()

    def close(self) -> None:
        """Give the memory back."""
        if self._engine is not None:
            self._engine.close()
        self._engine = None
        self.model.close()

    def _logits(self, request: Logits) -> NDArray[np.float32]:
        return self.model.start(request.ids, len(request.ids))

    def _chances(self, request: Score) -> NDArray[np.float64]:
        """Return the log-probability of each token of a target."""
        row, size = (*request.context, *request.target[:-1]), len(request.target)
        numbers = self.model.start(row, len(row), slice(len(row) - size, None)).astype(np.float64)
        best = numbers.max(-1, keepdims=True)
        total = best[:, 0] + np.log(np.exp(numbers - best).sum(-1))
        found: NDArray[np.float64] = numbers[np.arange(size), list(request.target)] - total
        if not np.isfinite(found).all():
            raise NotFiniteError(f"the model in '{self.where}' gives a text the log-likelihood {found.sum()}")
        return found

    def _score(self, request: Score) -> float:
        return float(self._chances(request).sum())

    def _parts(self, request: ScoreParts) -> NDArray[np.float64]:
        return np.add.reduceat(self._chances(request), np.cumsum([0, *request.parts[:-1]]))

    def _write(self, request: Generate) -> Written:
        model, new, text = self.model, [], ""
        draws = np.random.default_rng(request.seed)
        room = len(request.prompt) + request.budget
        numbers = model.start(request.prompt, room, slice(-1, None))[-1]  # type: ignore[arg-type]
        while True:
            new.append(self._chosen(numbers, request, draws))
            if not request.exact and new[-1] in model.ends:
                return Written(tuple(new[:-1]), model.text(new[:-1]), ended=True)
            if request.stop:
                text = model.text(new)
                if places := [place for stop in request.stop if (place := text.find(stop)) >= 0]:
                    return self._stopped(new, text[: min(places)])
            if len(new) >= request.budget:
                return Written(tuple(new), model.text(new), ended=False)
            numbers = model.go_on(new[-1:])[-1]

    def _stopped(self, new: list[int], text: str) -> Written:
        while new and len(self.model.text(new)) > len(text):
            new = new[:-1]
        return Written(tuple(new), text, ended=True)

    def _chosen(self, numbers: NDArray[np.float32], request: Generate, draws: np.random.Generator) -> int:
        if not np.isfinite(numbers.max()):
            raise NotFiniteError(f"the model in '{self.where}' gives logits that are NaN or infinite")
        if not request.temperature:
            return int(numbers.argmax())
        return int(draws.choice(numbers.size, p=chances(numbers, request)))

    def _embed(self, request: Embed) -> NDArray[np.float32]:
        found = self.model.vector(self._read(request))
        if not np.isfinite(found).all():
            raise NotFiniteError(f"the model in '{self.where}' gives a text a vector that is NaN or infinite")
        return found / max(float(np.linalg.norm(found)), 1e-12) if self.pooling.normalized else found

    @property
    def _limit(self) -> int:
        return min(self.model.positions, self.pooling.max_tokens or self.model.positions)

    def _ids(self, request: Embed) -> list[int]:
        prompt = self.pooling.prompt if request.prompt is None else request.prompt
        return self.model.ids(prompt + request.text)

    def _read(self, request: Embed) -> list[int]:
        """Return the ids of a text; of one that is too long, its beginning and the token that ends every text."""
        ids = self._ids(request)
        return ids if len(ids) <= self._limit else [*ids[: self._limit - 1], ids[-1]]


def _file(where: str) -> Path:
    """Return the file that a path means.

    Raises:
        DataError: There is none.
    """
    path = Path(where)
    if path.is_dir():
        found = [path / FILE] if (path / FILE).is_file() else sorted(path.glob("*.gguf"))
        if len(found) == 1:
            return found[0]
        raise DataError(
            f"{where} holds {len(found) or 'no'} files in GGUF, which is what llama.cpp loads",
            "name the file itself" if found else way_to(path, "-s exporter=gguf"),
        )
    if not is_gguf(path):
        raise DataError(f"{where} is no file in GGUF", "name a file, or a directory with one, that llama.cpp loads")
    return path
