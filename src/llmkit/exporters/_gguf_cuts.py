"""The rules by which llama.cpp cuts text, found in a `tokenizer.json`: byte-level, SentencePiece's, WordPiece."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmkit.modeling.gguf_keys import CUTS, GPT2, WHOLE_FIRST

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPACE = "▁"
IS_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
CONTINUING = "##"
KOREAN = re.compile("[\uac00-\ud7a3]")
"""Syllables, which Unicode's normal form D takes apart, and llama.cpp's does not."""
NAMES = "GPT-2, Llama 3, Qwen 2, DeepSeek 3 and SmolLM"
PRE, KIND = "tokenizer.ggml.pre", "tokenizer.ggml.model"


@dataclass(frozen=True)
class Rules:
    """How a text becomes ids.

    Attributes:
        model: llama.cpp's name of the kind of tokenizer.
        settings: What the file says of it.
    """

    model: str
    settings: dict[str, Any]


def rules_of(content: Mapping[str, Any], *, encoder: bool) -> Rules | str:
    """Return the rules of a tokenizer; a sentence if llama.cpp has none such.

    Args:
        content: Of `tokenizer.json`.
        encoder: Of a model that reads text from both sides.
    """
    kind = content["model"]["type"]
    if encoder:
        if kind != "WordPiece":
            return f"llama.cpp reads text for a bert by WordPiece, and its tokenizer is a {kind}"
        return _wordpiece(content)
    if kind != "BPE":
        return f"llama.cpp has no {kind} tokenizer for a model that writes; one of merges (BPE) is written"
    steps = _steps(content["pre_tokenizer"])
    if any(step["type"] == "ByteLevel" for step in steps):
        return _byte_level(content, steps)
    return _sentencepiece(content, steps)


def merges_why_not(content: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast, rules: Rules) -> str | None:
    """Return why merges would give other ids: a word that is a token, and is not put together by the merges."""
    if rules.model != "gpt2":
        return None
    stated = bool(content["model"].get("ignore_merges"))
    if stated == (rules.settings[PRE] in WHOLE_FIRST):
        return None
    added = {token["content"] for token in content["added_tokens"]}
    model = tokenizer.backend_tokenizer.model
    for token in content["model"]["vocab"]:
        if token not in added and _merged(model, token, stated=stated) != 1:
            return (
                f"llama.cpp's rules '{rules.settings[PRE]}' {'merge' if stated else 'do not merge'} a word that is a"
                f" token, its tokenizer does otherwise (ignore_merges), and its merges do not give {token!r}"
            )
    return None


def _merged(model: Any, token: str, *, stated: bool) -> int:
    if not stated:
        return len(model.tokenize(token))
    from tokenizers import models

    state = model.__getstate__()  # the same merges, with the switch the other way
    other = models.BPE.__new__(models.BPE)
    other.__setstate__(state.replace(b'"ignore_merges":true', b'"ignore_merges":false'))
    return len(other.tokenize(token))


def takes_apart(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Tell whether a tokenizer of WordPieces brings text into normal form D, as it does to strip accents."""
    normalizer = json.loads(tokenizer.backend_tokenizer.to_str())["normalizer"] or {}
    return normalizer.get("type") == "BertNormalizer" and _strips(normalizer)


def scores_of(tokens: Sequence[str], merges: Sequence[str]) -> list[float]:
    """Return scores by which llama.cpp merges in the order of the merges; of what none makes, 0."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault(merge.replace(" ", ""), rank + 1)
    return [-float(ranks.get(token, 0)) for token in tokens]


def phantom(token: str) -> str:
    """Return a WordPiece as llama.cpp has it: what begins a word is marked, not what goes on."""
    return token.removeprefix(CONTINUING) if token.startswith(CONTINUING) else SPACE + token


def _steps(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return the steps of a normalizer or pre-tokenizer, one after the other."""
    if part is None:
        return []
    inner = part.get("pretokenizers", part.get("normalizers"))
    return [step for each in inner for step in _steps(each)] if part["type"] == "Sequence" else [part]


def _byte_level(content: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Rules | str:
    if content["normalizer"] is not None and _steps(content["normalizer"]):
        return (
            f"llama.cpp has no normalizer for such a tokenizer, and its tokenizer has {_types(content['normalizer'])}"
        )
    found = []
    for step in steps:
        cut = _expression(step)
        if cut is None:
            return f"llama.cpp cuts text by the rules of {NAMES}, and its tokenizer by {step['type']} as well"
        found += cut
    name = CUTS.get(tuple(GPT2[0] if cut in GPT2 else cut for cut in found))
    if name is None:
        shown = " and ".join(found) or "no rules"
        return f"llama.cpp cuts text by the rules of {NAMES}, and its tokenizer by others: {shown[:160]}"
    if steps[-1]["type"] != "ByteLevel" or steps[-1].get("add_prefix_space"):
        return "llama.cpp puts no space before a text, and its tokenizer does (add_prefix_space)"
    if content["model"].get("byte_fallback") or content["model"].get("dropout"):
        return "its tokenizer merges bytes and has byte_fallback or dropout as well, which llama.cpp has not"
    return Rules("gpt2", {KIND: "gpt2", PRE: name})


def _expression(step: Mapping[str, Any]) -> list[str] | None:
    """Return the expressions by which a step cuts; None if it does so by other means."""
    if step["type"] == "ByteLevel":
        return [GPT2[0]] if step["use_regex"] else []
    if step["type"] == "Digits":
        return [r"\p{N}"] if step["individual_digits"] else None
    plain = step["type"] == "Split" and step["behavior"] == "Isolated" and not step["invert"]
    return [step["pattern"]["Regex"]] if plain and "Regex" in step["pattern"] else None


def _sentencepiece(content: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Rules | str:
    """Return the rules of a SentencePiece model of merges, as Llama 2, Mistral, Gemma and Phi-3 have it."""
    before = _prefix(content, steps)
    if before is None:
        return (
            "llama.cpp cuts text as SentencePiece does, with ▁ for spaces, and its tokenizer by"
            f" {_types(content['normalizer'])} and {_types(content['pre_tokenizer'])}"
        )
    if not content["model"].get("byte_fallback"):
        return "llama.cpp writes unknown letters as bytes, and its tokenizer does not (byte_fallback)"
    return Rules("llama", {KIND: "llama", PRE: "default", "tokenizer.ggml.add_space_prefix": before})


def _prefix(content: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> bool | None:
    """Return whether a space is put before a text; None if spaces are not what SentencePiece makes of them."""
    kept = _steps(content["normalizer"])
    prepended = bool(kept) and kept[0] == {"type": "Prepend", "prepend": SPACE}
    rest = kept[1:] if prepended else kept
    replaced = rest == [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    if replaced and (not steps or (steps[0]["type"] == "Split" and steps[0]["pattern"] == {"String": " "})):
        return prepended
    if kept or len(steps) != 1 or steps[0]["type"] != "Metaspace" or steps[0]["replacement"] != SPACE:
        return None
    return None if steps[0].get("split") else steps[0]["prepend_scheme"] != "never"


def _wordpiece(content: Mapping[str, Any]) -> Rules | str:
    normalizer, steps, model = content["normalizer"] or {}, _steps(content["pre_tokenizer"]), content["model"]
    if normalizer.get("type") != "BertNormalizer" or [step["type"] for step in steps] != ["BertPreTokenizer"]:
        return "llama.cpp cuts words for WordPiece as BERT does, and its tokenizer otherwise"
    if not normalizer["clean_text"] or not normalizer["handle_chinese_chars"]:
        return "llama.cpp cleans text and cuts between Chinese characters, and its tokenizer does not"
    if model["continuing_subword_prefix"] != CONTINUING:
        return (
            f"llama.cpp marks what goes on by {CONTINUING}, and its tokenizer by {model['continuing_subword_prefix']!r}"
        )
    lower, strips = normalizer["lowercase"], _strips(normalizer)
    settings = {KIND: "bert", PRE: "default", "tokenizer.ggml.token_type_count": 2}
    if not lower or not strips:  # what llama.cpp does without being told; older ones know no other way
        settings |= {"tokenizer.ggml.normalizer.lowercase": lower, "tokenizer.ggml.normalizer.strip_accents": strips}
    return Rules("bert", settings)


def _strips(normalizer: Mapping[str, Any]) -> bool:
    """Tell whether accents are taken away: where nothing is said, with capital letters."""
    strip = normalizer["strip_accents"]
    return bool(normalizer["lowercase"] if strip is None else strip)


def _types(part: Mapping[str, Any] | None) -> str:
    return " and ".join(step["type"] for step in _steps(part)) or "none"
