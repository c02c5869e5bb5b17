"""Find API keys, tokens, private keys and passwords, by the prefixes of their issuers or by name and randomness."""

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

# The issuers' published formats; each has one group, the part that is random.
_ISSUED = re.compile(
    rb"(?<![A-Za-z0-9])(?:"
    rb"A(?:[KS]I|BI|CC)A([A-Z0-9]{16})(?![A-Za-z0-9])"  # AWS access key id
    rb"|LTAI([A-Za-z0-9]{12,24})(?![A-Za-z0-9])|AKID([A-Za-z0-9]{32})(?![A-Za-z0-9])"  # Alibaba Cloud, Tencent Cloud
    rb"|gh[pousr]_([A-Za-z0-9]{36,255})|github_pat_([A-Za-z0-9]{22}_[A-Za-z0-9]{59})"  # GitHub
    rb"|gl(?:pat|dt|rt|ft|cbt|ptt|imt|soat|ffct|agent)-([A-Za-z0-9_-]{20,300}(?:\.[0-9a-z]{2}\.[0-9a-z]{9})?)"  # GitLab
    rb"|xox[abeoprs]-([0-9][A-Za-z0-9-]{16,255})|xapp-([0-9]-[A-Z0-9]{8,16}-[0-9]{8,20}-[a-f0-9]{32,64})"  # Slack
    rb"|(?<=hooks\.slack\.com/services/)(T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,40})"
    rb"|AIza([A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])|GOCSPX-([A-Za-z0-9_-]{28})(?![A-Za-z0-9_-])"  # Google
    rb"|hf_([A-Za-z0-9]{34,40})(?![A-Za-z0-9_])|r8_([A-Za-z0-9]{37})(?![A-Za-z0-9_])"  # Hugging Face, Replicate
    rb"|[rs]k_(?:live|test)_([A-Za-z0-9]{16,255})|whsec_([A-Za-z0-9+/]{32,64})"  # Stripe
    rb"|gsk_([A-Za-z0-9]{52})|xai-([A-Za-z0-9]{80})|pplx-([A-Za-z0-9]{48})"  # Groq, xAI, Perplexity
    rb"|npm_([A-Za-z0-9]{36})(?![A-Za-z0-9_])|pypi-(AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,1000})"
    rb"|dckr_pat_([A-Za-z0-9_-]{27})|do[opr]_v1_([a-f0-9]{64})"  # Docker, DigitalOcean
    rb"|shp(?:at|ca|pa|ss)_([a-fA-F0-9]{32})"  # Shopify
    rb"|(?<=[0-9]:)(AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])"  # Telegram
    rb"|sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{3,8}-|or-v1-)?(?P<sk>[A-Za-z0-9_-]{20,255})"  # OpenAI and others
    rb")"
)
_BEHIND = 13
"""Bytes of a GitLab key behind its long token."""
_DOTTED = re.compile(
    rb"(?<![A-Za-z0-9_-])(?:eyJ[A-Za-z0-9_-]{10,8000}\.eyJ[A-Za-z0-9_-]{10,8000}\.[A-Za-z0-9_-]{10,2000}"
    rb"|SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-]))"
)
"""JSON Web Token, RFC 7519: two base64url objects, which begin with `{"`, and a signature; SendGrid."""
_PEM = re.compile(
    rb"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?:[^-]|-(?!----)){64,20000}"
    rb"(?:-----END [A-Z0-9 ]{0,30}PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
"""RFC 7468. The body ends at the next five hyphens, or with a text that was cut there."""
_CREDENTIALS = re.compile(rb"://[^\s/:@<>\"']{1,64}:([^\s/@<>\"'${}*]{4,128})@[A-Za-z0-9]")
_STAND_IN = re.compile(rb"passw(?:or)?d|secret|pass|token|xxx+|your.*|changeme|example", re.IGNORECASE)

# `"api_key": "...`, `API_KEY=...`, `Authorization: Bearer ...`, `密钥：...`
_NAMED = re.compile(
    (
        r"(?:(?:(?:(?:api|access|secret)[ _-]?|(?:private|encryption|signing|account|storage)[_-]?)key|secret|token"
        r"|password|passwd|pwd|密钥|秘钥|密码|口令|令牌)[\"']?[ \t]{0,4}(?::=|=>|[:=]|：)|bearer)"
        r"[ \t]{0,4}(?P<quote>[\"'])?$"
    ).encode(),
    re.IGNORECASE,
)
_NAME_BYTES = 48
_BEHIND_NAMES = frozenset((b":", b"=", b">", b"r", b"R", "：".encode()[-1:]))
"""What a name and its sign end with: a look at one byte spares most tokens the pattern."""
_DIGITS = string.digits.encode()
_MAX_VALUE = 512
# 16 random hexadecimal digits have 3.2 bits each on average.
_MIN_ENTROPY = 3.0
_MIN_DIGITS = 3
_MIN_BODY_ENTROPY = 2.5
_MIN_PATH_ENTROPY = 4.0

# Pairs of letters, the 200 most frequent of English text: 92% of the pairs of words, 30% of those of random letters.
_FREQUENT_PAIRS = (
    "ab ac ad ag ai al am an ap ar as at au av ay ba be bi bl bo bu by ca cc ce ch ci ck cl co cr ct cu da de "
    "di do dr ds du ea ec ed ee ef eg ei el em en ep eq er es et ev ex fa fe ff fi fo fr fu ge gh gi gr gu ha "
    "he hi ho ia ib ic id ie if ig il im in io ip ir is it iv iz ke la ld le li ll lo ls lt lu ly ma me mi mm "
    "mo mp mu na nc nd ne nf ng ni no ns nt nu oc od of ol om on oo op or os ot ou ov ow pa pe pi pl po pp pr "
    "pt pu qu ra rc rd re ri rm rn ro rr rs rt ru ry sa sc se sh si so sp ss st su sy ta te th ti tl to tr ts "
    "tt tu ty ua ub uc ue ug ui ul um un up ur us ut va ve vi wa we wh wi wo ys"
)
_PAIRS = frozenset(_FREQUENT_PAIRS.encode().split())
_PAIR = re.compile(rb"(?=([A-Za-z]{2}))")
_IN_A_WORD = re.compile(rb"[a-z]{2}|[A-Z][A-Za-z]")
_MIN_PAIRS = 6
_WORDS_SHARE = 0.7
_NAME_DIGITS = 0.25
"""A name has fewer digits than this, a key of hexadecimal digits has more."""


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
    dotted = start - 3 if data[max(start - 3, 0) : start] == b"SG." else data.find(b"eyJ", start, end)
    if dotted >= 0 and (match := _DOTTED.match(data, dotted)):
        yield match.span()
        return
    issued = False
    for match in _ISSUED.finditer(data, start, end + _BEHIND):
        if _is_issued(match[match.lastindex or 0], doubtful=match.lastgroup == "sk"):
            issued = True
            yield match.span()
    if issued or end - start > _MAX_VALUE:
        return
    before = data[max(0, start - _NAME_BYTES) : start]
    if before.rstrip(b" \t\"'")[-1:] not in _BEHIND_NAMES or not (name := _NAMED.search(before)):
        return
    value = data[start:end]
    if _is_random(value) and (name["quote"] or not _is_expression(value, data[end : end + 2])):
        yield start, end + len(data[end : end + 2]) - len(data[end : end + 2].lstrip(b"="))


def _is_issued(body: bytes, *, doubtful: bool) -> bool:
    """Say whether what stands behind an issuer's prefix is random: `sk-container-id-1` names a style.

    Args:
        body: What should be random.
        doubtful: The prefix is so short that other names begin with it.
    """
    num_digits = _num_digits(body)
    if not doubtful:
        return num_digits > 0 or (entropy(body) >= _MIN_BODY_ENTROPY and not _is_words(body))
    if entropy(body) < _MIN_ENTROPY or (body.islower() and (b"-" in body or b"_" in body)):
        return False
    return num_digits >= _NAME_DIGITS * len(body) or not _is_words(body)


def _is_random(value: bytes) -> bool:
    """Say whether a value that is called a secret was generated, by its digits, letters and entropy."""
    num_digits = _num_digits(value)
    if num_digits == len(value) or entropy(value) < _MIN_ENTROPY:
        return False
    if num_digits >= _MIN_DIGITS:
        return True
    return _is_mixed(value) and not _is_words(value)


def _is_expression(value: bytes, behind: bytes) -> bool:
    """Say whether a value without quotes is a path, a call or a name with an attribute."""
    if behind[:1] == b"(" or (behind[:1] == b"." and behind[1:].isalnum()):
        return True
    return b"/" in value and (entropy(value) < _MIN_PATH_ENTROPY or not _is_mixed(value) or _is_words(value))


def _is_mixed(value: bytes) -> bool:
    return not value.islower() and not value.isupper()


def _is_words(value: bytes) -> bool:
    """Say whether the letters of a value follow each other as in words.

    One in 200 keys of 16 letters passes for words, and nearly all names and placeholders do.
    """
    pairs = _PAIR.findall(value)
    frequent = sum(pair.lower() in _PAIRS for pair in pairs if _IN_A_WORD.match(pair))
    return len(pairs) >= _MIN_PAIRS and frequent >= _WORDS_SHARE * len(pairs)


def _num_digits(value: bytes) -> int:
    return len(value) - len(value.translate(None, _DIGITS))


def entropy(value: bytes) -> float:
    """Return the Shannon entropy of a value's bytes, in bits per byte."""
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())
