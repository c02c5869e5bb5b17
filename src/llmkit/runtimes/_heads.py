"""What a model with a head over texts answers: labels, numbers, tags, spans and vectors, from text on, in batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llmkit.modeling.architecture import position_limit
from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.pooling import Pooling
from llmkit.modeling.served import UNLIMITED, check_ends, encode_texts
from llmkit.modeling.spans import Asking, Chosen, Window, best_of, best_span, windows
from llmkit.runtimes._requests import Embed, Label, Request, Span, SpanFound, Tags, TagsFound

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Encoding
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head

KINDS: dict[str, type[Request]] = {"label": Label, "number": Label, "token_labels": Tags, "span": Span, "vector": Embed}
"""What is asked of a head, by the kind of its answer."""
OBJECTIVES: dict[type[Request], str] = {
    Label: "classification", Tags: "token_classification", Span: "question_answering", Embed: "embedding",
}  # fmt: skip
"""What a model is finetuned with to answer a kind of request, for hints."""
_TRAIN = "`llmkit finetune --model {} --data DATA -s objective={}` makes one that does"
MOST_KNOWN = 2**14
"""Requests that are kept encoded from when their length is asked until they are answered, unless more are prepared."""
LEAST_WINDOWS = 4
"""Windows of texts that are read together, unless more texts are."""
MAX_DIFFERENCE = 1e-3
"""As a share of the numbers: what padding rounds otherwise is 1e-6; see `evaluation/neighbours.py`."""
_NOWHERE = np.zeros((0, 2), np.int64)
_PROBES = ("Short.", "This one is longer, and what stands beside it is padded until it is as long.")


@dataclass(frozen=True, slots=True)
class Encoded:
    """A request as the model reads it.

    Attributes:
        ids: With special tokens.
        types: Which text of a pair each stands for; None where the model does not ask.
        encoding: Where the tokens stand in the text; None where nobody asks.
        cut: The text was longer than what the model reads.
        windows: The parts of a text in which an answer is looked for, `ids` being those of the first.
    """

    ids: list[int]
    types: list[int] | None
    encoding: Encoding | None
    cut: bool
    windows: tuple[Window, ...] = ()


class TextHead:
    """Answers of a loaded model with a head over texts, whatever computes its numbers.

    Attributes:
        kind: The kind of request that it answers; None for a head that writes, or fills masks.
        limit: Most tokens of a text, special ones included.

    Args:
        config: The model's.
        tokenizer: Its tokenizer.
        head: What stands on its body.
        where: Its directory, for errors.
        pooling: How vectors are made, of a body alone.

    Raises:
        DataError: An encoder-decoder reads labels at the end of a text, and the tokenizer puts none there.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        tokenizer: PreTrainedTokenizerFast,
        head: Head,
        where: str | Path,
        pooling: Pooling = Pooling(),  # noqa: B008 - frozen
    ) -> None:
        self.tokenizer, self.head, self.where, self.pooling = tokenizer, head, where, pooling
        labelled = head.answer != "token_labels" or hasattr(head, "labels")  # else of the vocabulary
        self.kind = KINDS.get(head.answer) if labelled else None
        named = tokenizer.model_max_length  # 1e30 where nobody has said
        self.asking = Asking.of(config)
        own_limit = self.asking.max_tokens if self.kind is Span else None
        limits = [position_limit(config), named if named < UNLIMITED else None, pooling.max_tokens, own_limit]
        self.limit = min((limit for limit in limits if limit), default=UNLIMITED)
        own = config.get_text_config().pad_token_id
        self.pad = next((i for i in (own, tokenizer.pad_token_id) if i is not None), 0)
        # T5 and BART read a label at the last end of a text, and refuse rows of which one has more ends than another.
        self._end = -1
        if self.kind is Label and config.is_encoder_decoder:
            check_ends(tokenizer, config)
            self._end = int(config.eos_token_id)
        self._typed = "token_type_ids" in tokenizer.model_input_names
        self._known: dict[Request, Encoded] = {}

    def takes(self, request: Request) -> str | None:
        """Return why a request cannot be answered; None if it can."""
        if self.kind is None or type(request) is not self.kind:
            said = f"its head is {self.head.type_name}{f', which answers {self.kind.kind} alone' if self.kind else ''}"
            objective = OBJECTIVES.get(type(request))
            return f"{said}\n{_TRAIN.format(self.where or 'MODEL', objective)}" if objective else said
        return None

    def prepare(self, requests: Sequence[Request]) -> None:
        """Encode requests together, of which `tokens` and `answer` are asked next: in parallel, in one call."""
        self._known = dict(zip(requests, self._encode(requests), strict=True))

    def encoded(self, request: Request) -> Encoded:
        """Return a request as the model reads it."""
        if request not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[request] = self._encode([request])[0]
        return self._known[request]

    def alone(self) -> str:
        """Return why requests have to be answered one by one, where padded neighbours change an answer; else nothing.

        Recurrent states take padding for text, and some classes refuse more than one row without a padding id.
        """
        if self.kind is None:
            return ""
        kind: Any = self.kind
        rows = self._encode([kind(text, text) if kind is Span else kind(text) for text in _PROBES])
        try:
            one, both = self._numbers(rows[:1])[0], self._numbers(rows)[0]
        except ValueError as error:
            return " ".join(str(error).split())
        both = both[..., : one.shape[-1]] if self.kind is Span else both[: len(one)]
        alike = bool(np.abs(one - both).max() <= MAX_DIFFERENCE * np.abs(one).max())
        return "" if alike else "padding beside a row changes its answer"

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """Return the answers to requests, computed as one batch; see their kind for each.

        Raises:
            NotFiniteError: An answer is no number.
        """
        rows = [self.encoded(request) for request in requests]
        if self.kind is Span:
            return self._spans(requests, rows)
        if len({row.ids.count(self._end) for row in rows if self._end is not None}) > 1:
            return [answer for request in requests for answer in self.answer([request])]
        numbers = self._finite(rows)
        if self.kind is Tags:
            return [_tags(row, found) for row, found in zip(rows, numbers, strict=True)]
        return list(numbers)

    def _finite(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        numbers = self._numbers(rows)
        if not np.isfinite(numbers).all():
            raise NotFiniteError(f"the model in '{self.where}' gives a text numbers that are NaN or infinite")
        return numbers

    def _spans(self, requests: Sequence[Any], rows: Sequence[Encoded]) -> list[SpanFound]:
        """Find the best span of each text in all of its windows, as many at a time as there are texts."""
        asked = [
            (i, Encoded(window.ids, window.types if self._typed else None, None, cut=False), window)
            for i, row in enumerate(rows)
            for window in row.windows
        ]
        found: list[list[Chosen]] = [[] for _ in rows]
        size = max(len(rows), LEAST_WINDOWS)
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            for (i, _, window), logits in zip(part, self._finite([encoded for _, encoded, _ in part]), strict=True):
                place = slice(window.first, window.first + len(window.offsets))
                none, text = float(logits[0, 0] + logits[1, 0]), requests[i].text
                most = self.asking.max_answer_tokens
                found[i].append(best_span(logits[0, place], logits[1, place], none, window.offsets, text, most))
        best = [best_of(chosen) for chosen in found]
        return [SpanFound(one.start, one.end, one.score, one.none, self.asking.threshold) for one in best]

    def _encode(self, requests: Sequence[Any]) -> list[Encoded]:
        if not requests:
            return []
        placed = self.kind is Tags
        if self.kind is Span:
            return self._encode_spans(requests)
        if placed and any(request.words for request in requests):
            return self._encode_words(requests)
        if self.kind is Embed:
            own = self.pooling.prompt
            texts: list[Any] = [(own if one.prompt is None else one.prompt) + one.text for one in requests]
        else:
            pairs = [getattr(request, "pair", None) for request in requests]
            texts = [
                request.text if pair is None else (request.text, pair)
                for request, pair in zip(requests, pairs, strict=True)
            ]
        return self._read(encode_texts(self.tokenizer, texts, self.limit, offsets=placed))

    def _encode_words(self, requests: Sequence[Tags]) -> list[Encoded]:
        """Encode texts of which the words are given for some: those word by word, as training does."""
        found: list[Encoded] = []
        for given, part in groupby(requests, key=lambda request: bool(request.words)):
            texts = [list(request.words) if given else request.text for request in part]
            found += self._read(encode_texts(self.tokenizer, texts, self.limit, words=given))
        return found

    def _read(self, encodings: Sequence[Encoding]) -> list[Encoded]:
        placed = self.kind is Tags
        return [
            Encoded(one.ids, one.type_ids if self._typed else None, one if placed else None, bool(one.overflowing))
            for one in encodings
        ]

    def _encode_spans(self, requests: Sequence[Span]) -> list[Encoded]:
        """Cut texts into windows behind their questions; a question that leaves no room is cut as well."""
        texts = [(request.question, request.text) for request in requests]
        found = []
        for text, whole in zip(texts, encode_texts(self.tokenizer, texts, UNLIMITED), strict=True):
            parts, cut = windows(whole, self.limit, self.asking.stride), False
            if not parts:
                (short,) = encode_texts(self.tokenizer, [text], self.limit)
                cut = bool(short.overflowing)
                parts = windows(short, self.limit, 0) or [Window(short.ids, short.type_ids, 0, 0, _NOWHERE)]
            first = parts[0]
            found.append(Encoded(first.ids, first.types if self._typed else None, None, cut, tuple(parts)))
        return found

    def _numbers(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        """Return what the head gives: `[rows, labels]`, `[rows, time, labels]`, `[rows, 2, time]`, or vectors."""
        raise NotImplementedError

    def _inputs(self, rows: Sequence[Encoded]) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.bool_]]:
        """Return arrays `[rows, time]`, padded on the right, and which of them are tokens."""
        lengths = np.array([len(row.ids) for row in rows])
        width = max(1, int(lengths.max()))
        mask = np.arange(width) < lengths[:, None]
        arrays = {"input_ids": _filled(mask, [row.ids for row in rows], self.pad)}
        if self._typed:
            arrays["token_type_ids"] = _filled(mask, [row.types or [] for row in rows], 0)
        return arrays, mask


class HeadAnswers(TextHead):
    """Those of a model of transformers in memory.

    Args:
        model: The model, in eval mode.
        tokenizer: Its tokenizer.
        head: What stands on its body.
        where: Its directory, for errors.
        pooling: How vectors are made, of a body alone.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        head: Head,
        where: str | Path,
        pooling: Pooling = Pooling(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(model.config, tokenizer, head, where, pooling)
        self.model = model

    def _numbers(self, rows: Sequence[Encoded]) -> NDArray[np.float32]:
        import torch

        arrays, mask = self._inputs(rows)
        tensors = {name: torch.from_numpy(array).to(self.model.device) for name, array in arrays.items()}
        if not mask.all():  # the model gets a mask if it is needed
            tensors["attention_mask"] = torch.from_numpy(mask.astype(np.int64)).to(self.model.device)
        # Inference mode is for whoever asks: a model that is being trained must not be left in it.
        with torch.no_grad():
            found: NDArray[np.float32] = self._computed(tensors, mask).float().cpu().numpy()
        return found

    def _computed(self, inputs: Mapping[str, torch.Tensor], mask: NDArray[np.bool_]) -> torch.Tensor:
        import torch

        if self.kind is Embed:
            body = self.model.get_encoder() if self.model.config.is_encoder_decoder else self.model
            places = torch.from_numpy(mask.astype(np.int64)).to(self.model.device)
            return self.pooling(body(**inputs).last_hidden_state.float(), places)
        found = self.model(**inputs)
        if self.kind is Span:
            return torch.stack([found.start_logits, found.end_logits], 1)
        logits: torch.Tensor = found.logits
        return logits


def _filled(mask: NDArray[np.bool_], rows: Sequence[list[int]], pad: int) -> NDArray[np.int64]:
    array = np.full(mask.shape, pad, np.int64)
    array[mask] = np.concatenate([np.asarray(row, np.int64) for row in rows])
    return array


def _tags(row: Encoded, logits: NDArray[np.float32]) -> TagsFound:
    assert row.encoding is not None
    words = np.array([-1 if word is None else word for word in row.encoding.word_ids], np.int64)
    own = words >= 0  # special tokens stand for no word
    offsets = np.array(row.encoding.offsets, np.int64).reshape(-1, 2)
    return TagsFound(offsets[own], np.ascontiguousarray(logits[: len(words)][own]), words[own])
