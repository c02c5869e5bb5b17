"""How text is cut into words before byte-level merges: the regular expressions of published tokenizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tokenizers.pre_tokenizers import PreTokenizer

Pattern = Literal["gpt2", "llama3", "qwen2", "o200k", "deepseek3"]
Digits = Literal["pattern", "one", "three_from_left", "three_from_right"]
Chinese = Literal["pattern", "runs", "characters"]

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LETTERS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_ASCII_SIGNS = """[!"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~]"""
_ENDS = "\r\n"  # DeepSeek published the characters themselves where the others wrote escapes
# `DIGITS` is what the field `digits` replaces; character for character the published expressions otherwise, because
# fast encoders know them by their text.
EXPRESSIONS: dict[str, tuple[str, ...]] = {
    "gpt2": (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",),
    "llama3": (rf"{_CONTRACTIONS}|{_LETTERS}|DIGITS| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_LINES}",),
    "qwen2": (rf"{_CONTRACTIONS}|{_LETTERS}|DIGITS| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_LINES}",),
    "o200k": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
        rf"{_CONTRACTIONS}?|DIGITS| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_LINES}",
    ),
    "deepseek3": (
        "DIGITS",
        r"[一-龥぀-ゟ゠-ヿ]+",
        rf"{_ASCII_SIGNS}[A-Za-z]+|[^{_ENDS}\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[{_ENDS}]*|"
        rf"\s*[{_ENDS}]+|\s+(?!\S)|\s+",
    ),
}
PATTERN_DIGITS = {
    "gpt2": r" ?\p{N}+",
    "llama3": r"\p{N}{1,3}",
    "qwen2": r"\p{N}",
    "o200k": r"\p{N}{1,3}",
    "deepseek3": r"\p{N}{1,3}",
}
DIGITS = {
    "one": r"\p{N}",
    "three_from_left": r"\p{N}{1,3}",
    # The look ahead is bounded: on a megabyte of digits an unbounded one would take hours. A number of more than 33
    # digits is grouped from the left until it is that short.
    "three_from_right": r"\p{N}{1,3}(?=(?:\p{N}{3}){0,10}(?!\p{N}))|\p{N}{1,3}",
}
CHINESE = {"runs": r"\p{Han}+", "characters": r"\p{Han}"}


def expressions(pattern: Pattern, digits: Digits, chinese: Chinese) -> list[str]:
    """Return the expressions that cut text one after the other; what each matches, and what lies between, is a piece.

    Args:
        pattern: The preset.
        digits: How numbers are cut; `pattern` leaves it to the preset.
        chinese: `runs` cuts runs of Han characters apart from other scripts, `characters` every one of them.
    """
    inside = PATTERN_DIGITS[pattern] if digits == "pattern" else DIGITS[digits]
    cuts = [expression.replace("DIGITS", inside) for expression in EXPRESSIONS[pattern]]
    return cuts if chinese == "pattern" else [CHINESE[chinese], *cuts]


def byte_level(pattern: Pattern, digits: Digits, chinese: Chinese) -> PreTokenizer:
    """Return the pre-tokenizer: the cuts, then every byte as a character of its own (Radford et al. 2019)."""
    from tokenizers import Regex, pre_tokenizers

    if pattern == "gpt2" and digits == "pattern" and chinese == "pattern":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    splits = [pre_tokenizers.Split(Regex(cut), "isolated") for cut in expressions(pattern, digits, chinese)]
    return pre_tokenizers.Sequence([*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
