"""The ids of a text that goes on from another one, as a model goes on from its prompt: nothing is put before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from llmkit.core.json import dumps

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_known: WeakKeyDictionary[PreTrainedTokenizerFast, Tokenizer] = WeakKeyDictionary()


def continued(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """Return the ids of a text behind another one."""
    backend = _known.get(tokenizer)
    if backend is None:
        backend = _known[tokenizer] = _without_prefix(tokenizer)
    ids: list[int] = backend.encode(text, add_special_tokens=False).ids
    return ids


def _without_prefix(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a tokenizer that puts no blank before a text, as SentencePiece's and others do at its beginning."""
    from tokenizers import Tokenizer

    def bare(part: Any) -> Any:
        if isinstance(part, list):
            return [bare(one) for one in part if not (isinstance(one, dict) and one.get("type") == "Prepend")]
        if not isinstance(part, dict):
            return part
        changed = {name: bare(value) for name, value in part.items()}
        if "prepend_scheme" in changed:
            changed["prepend_scheme"] = "never"
        if "add_prefix_space" in changed:
            changed["add_prefix_space"] = False
        return changed

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    for section in ("normalizer", "pre_tokenizer"):
        content[section] = bare(content[section])
        if isinstance(content[section], dict) and content[section].get("type") == "Prepend":
            content[section] = None
    backend = Tokenizer.from_str(dumps(content))
    backend.no_padding()
    backend.no_truncation()
    return backend
