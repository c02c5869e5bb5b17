r"""The escape sequences of roff: `\fB`, `\(bu`, `\*(lq`, `\s-1` and the like; see groff(7) and groff_char(7)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

# Every repetition is bounded, so that a line of 10 MB of `\[` costs linear time.
_ESCAPE = re.compile(
    r"""\\(?:
      [fFmM](?:\[[^\]]{0,40}\]|\(..|.)
    | s(?:\[[^\]]{0,9}\]|'[^']{0,9}'|[+-]?\(..|[+-]?(?:[1-3]\d|\d)|[+-])
    | [ngk][+-]?(?:\[[^\]]{0,40}\]|\(..|.)
    | [hvwlLDXRSHxbB]'[^']{0,200}'
    | \*(?:\[(?P<long>[^\]]{0,40})\]|\((?P<two>..)|(?P<one>.))
    | (?:\((?P<char>..)|\[(?P<name>[^\]]{0,40})\])
    | N'(?P<code>\d{1,6})'
    | [oZ]'(?P<over>[^']{0,40})'
    | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)

STRINGS = {
    "R": "®", "Tm": "™", "lq": "“", "rq": "”", "Lq": "“", "Rq": "”", "Aq": "'", 'L"': '"', 'R"': '"', "C`": "",
    "C'": "", "--": "-", "PI": "π", "Ba": "|", "Ge": "≥", "Le": "≤", "Gt": ">", "Lt": "<", "Ne": "≠", "Pm": "±",
    "Am": "&", "q": '"',
}  # fmt: skip
"""Strings that macro packages define."""

_CHARACTERS = {
    "bu": "•", "em": "—", "en": "–", "hy": "-", "aq": "'", "lq": "“", "rq": "”", "oq": "‘", "cq": "’", "dq": '"',
    "co": "©", "rg": "®", "tm": "™", "de": "°", "+-": "±", "mu": "×", "di": "÷", "->": "→", "<-": "←", "<>": "↔",
    "=>": "⇒", "<=": "≤", ">=": "≥", "!=": "≠", "==": "≡", "~=": "≈", "if": "∞", "ul": "_", "ru": "_", "br": "|",
    "ba": "|", "bv": "|", "or": "|", "sl": "/", "rs": "\\", "ga": "`", "ha": "^", "ti": "~", "at": "@", "sh": "#",
    "Do": "$", "Eu": "€", "Po": "£", "Ye": "¥", "ct": "¢", "sc": "§", "ps": "¶", "pl": "+", "mi": "-", "eq": "=",
    "**": "*", "aa": "´", "14": "¼", "12": "½", "34": "¾", "Fo": "«", "Fc": "»", "fo": "‹", "fc": "›", "ss": "ß",
    "AE": "Æ", "ae": "æ", "OE": "Œ", "oe": "œ", "/o": "ø", "/O": "Ø", "oa": "å", "oA": "Å", "lB": "[", "rB": "]",
    "lC": "{", "rC": "}", "la": "⟨", "ra": "⟩", "dg": "†", "dd": "‡", "ci": "○", "sq": "□", "pd": "∂", "sr": "√",
    "*a": "α", "*b": "β", "*g": "γ", "*d": "δ", "*e": "ε", "*l": "λ", "*m": "μ", "*p": "π", "*s": "σ", "*W": "Ω",
    "fi": "fi", "fl": "fl", "ff": "ff",
}  # fmt: skip
_ACCENTS = {"'": "\u0301", "`": "\u0300", ":": "\u0308", "^": "\u0302", "~": "\u0303", ",": "\u0327", "v": "\u030c"}
# `\c`, "no blank after this line", becomes NUL, which the filling of paragraphs looks for.
_SINGLE = {"e": "\\", "E": "\\", "~": " ", "0": " ", "t": "\t", "c": "\0"} | dict.fromkeys("&|^/,%:)!{}updraz?", "")


def unescape(text: str, strings: Mapping[str, str]) -> str:
    r"""Return the text with its escape sequences as characters.

    Args:
        text: One line.
        strings: What `\*(xx` stands for.
    """
    if "\\" not in text:
        return text

    def character(match: re.Match[str]) -> str:
        kind, value = match.lastgroup, match[match.lastgroup] if match.lastgroup else ""
        if kind in {"long", "two", "one"}:
            return strings.get(value, "")
        if kind in {"char", "name"}:
            return _character(value)
        if kind == "code":
            return chr(int(value)) if int(value) < 0xD800 else ""
        return _SINGLE.get(value, value) if kind == "other" else value

    return _ESCAPE.sub(character, text).removesuffix("\\")


def _character(name: str) -> str:
    if name in _CHARACTERS:
        return _CHARACTERS[name]
    if len(name) == 2 and name[0] in _ACCENTS and name[1].isalpha():
        return unicodedata.normalize("NFC", name[1] + _ACCENTS[name[0]])
    if codes := re.fullmatch(r"u([0-9A-F]{4,5})", name):
        code = int(codes[1], 16)
        return "" if 0xD800 <= code < 0xE000 else chr(code)
    return ""
