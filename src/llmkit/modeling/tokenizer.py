"""Tokenizers: load one from a directory, encode documents literally, and tell whether it changed."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from llmkit.core.adapter import tokenizer_folder
from llmkit.core.errors import DataError, nearest
from llmkit.core.json import dumps
from llmkit.core.machine import raise_limit
from llmkit.core.reading import damaged, read_json, reading
from llmkit.modeling.directory import CONFIG, check_config
from llmkit.modeling.gguf import model_directory
from llmkit.modeling.languages import speaks, target_side
from llmkit.modeling.literal import LiteralEncoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

TOKENIZER_FILE = "tokenizer.json"
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
# What happens to text on its way to ids. Padding and truncation are settings of the last call, the post-processor adds
# special tokens and the decoder goes the other way: llmkit uses none of them to encode.
ID_SECTIONS = ("added_tokens", "normalizer", "pre_tokenizer", "model")

_literals: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[tuple[int, ...], LiteralEncoder]] = WeakKeyDictionary()


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
    """Return the path of a directory that must exist; of a GGUF file, one with its config and its tokenizer.

    Args:
        path: What the user wrote.
        kind: What should be there, for the message: "model".

    Raises:
        DataError: There is no such directory; the message names the nearest one beside it. Or the GGUF file is damaged,
            or none that can be read.
        SetupError: Reading GGUF files needs an extra, or disk, that is not there.
    """
    folder = model_directory(path)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise DataError(f"{kind} '{path}' is a file, not a directory", f"name the directory: {folder.parent}")
    meant = "file" if folder.suffix.lower() == ".gguf" else "directory"
    found = [*folder.parent.iterdir()] if folder.parent.is_dir() else []
    beside = [item.name for item in found if item.is_dir() or (meant == "file" and item.suffix.lower() == ".gguf")]
    raise DataError(f"{kind} {meant} '{path}' does not exist{nearest(folder.name, beside)}", f"ls {folder.parent}")


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a tokenizer, tokens or model directory; the network is never asked.

    Raises:
        DataError: No such directory, no tokenizer in it, or a damaged or unsupported one.
    """
    folder = existing_directory(tokenizer_folder(path), "tokenizer")
    from transformers import AutoTokenizer

    try:
        with warnings.catch_warnings(category=UserWarning, action="ignore"):  # Marian's asks for what it does not use
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise_limit(error)
        # Any exception: `tokenizers` raises bare Exception for a damaged file.
        if not (folder / TOKENIZER_FILE).is_file():
            raise DataError(
                f"'{path}' holds no {TOKENIZER_FILE}", "name a directory written by `llmkit tokenize` or `pretrain`"
            ) from error
        if (folder / CONFIG).exists():
            check_config(folder)  # where a tokenizer names no class, transformers asks the model's config for it
        for name in SETTINGS:
            if (folder / name).exists():
                read_json(folder / name)  # transformers does not say which file it is
        raise damaged(folder / TOKENIZER_FILE, _first_line(error)) from error
    if not tokenizer.is_fast:
        from llmkit.modeling._translators import CLASSES, Translating

        if type(tokenizer).__name__ in CLASSES:
            return Translating.of(tokenizer, folder)
        raise DataError(
            f"the tokenizer in '{path}' has no fast version ({type(tokenizer).__name__})",
            f"convert it to a {TOKENIZER_FILE} first",
        )
    return _as_written(tokenizer, folder)


def _as_written(tokenizer: PreTrainedTokenizerFast, folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer that the file describes.

    transformers builds some tokenizers anew from their class and the settings in tokenizer_config.json. Where that
    gives other ids than tokenizer.json, the file is right: it is what every other program reads.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    file = folder / TOKENIZER_FILE
    if type(tokenizer) is PreTrainedTokenizerFast or not file.is_file():
        return tokenizer
    with reading(file):
        pipelines = (id_sections(backend) for backend in (tokenizer.backend_tokenizer, Tokenizer.from_file(str(file))))
        built, written = ({**sections, "added_tokens": None} for sections in pipelines)
    if built == written:
        return tokenizer
    if speaks(tokenizer):  # its class puts the tokens of languages around a text
        tokenizer._tokenizer = Tokenizer.from_file(str(file))
        tokenizer.set_src_lang_special_tokens(tokenizer.src_lang)
        return tokenizer
    generic: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    return generic


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
    return [ids for ids, _ in literal_encoder(tokenizer).encode(texts)]


def encode_with_ends(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode documents as `encode_documents` does, and say where each token ends.

    Returns:
        Per text its ids and, per token, the character position behind it, int64. Keeping track of positions costs
        about a fifth more than the ids alone.
    """
    return literal_encoder(tokenizer).encode(texts, ends=True)


def literal_encoder(tokenizer: PreTrainedTokenizerFast, *, allow_special: bool = False) -> LiteralEncoder:
    """Return the tokenizer's literal encoder, made once; tokens added later make it anew.

    Args:
        tokenizer: The tokenizer.
        allow_special: Find special tokens in text; such an encoder is made at every call.
    """
    if allow_special:
        return LiteralEncoder.of(tokenizer, allow_special=True)
    state = (len(tokenizer), *tokenizer.all_special_ids)
    known = _literals.get(tokenizer)
    if known is None or known[0] != state:
        known = _literals[tokenizer] = (state, LiteralEncoder.of(tokenizer))
    return known[1]


def tokenizer_digest(tokenizer: str | Path | PreTrainedTokenizerFast) -> str:
    """Return the SHA-256 (hex) of what decides which ids a text gets.

    It is taken of the loaded tokenizer, so that neither the formatting of the file nor the version that wrote it
    counts, nor what transformers makes of it on loading and saving.

    Args:
        tokenizer: One that `load_tokenizer` has loaded, or where it would.

    Raises:
        DataError: As `load_tokenizer`.
    """
    loaded = load_tokenizer(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
    sections: Any = id_sections(loaded.backend_tokenizer)
    target = target_side(loaded)
    if target is not loaded:
        sections = [sections, id_sections(target.backend_tokenizer)]
    canonical = dumps(sections, sort_keys=True, compact=True, ascii_only=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def id_sections(backend: Tokenizer) -> dict[str, Any]:
    """Return the sections of a tokenizer.json that decide ids."""
    content = json.loads(backend.to_str())
    return {name: content[name] for name in ID_SECTIONS}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
