"""Tokenizers: load one from a directory, encode documents literally, and tell whether it changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from llmkit.core.errors import DataError, nearest

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILE = "tokenizer.json"
# What happens to text on its way to ids. Padding and truncation are settings of the last call, the post-processor adds
# special tokens and the decoder goes the other way: llmkit uses none of them to encode.
ID_SECTIONS = ("added_tokens", "normalizer", "pre_tokenizer", "model")

_literals: WeakKeyDictionary[PreTrainedTokenizerFast, _Literal] = WeakKeyDictionary()


class SpecialIds(NamedTuple):
    """The ids objectives put around documents.

    Attributes:
        bos: What a document starts from when it is scored: BOS, else EOS.
        eos: What ends a document, if the tokenizer has one.
        pad: None if the tokenizer has none. It is not replaced by EOS: a loss that masks padding by id would then
            mask every EOS, and the model would never learn to stop.
    """

    bos: int
    eos: int | None
    pad: int | None


def existing_directory(path: str | Path, kind: str) -> Path:
    """Return the path of a directory that must exist.

    Args:
        path: What the user wrote.
        kind: What should be there, for the message: "model".

    Raises:
        DataError: There is no such directory; the message names the nearest one beside it.
    """
    folder = Path(path)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{kind} '{path}' is a file, not a directory", f"name the directory: {folder.parent}")
    beside = [item.name for item in folder.parent.iterdir() if item.is_dir()] if folder.parent.is_dir() else []
    raise DataError(f"{kind} directory '{path}' does not exist{nearest(folder.name, beside)}", f"ls {folder.parent}")


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a tokenizer, tokens or model directory; the network is never asked.

    Raises:
        DataError: No such directory, no tokenizer in it, or a damaged or unsupported one.
    """
    folder = existing_directory(path, "tokenizer")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # Any exception: `tokenizers` raises bare Exception for a damaged file.
        if not (folder / TOKENIZER_FILE).is_file():
            raise DataError(
                f"'{path}' holds no {TOKENIZER_FILE}", "name a directory written by `llmkit tokenize` or `pretrain`"
            ) from error
        raise DataError(f"{folder / TOKENIZER_FILE} cannot be read: {_first_line(error)}") from error
    if not tokenizer.is_fast:
        raise DataError(
            f"the tokenizer in '{path}' has no fast version ({type(tokenizer).__name__})",
            f"convert it to a {TOKENIZER_FILE} first",
        )
    return tokenizer


def special_ids(tokenizer: PreTrainedTokenizerFast) -> SpecialIds:
    """Return the ids of BOS (else EOS), EOS and PAD.

    Raises:
        DataError: The tokenizer has neither BOS nor EOS, so nothing can start or end a document.
    """
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    start = eos if bos is None else bos
    if start is None:
        raise DataError(
            f"the tokenizer '{tokenizer.name_or_path}' has neither a BOS nor an EOS token",
            f'set "eos_token" in {Path(tokenizer.name_or_path) / "tokenizer_config.json"} to one of its tokens, '
            "or train one with `llmkit tokenize`",
        )
    return SpecialIds(start, eos, tokenizer.pad_token_id)


def vocabulary_size(tokenizer: PreTrainedTokenizerFast) -> int:
    """Return the largest id plus one: the embedding rows a model needs.

    `len(tokenizer)` counts tokens and so is too small where ids have gaps.
    """
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def encode_documents(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[np.ndarray]:
    """Encode documents without adding special tokens and without finding any in the text.

    A literal `<|endoftext|>` in a web page is text; as the special token it would let the page end documents.

    Returns:
        One array of ids per text, uint16 where every id fits, else uint32.
    """
    return [ids for ids, _ in _encode(tokenizer, texts, ends=False)]


def encode_with_ends(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode documents as `encode_documents` does, and say where each token ends.

    Returns:
        Per text its ids and, per token, the character position behind it, int64. Keeping track of positions costs
        about a fifth more than the ids alone.
    """
    return _encode(tokenizer, texts, ends=True)


def _encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], *, ends: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    literal = _literals.get(tokenizer)
    if literal is None or literal.state != _Literal.state_of(tokenizer):
        literal = _literals[tokenizer] = _Literal(tokenizer)
    backend = tokenizer.backend_tokenizer
    # A tokenizer.json keeps the padding and truncation of the call before it was saved.
    backend.no_padding()
    backend.no_truncation()
    previous, backend.encode_special_tokens = backend.encode_special_tokens, True
    try:
        encode = backend.encode_batch if ends else backend.encode_batch_fast
        encodings = encode(list(texts), add_special_tokens=False)
    finally:
        backend.encode_special_tokens = previous
    encoded = []
    for text, encoding in zip(texts, encodings, strict=True):
        ids = np.array(encoding.ids, dtype=literal.dtype)
        # The option above only skips the search for special tokens: Unigram and WordLevel then still find `</s>` as
        # an ordinary entry of their vocabulary.
        if np.isin(ids, literal.forbidden).any():
            encoding = literal.backend.encode(text, add_special_tokens=False)  # noqa: PLW2901
            ids = np.array(encoding.ids, dtype=literal.dtype)
        offsets = np.array(encoding.offsets if ends else (), dtype=np.int64).reshape(-1, 2)
        encoded.append((ids, offsets[:, 1]))
    return encoded


def tokenizer_digest(path: str | Path) -> str:
    """Return the SHA-256 (hex) of what decides which ids a text gets, whatever the formatting of the file.

    Raises:
        DataError: No such directory, or no readable tokenizer.json in it.
    """
    file = existing_directory(path, "tokenizer") / TOKENIZER_FILE
    try:
        content = json.loads(file.read_bytes())
        sections = {name: content[name] for name in ID_SECTIONS}
    except FileNotFoundError:
        raise DataError(
            f"'{path}' holds no {TOKENIZER_FILE}", "name a directory written by `llmkit tokenize` or `pretrain`"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is not a tokenizer: {_first_line(error)}") from error
    canonical = json.dumps(sections, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


class _Literal:
    """What encoding text literally needs of a tokenizer, found out once.

    Attributes:
        state: Size and special ids of the tokenizer at that time; tokens added later make this stale.
        dtype: Smallest integer type that holds every id.
        forbidden: Ids text must not get: every special token but the one the model writes for what it does not know.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.state = self.state_of(tokenizer)
        self.dtype = np.uint16 if vocabulary_size(tokenizer) <= 2**16 else np.uint32
        self._tokenizer = tokenizer.backend_tokenizer
        special = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.special}
        special.update(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
        # Not `tokenizer.unk_token`: GPT-2 names its EOS there, while its model never writes one.
        special.pop(self._unknown_id(), None)
        self._special = sorted(special.values())
        self.forbidden = np.array(sorted(special), dtype=self.dtype)

    @staticmethod
    def state_of(tokenizer: PreTrainedTokenizerFast) -> tuple[int, ...]:
        return (len(tokenizer), *tokenizer.all_special_ids)

    def _unknown_id(self) -> int | None:
        model = self._tokenizer.model
        if hasattr(model, "unk_token"):
            return None if model.unk_token is None else model.token_to_id(model.unk_token)
        unknown: int | None = json.loads(self._tokenizer.to_str())["model"]["unk_id"]  # Unigram: no getter in Python
        return unknown

    @cached_property
    def backend(self) -> Tokenizer:
        """The same pipeline with every special entry renamed to a noncharacter no text contains; ids stay."""
        from tokenizers import Tokenizer

        content: dict[str, Any] = json.loads(self._tokenizer.to_str())
        content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] not in self._special]
        content["post_processor"] = None
        renamed = {token: f"\ufdd0{number}\ufdd0" for number, token in enumerate(self._special)}
        vocab = content["model"]["vocab"]
        if isinstance(vocab, dict):
            content["model"]["vocab"] = {renamed.get(token, token): i for token, i in vocab.items()}
        else:
            content["model"]["vocab"] = [[renamed.get(token, token), score] for token, score in vocab]
        return Tokenizer.from_str(json.dumps(content))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
