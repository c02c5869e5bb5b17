"""A model in ONNX that is loaded: what it is, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from llmkit.runtimes import Embed, Facts, Fill, Generate, Label, Logits, Losses, Request, Running, Score, Span, Tags
from llmkit.runtimes._heads import Encoded, TextHead
from llmkit.runtimes._onnx_sessions import Session, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head
    from llmkit.modeling.pooling import Pooling

SENTENCE = "sentence_embedding"
TOKENS = 1024
"""Read together: more do not stay in the cache of a core, fewer leave cores waiting."""


class OnnxRunning(Running):
    """Graphs of one model.

    Args:
        where: Its directory.
        config: Its config.json.
        tokenizer: Its tokenizer.
        graphs: The graphs, by name: `model`, or `encoder_model` and `decoder_model_merged`.
        pooling: How its files say that vectors are made; the graph has it inside.
        generation: Its generation config; None of a model that does not write.
    """

    tokenizer: PreTrainedTokenizerFast

    def __init__(
        self, where: str, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, graphs: dict[str, Session],
        pooling: Pooling, generation: GenerationConfig | None,
    ) -> None:  # fmt: skip
        self.where, self.config, self.tokenizer, self.generation = where, config, tokenizer, generation
        self.encoder = graphs.get("encoder_model")
        self.session = graphs["model"] if self.encoder is None else graphs["decoder_model_merged"]
        self.heads = GraphHead(self.session, config, tokenizer, self.head, where, pooling)
        self.pad = self.heads.pad

    @classmethod
    def of(cls, where: str, load: Callable[[], dict[str, Any]], date: str | None) -> Self:
        """Return what an export's folder holds.

        Args:
            where: The folder.
            load: Loads its graphs, by name, once the files beside them have been read.
            date: What its chat template takes for today, if training has recorded nothing.

        Raises:
            DataError: A file is missing or damaged.
        """
        from transformers import AutoConfig, GenerationConfig

        from llmkit.core.reading import reading
        from llmkit.data.clock import date_of, set_date
        from llmkit.modeling.pooling import pooling_of
        from llmkit.modeling.tokenizer import load_tokenizer

        folder = Path(where)
        with reading(folder / "config.json"):
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = load_tokenizer(folder)
        if date_of(tokenizer) is None:
            set_date(tokenizer, date)
        generation = None
        if (folder / "generation_config.json").is_file():
            with reading(folder / "generation_config.json"):
                generation = GenerationConfig.from_pretrained(folder, local_files_only=True)
        return cls(where, config, tokenizer, load(), pooling_of(folder), generation)

    @cached_property
    def head(self) -> Head:
        """What stands on its body."""
        from llmkit.modeling.heads import head_of

        return head_of(self.config)

    @cached_property
    def facts(self) -> Facts:  # type: ignore[override]
        """What it is."""
        from llmkit.runtimes._facts import facts_of

        ends = getattr(self.generation, "eos_token_id", None)
        return facts_of(
            self.config, self.head, self.tokenizer,
            ends=ends if isinstance(ends, list) else [] if ends is None else [ends],
            prompts=self.heads.pooling.sides() if self.head.answer == "vector" else {},
            versions=self.versions(),
        )  # fmt: skip

    def versions(self) -> dict[str, str]:
        """Return those of what computes."""
        import onnxruntime

        return {"onnxruntime": onnxruntime.__version__}

    @property
    def vocabulary(self) -> int:
        """How many logits there are of a token."""
        return int(self.session.outputs["logits"][-1])

    @property
    def decoder_start(self) -> int:
        """What a decoder that looks at an encoder starts from."""
        found = getattr(self.generation, "decoder_start_token_id", None)
        return int(getattr(self.config, "decoder_start_token_id", None) or 0) if found is None else int(found)

    def allowed(self, logits: NDArray[np.float32], *, first: bool) -> NDArray[np.float32]:
        """Return logits `[rows, vocabulary]` without what the generation config of an encoder-decoder rules out."""
        forced = getattr(self.generation, "forced_bos_token_id", None)
        banned = [ids[0] for ids in getattr(self.generation, "bad_words_ids", None) or [] if len(ids) == 1]
        if self.encoder is None or (forced is None and not banned):
            return logits
        found = logits.copy()
        found[:, banned] = -np.inf
        if first and forced is not None:
            found[:] = np.where(np.arange(found.shape[1]) == forced, 0, -np.inf)
        return found

    def takes(self, request: Request) -> str | None:
        """Return why not: every kind needs its head, and texts are all that is read."""
        from llmkit.runtimes._refusing import why_not

        if isinstance(request, Losses):
            return "it computes no losses of training\nthe runtime transformers does"
        if request.inputs:
            return "it reads text alone, and the request has other inputs as well"
        if isinstance(request, Logits) and self.encoder is None and self.config.is_encoder_decoder:
            return "it has the encoder alone, which gives vectors"
        return why_not(self, request)

    def tokens(self, request: Request) -> int:
        """Return the positions of a row."""
        if isinstance(request, Score):
            return len(request.context) + len(request.target) - 1
        if isinstance(request, Generate):
            return len(request.prompt) + request.budget
        return len(request.ids) if isinstance(request, Logits | Fill) else len(self.heads.encoded(request).ids)

    def cuts(self, request: Request) -> bool:
        """Tell whether the end of a text for a head is not read."""
        return isinstance(request, Label | Tags | Span | Embed) and self.heads.encoded(request).cut

    def batch_tokens(self, kind: type[Request]) -> int:
        """Return few; of what is written, a row has one token at a time."""
        return super().batch_tokens(kind) if kind is Generate else TOKENS

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers; see the base class."""
        from llmkit.runtimes import _onnx_writing

        if not requests:
            return []
        writes = self.head.answer == "tokens"
        functions: dict[type[Request], Callable[[OnnxRunning, Any], list[Any]]] = {
            Logits: _onnx_writing.logits if writes else _numbers, Score: _onnx_writing.scores, Fill: _fills,
            Generate: _onnx_writing.written,
        }  # fmt: skip
        function = functions.get(type(requests[0]))
        return self.heads.answer(requests) if function is None else function(self, requests)

    def conditions(self) -> dict[str, Any]:
        """Return device, threads, number format and versions."""
        precision = (getattr(self.config, "transformers.js_config", None) or {}).get("dtype", "fp32")
        return {"device": "cpu", "threads": self.session.threads, "precision": precision, **self.facts.versions}

    def peak_bytes(self) -> int | None:
        """Return this process's."""
        from llmkit.core.peak import peak_bytes

        return peak_bytes()

    def close(self) -> None:
        """Let go of the graphs, and of their threads."""
        self.heads.session = self.session = self.encoder = None  # type: ignore[assignment]


class GraphHead(TextHead):
    """Answers of a head over texts that is in a graph."""

    def __init__(self, session: Session, *facts: Any) -> None:
        super().__init__(*facts)
        self.session = session

    def _numbers(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        arrays, mask = self._inputs(rows)
        found = run(self.session, arrays, mask.astype(np.int64))
        if self.kind is Span:
            return np.stack([found["start_logits"], found["end_logits"]], 1)
        return found[SENTENCE if self.kind is Embed else "logits"]


def run(
    session: Session, arrays: dict[str, NDArray[np.int64]], mask: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    """Return what a graph that is read in one go gives for arrays `[rows, time]`, of one text where nobody says."""
    inputs = {"attention_mask": mask, "token_type_ids": np.zeros_like(mask), **arrays}
    return {name: value.numpy() for name, value in session.run(inputs).items()}


def _numbers(running: OnnxRunning, requests: Sequence[Logits]) -> list[NDArray[np.float32]]:
    """Return everything that a head gives for rows, padded together; in the form that `_logits.py` gives it."""
    from llmkit.runtimes._logits import joined

    ids, mask = padded([one.ids for one in requests], running.pad, left=False)
    found = run(running.session, {"input_ids": ids}, mask)
    kept = [name for name in found if name.endswith("logits")] or [name for name in found if name != SENTENCE]
    each = {name for name in kept if isinstance(running.session.outputs[name][1], str)}  # a number for each token
    rows = []
    for i, one in enumerate(requests):
        parts = [found[name][i, : len(one.ids)] if name in each else found[name][i] for name in kept]
        rows.append(joined(parts))
    return rows


def _fills(running: OnnxRunning, requests: Sequence[Fill]) -> list[float]:
    """Return the summed log-probability of the targets of each row at their places, in nats."""
    ids, mask = padded([one.ids for one in requests], running.pad, left=False)
    logits = run(running.session, {"input_ids": ids}, mask)["logits"]
    found = []
    for row, one in zip(logits, requests, strict=True):
        at = row[list(one.places)].astype(np.float64)
        at -= at.max(-1, keepdims=True)
        found.append(float((at[np.arange(len(at)), list(one.target)] - np.log(np.exp(at).sum(-1))).sum()))
    return found
