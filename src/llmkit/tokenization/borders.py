"""Cut a long document where its tokens end anyway, so that the pieces, encoded one by one, have the same ids.

A piece ends before a single space, or behind a single line end, that stands between a character which is no white space
and a letter, or before a Chinese comma or full stop behind a Chinese character. The pre-tokenizers known here always
cut there: none of their expressions matches across, and none looks across.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import product
from typing import Any, get_args

from llmkit.modeling.literal import flatten
from llmkit.modeling.sentencepiece_model import SPACE
from llmkit.tokenization.trainers._patterns import CHINESE, DIGITS, EXPRESSIONS, Chinese, Digits, Pattern, expressions

# Of the Chinese characters only U+4E00 to U+8FFF: assigned, and letters, in every version of Unicode in use.
_HAN = rb"(?:\xe4[\xb8-\xbf]|[\xe5-\xe8][\x80-\xbf])[\x80-\xbf]"
_LETTER = rb"(?:[A-Za-z]|" + _HAN + rb")"
_BORDER = re.compile(
    rb"(?:[!-~]|" + _HAN + rb")(?:(?= " + _LETTER + rb")|\n(?=" + _LETTER + rb"))|" + _HAN + "(?=，|。)".encode()
)
_SPACE = re.compile(rb"(?:[!-~]|" + _HAN + rb")(?= " + _LETTER + rb")")
_SPM_STEPS = [
    {"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    {"type": "Prepend", "prepend": SPACE},
    {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
]
_LOCAL_NORMALIZERS = {"NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer"}


def border_of(content: dict[str, Any], *, allow_special: bool = False) -> re.Pattern[bytes] | None:
    """Return the borders at which a tokenizer is known to cut every text; None where it may not.

    Args:
        content: The content of its `tokenizer.json`.
        allow_special: Special tokens are found in the text, too.
    """
    normalizers = flatten(content["normalizer"], "normalizers")
    cutters = flatten(content["pre_tokenizer"], "pretokenizers")
    # A token added with blanks in it, or that takes those around it along, may lie across a border.
    for token in content["added_tokens"]:
        reaches = token["lstrip"] or token["rstrip"] or re.search(r"[\s，。]", token["content"])
        if reaches and (allow_special or not token["special"]):
            return None
    if _is_sentencepiece(normalizers, cutters):
        return _SPACE
    if (
        all(part["type"] in _LOCAL_NORMALIZERS for part in normalizers)
        and all(_cuts(part) or _keeps_to_itself(part) for part in cutters)
        and any(_cuts(part) for part in cutters)
    ):
        return _BORDER
    return None


def _is_sentencepiece(normalizers: list[dict[str, Any]], cutters: list[dict[str, Any]]) -> bool:
    """Tell whether a tokenizer treats spaces as SentencePiece does: its words begin with one, and so does the text.

    A piece that begins with a space loses it, and gets it back.
    """
    steps = [part for part in normalizers if part["type"] != "Precompiled"]
    return steps == _SPM_STEPS and [_expression(part) for part in cutters] == [f"{SPACE}*[^{SPACE}]+|{SPACE}+"]


def _cuts(part: dict[str, Any]) -> bool:
    if part["type"] == "ByteLevel":  # with the expression of GPT-2
        return bool(part["use_regex"]) and not part["add_prefix_space"]
    if part["type"] == "Split":
        return _expression(part) in _known()
    return part["type"] in {"BertPreTokenizer", "Whitespace"}


def _keeps_to_itself(part: dict[str, Any]) -> bool:
    """Tell whether a part cuts nothing but runs of digits or of Chinese, which never reach across a border."""
    if part["type"] == "ByteLevel":
        return not part["add_prefix_space"]
    return part["type"] == "Digits" or _expression(part) in {
        *CHINESE.values(),
        *DIGITS.values(),
        EXPRESSIONS["deepseek3"][1],
    }


def _expression(part: dict[str, Any]) -> str | None:
    if part["type"] != "Split" or part["behavior"] != "Isolated" or part["invert"]:
        return None
    expression: str | None = part["pattern"].get("Regex")
    return expression


@cache
def _known() -> frozenset[str]:
    presets = product(get_args(Pattern), get_args(Digits), get_args(Chinese))
    return frozenset(expressions(*preset)[-1] for preset in presets)


def chunks(document: bytes, size: int, border_pattern: re.Pattern[bytes]) -> list[tuple[int, int]]:
    """Return pieces of a document that end at the first border behind `size` bytes each; they cover all of it."""
    found, start = [], 0
    while len(document) - start > size:
        border = border_pattern.search(document, start + size)
        if border is None or border.end() == len(document):
            break
        found.append((start, border.end()))
        start = border.end()
    return [*found, (start, len(document))]
