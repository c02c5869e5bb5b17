"""Find API keys, tokens, private keys and passwords, by the prefixes of their issuers or by name and entropy."""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Iterator

Span = tuple[int, int]

# Secrets are found in the text's bytes: one translation makes every character that keys are made of the letter a, and
# a substring search for 16 of them skips through prose. Only around such tokens do the patterns run.
_LONG_TOKEN = b"a" * 16
_TOKEN_CHARS = string.ascii_letters + string.digits + "_-+/"
_TOKEN_TABLE = bytes(97 if chr(byte) in _TOKEN_CHARS else 32 for byte in range(256))

# The issuers' published formats.
_ISSUED = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS access key id
    rb"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"  # GitHub
    rb"|gl(?:pat|dt|rt)-[A-Za-z0-9_-]{20,64}"  # GitLab
    rb"|xox[abeoprs]-[0-9][A-Za-z0-9-]{16,255}"  # Slack
    rb"|(?<=hooks\.slack\.com/services/)T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,40}"
    rb"|AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"  # Google
    rb"|hf_[A-Za-z0-9]{34,40}(?![A-Za-z0-9_])"  # Hugging Face
    rb"|[rs]k_(?:live|test)_[A-Za-z0-9]{16,255}"  # Stripe
    rb"|(?P<sk>sk-[A-Za-z0-9_-]{20,255})"  # OpenAI and others
    rb")"
)
_JWT = re.compile(rb"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{10,8000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}")
"""JSON Web Token, RFC 7519: two base64url objects, which begin with `{"`, and a signature."""
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){64,20000}"
    rb"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
"""RFC 7468. The body ends at the next five hyphens, or with a text that was cut there."""
_CREDENTIALS = re.compile(rb"://[^\s/:@<>\"']{1,64}:([^\s/@<>\"'${}*]{4,128})@[A-Za-z0-9]")
_STAND_IN = re.compile(rb"passw(?:or)?d|secret|pass|token|xxx+|your.*|changeme|example", re.IGNORECASE)

# `"api_key": "...`, `API_KEY=...`, `Authorization: Bearer ...`
_NAMED = re.compile(
    rb"(?:(?:(?:api|access|private|secret|encryption|signing|account|storage)[_-]?key|secret|token|password|passwd|pwd)"
    rb"[\"']?[ \t]{0,4}(?::=|=>|[:=])|bearer)[ \t]{0,4}(?P<quote>[\"'])?$",
    re.IGNORECASE,
)
_NAME_BYTES = 48
_DIGITS = string.digits.encode()
_MAX_VALUE = 512
# 16 random hexadecimal digits have 3.2 bits each on average, identifiers have few digits.
_MIN_ENTROPY = 3.0
_MIN_DIGITS = 3


def find_secrets(text: str, data: bytes) -> Iterator[Span]:
    """Yield the secrets of a text in order.

    Args:
        text: The text.
        data: The same as UTF-8.
    """
    found = sorted(_find(data))
    if len(text) == len(data):
        yield from found
        return
    # Positions in bytes become positions in characters, each stretch of bytes counted once.
    last_byte = last_char = 0
    for start, end in found:
        if start >= last_byte:
            first = last_char + _num_chars(data[last_byte:start])
            last_byte, last_char = end, first + _num_chars(data[start:end])
            yield first, last_char


def _num_chars(data: bytes) -> int:
    return len(data.decode("utf-8", "surrogatepass"))


def _find(data: bytes) -> Iterator[Span]:
    if b"://" in data and b"@" in data:
        for match in _CREDENTIALS.finditer(data):
            if not _STAND_IN.fullmatch(match[1]):
                yield match.span(1)
    tokens = data.translate(_TOKEN_TABLE)
    start = tokens.find(_LONG_TOKEN)
    if start >= 0 and b"PRIVATE KEY" in data:
        for match in _PEM.finditer(data):
            yield match.span()
    while start >= 0:
        end = tokens.find(b" ", start + len(_LONG_TOKEN))
        end = len(data) if end < 0 else end
        found = list(_find_in_token(data, start, end))
        yield from found
        start = tokens.find(_LONG_TOKEN, max([end, *(stop for _, stop in found)]))


def _find_in_token(data: bytes, start: int, end: int) -> Iterator[Span]:
    value = data[start:end]
    # Keys have digits, all but Hugging Face's for certain; most long tokens of a text are rules, paths and names.
    if len(value.translate(None, _DIGITS)) == len(value) and b"hf_" not in value:
        return
    jwt = data.find(b"eyJ", start, end)
    if jwt >= 0 and (match := _JWT.match(data, jwt)):
        yield match.span()
        return
    issued = False
    for match in _ISSUED.finditer(data, start, end):
        # sk-container-id-... names a style.
        if match["sk"] is None or _is_random(match["sk"], min_digits=1):
            issued = True
            yield match.span()
    if issued or len(value) > _MAX_VALUE or not _is_random(value):
        return
    name = _NAMED.search(data[max(0, start - _NAME_BYTES) : start])
    # Without quotes, what has slashes or a call behind it is a path or an expression.
    if name and (name["quote"] or (b"/" not in value and data[end : end + 1] not in (b"(", b"."))):
        yield start, end + len(data[end : end + 2]) - len(data[end : end + 2].lstrip(b"="))


def _is_random(value: bytes, min_digits: int = _MIN_DIGITS) -> bool:
    """Say whether a value has the letters, the digits and the entropy of a generated key."""
    num_digits = len(value) - len(value.translate(None, _DIGITS))
    return min_digits <= num_digits < len(value) and entropy(value) >= _MIN_ENTROPY


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of a value's bytes, in bits per byte."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())
