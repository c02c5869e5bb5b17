"""Encode text literally with `tokenizers`: no special tokens added, none found in the text unless that is asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class LiteralEncoder:
    """What encoding needs of a tokenizer, without transformers: workers start in a third of a second with it.

    Attributes:
        pipeline: The content of `tokenizer.json`.
        special: Text and id of the special tokens, but for the one the model writes for what it does not know.
        vocab_size: The largest id plus one.
        allow_special: Find special tokens in text.
    """

    pipeline: str
    special: Mapping[str, int]
    vocab_size: int
    allow_special: bool = False

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, *, allow_special: bool = False) -> LiteralEncoder:
        """Take what is needed from a loaded tokenizer."""
        pipeline = tokenizer.backend_tokenizer.to_str()
        special = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        special.update(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
        parsed = orjson.loads(pipeline)
        # Not `tokenizer.unk_token`: GPT-2 names its EOS there, while its model never writes one.
        unknown = _unknown_id(parsed["model"])
        special = {content: i for content, i in special.items() if i != unknown}
        literal = cls(pipeline, special, _vocab_size(parsed), allow_special)
        literal.__dict__["content"] = parsed  # not twice: it takes as long as a megabyte of text
        return literal

    def as_json(self) -> str:
        """Return everything as JSON, for `from_json` in another process."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> LiteralEncoder:
        """Return what `as_json` described."""
        return cls(**orjson.loads(text))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Smallest integer type that holds every id: uint16 or uint32."""
        return np.dtype(np.uint16 if self.vocab_size <= 2**16 else np.uint32)

    def encode(self, texts: Sequence[str], *, ends: bool = False) -> list[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Encode documents.

        Args:
            texts: The documents.
            ends: Say where each token ends, too; that costs about a fifth more time.

        Returns:
            Per text its ids and, with `ends`, the character position behind each of them.
        """
        return [(ids, spans[:, 1]) for ids, spans in self._encode(texts, spans=ends)]

    def spans(self, texts: Sequence[str]) -> list[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Return per text its ids, and the characters at which each of them begins and ends, `[tokens, 2]`."""
        return self._encode(texts, spans=True)

    def _encode(self, texts: Sequence[str], *, spans: bool) -> list[tuple[NDArray[Any], NDArray[np.int64]]]:
        encode = self._backend.encode_batch if spans else self._backend.encode_batch_fast
        encodings = encode(list(texts), add_special_tokens=False)
        encoded = []
        for text, encoding in zip(texts, encodings, strict=True):
            ids = np.array(encoding.ids, dtype=self.dtype)
            # `encode_special_tokens` only skips the search for special tokens: Unigram and WordLevel then still find
            # `</s>` as an ordinary entry of their vocabulary.
            if not self.allow_special and np.isin(ids, self._forbidden).any():
                encoding = self._renamed.encode(text, add_special_tokens=False)  # noqa: PLW2901
                ids = np.array(encoding.ids, dtype=self.dtype)
            encoded.append((ids, np.array(encoding.offsets if spans else (), dtype=np.int64).reshape(-1, 2)))
        return encoded

    @cached_property
    def unknown(self) -> int | None:
        """Id of what the model writes for what it does not know; None where it drops that."""
        return _unknown_id(self.content["model"])

    @cached_property
    def added(self) -> list[str]:
        """Texts of all added tokens, special or not."""
        return [token["content"] for token in self.content["added_tokens"]]

    @cached_property
    def content(self) -> dict[str, Any]:
        """The pipeline, parsed; to be read only."""
        content: dict[str, Any] = orjson.loads(self.pipeline)
        return content

    def forget(self) -> None:
        """Give back the memory of the parsed pipeline, some hundred bytes per token; it is parsed again if needed."""
        _ = self.added, self.unknown  # else it would be parsed again for this little
        self.__dict__.pop("content", None)

    def without_special(self) -> dict[str, Any]:
        """Return the pipeline with every special entry renamed to noncharacters no text contains; ids stay.

        Merges that such an entry has a part in are left out.
        """
        content = {**self.content, "post_processor": None, "truncation": None, "padding": None}
        content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] not in self.special]
        renamed = {token: f"\ufdd0{number}\ufdd0" for number, token in enumerate(sorted(self.special))}
        vocab = content["model"]["vocab"]
        entries: Any
        if isinstance(vocab, dict):
            entries = {renamed.get(token, token): i for token, i in vocab.items()}
        else:
            entries = [[renamed.get(token, token), score] for token, score in vocab]
        model = {**content["model"], "vocab": entries}
        if model.get("merges"):
            model["merges"] = merges_without(model, renamed)
        return {**content, "model": model}

    @cached_property
    def _forbidden(self) -> NDArray[Any]:
        return np.array(sorted(self.special.values()), dtype=self.dtype)

    @cached_property
    def _backend(self) -> Tokenizer:
        backend = _backend_of(self.pipeline)
        # A tokenizer.json keeps the padding and truncation of the call before it was saved.
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = not self.allow_special
        return backend

    @cached_property
    def _renamed(self) -> Tokenizer:
        backend = _backend_of(orjson.dumps(self.without_special()).decode())
        backend.encode_special_tokens = True  # a literal `<unk>` is text as well
        return backend


def merges_without(model: Mapping[str, Any], tokens: Collection[str]) -> list[Sequence[str]]:
    """Return the merges of a BPE, without those of which one of the tokens is a part or the result."""
    prefix = len(model.get("continuing_subword_prefix") or "")
    return [(a, b) for a, b in model["merges"] if not (a in tokens or b in tokens or a + b[prefix:] in tokens)]


def flatten(part: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    """Return the parts of a normalizer or pre-tokenizer in their order, sequences opened.

    Args:
        part: The section of `tokenizer.json`.
        inner: The name under which a sequence has its parts: `normalizers` or `pretokenizers`.
    """
    if part is None:
        return []
    if part["type"] == "Sequence":
        return [item for member in part[inner] for item in flatten(member, inner)]
    return [part]


def _backend_of(pipeline: str) -> Tokenizer:
    from tokenizers import Tokenizer

    backend = Tokenizer.from_str(pipeline)
    model: Any = backend.model
    if getattr(model, "dropout", None) is not None:
        model.dropout = None  # it leaves out merges at random: a text would have other ids every time
    return backend


def _vocab_size(content: Mapping[str, Any]) -> int:
    vocab = content["model"]["vocab"]  # of Unigram a list: an id is a place in it
    last = max(vocab.values(), default=-1) if isinstance(vocab, dict) else len(vocab) - 1
    return int(max([last, *(token["id"] for token in content["added_tokens"])])) + 1


def _unknown_id(model: Mapping[str, Any]) -> int | None:
    if "unk_id" in model:  # Unigram
        unknown: int | None = model["unk_id"]
        return unknown
    return None if model.get("unk_token") is None else model["vocab"].get(model["unk_token"])
