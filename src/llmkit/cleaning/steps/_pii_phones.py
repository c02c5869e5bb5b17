"""Find telephone numbers: international ones, Chinese ones, and the national ones of the regions asked for.

A pattern finds candidates and the `phonenumbers` library checks them: its own matcher reads 0.1 MB/s. Chinese numbers
are checked by the pattern alone, with the ranges of the national numbering plan.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from llmkit.text.characters import has_script

Span = tuple[int, int]

_SEPARATOR = "[ ./()\u00a0\u202f\u2010-\u2013-]"
_END = r"(?![0-9A-Za-z_]|[.][0-9])"
_INTERNATIONAL = re.compile(rf"(?<![0-9A-Za-z_+])\+\(?[1-9](?:{_SEPARATOR}{{0,3}}[0-9]){{6,14}}{_END}")
# Not part of a longer number, a name with digits in it (AB-138...), a path or an amount.
_START = r"(?<![0-9A-Za-z_+])(?<![0-9A-Za-z][-./])(?<![$￥¥€£#&])"
_CHINESE_MOBILE = re.compile(
    rf"{_START}(?P<prefix>(?:00)?86[ -]?)?"
    r"1(?:[38][0-9]|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|9[0-35-9])(?:[0-9]{8}|(?P<gap>[ -])[0-9]{4}(?P=gap)[0-9]{4})"
    rf"{_END}(?!\s?(?:元|美元|万|亿|吨|次|人|个|％|%|字节))"
)
# Area codes of three digits take eight digits or, a few, seven; those of four digits seven or eight.
_CHINESE_LANDLINE = re.compile(
    rf"{_START}(?P<open>\()?0(?:10|2[0-9]|[3-9][0-9]{{2}})(?(open)\)[ -]?|(?P<gap>[ -]|(?=[2-9])))"
    rf"[2-9](?:[0-9]{{6,7}}|[0-9]{{2,3}}[ -][0-9]{{4}}){_END}"
)
_NATIONAL = re.compile(rf"{_START}\(?[0-9](?:{_SEPARATOR}{{0,2}}[0-9]){{5,12}}{_END}")
_ROUND = re.compile("0{6}$")
_DIGITS = re.compile("[0-9]+")
_DATE = re.compile(r"(?:19|20)[0-9]{2}[-/.][01]?[0-9][-/.][0-3]?[0-9]")
_POINTED = re.compile(r"[0-9]+\.[0-9]+|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")
"""Decimal numbers, such as a kernel's seconds, and IP addresses."""
_WORD_CHARS = 20
_AROUND_CHARS = 40
_LATIN_WORD = re.compile("[a-z]+")
_PHONE_NAMES = (
    "tel tels telephone phone phones mobile cell cellphone call calls called dial fax whatsapp sms text contact number "
    "hotline"
)
_PHONE_WORDS = frozenset(_PHONE_NAMES.split())
_CHINESE_PHONE_WORD = re.compile("电话|手机|致电|拨打|联系|座机|热线|短信|传真|微信|号码")
# What a number directly behind these words is, is no telephone number.
_OTHER_NAMES = (
    "order orders invoice serial isbn issn doi sku ticket tracking case id ids ref account acct qq version build pid "
    "uid size bytes sector block offset inode timestamp time"
)
_OTHER_WORDS = frozenset(_OTHER_NAMES.split())
_SUFFIX_WORDS = ("no", "number", "code", "id")
_CHINESE_OTHER_NAMES = (
    "订单 订单号 单号 编号 流水 流水号 账号 帐号 账户 工单 工单号 序列号 型号 条形码 条码 学号 货号 工号 批号 证书 "
    "证书号 时间戳 群 群号 编码"
)
_CHINESE_OTHER_WORDS = tuple(_CHINESE_OTHER_NAMES.split())
_BETWEEN = " .:：#=为是\"')"


def check_regions(regions: Iterable[str]) -> None:
    """Check region codes.

    Raises:
        ValueError: A region is unknown to `phonenumbers`.
    """
    import phonenumbers

    for region in regions:
        if region not in phonenumbers.SUPPORTED_REGIONS:
            hint = "; the United Kingdom is GB" if region == "UK" else "; codes are those of ISO 3166, such as US or GB"
            raise ValueError(f"unknown phone region '{region}'{hint}")


def find_phones(text: str, windows: Iterable[Span], regions: tuple[str, ...]) -> Iterator[Span]:
    """Yield the telephone numbers in parts of a text.

    Args:
        text: The text.
        windows: Where runs of digits are.
        regions: ISO 3166 codes of the countries whose national forms are found; numbers that begin with + are always.
    """
    chinese, others = "CN" in regions, [region for region in regions if region != "CN"]
    for start, end in windows:
        for match in _INTERNATIONAL.finditer(text, start, end):
            if length := _valid_prefix(match.group()):
                yield match.start(), match.start() + length
        if chinese:
            yield from _find_chinese(text, start, end)
        if others:
            for match in _NATIONAL.finditer(text, start, end):
                if not _DATE.match(match.group()) and _is_national(text, *match.span(), others):
                    yield match.span()


def _find_chinese(text: str, start: int, end: int) -> Iterator[Span]:
    for match in _CHINESE_MOBILE.finditer(text, start, end):
        if not _ROUND.search(match.group()) and not _is_other(_before(text, match.start())):
            # Eleven digits amid English are any number, unless something says what they are.
            around = text[max(0, match.start() - _AROUND_CHARS) : match.end() + _AROUND_CHARS]
            if match["prefix"] or match["gap"] or has_script(around, "Han") or _says_phone(around):
                yield match.span()
    for match in _CHINESE_LANDLINE.finditer(text, start, end):
        before = _before(text, match.start())
        # 02012345678 without a gap is as likely any other number.
        if (match["open"] or match["gap"] or _says_phone(before)) and not _is_other(before):
            yield match.span()


def _before(text: str, start: int) -> str:
    return text[max(0, start - _WORD_CHARS) : start].rpartition("\n")[2]


def _says_phone(text: str) -> bool:
    words = _LATIN_WORD.findall(text.lower())
    return not _PHONE_WORDS.isdisjoint(words) or _CHINESE_PHONE_WORD.search(text) is not None


def _is_other(before: str) -> bool:
    """Say whether the words before a number make it something else, such as an order number."""
    head = before.lower().rstrip(_BETWEEN)
    if head.endswith(_CHINESE_OTHER_WORDS):
        return True
    words = _LATIN_WORD.findall(head)
    if not words or not head.endswith(words[-1]):
        return False
    return words[-1] in _OTHER_WORDS or (words[-1] in _SUFFIX_WORDS and not _OTHER_WORDS.isdisjoint(words[-2:-1]))


def _valid_prefix(candidate: str) -> int:
    """Return the length of the longest valid number that a candidate begins with, cut between groups of digits."""
    import phonenumbers

    groups = list(_DIGITS.finditer(candidate))
    for last in reversed(groups[-3:]):
        part = candidate[: last.end()]
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(part)):
                return len(part)
        except phonenumbers.NumberParseException:
            continue
    return 0


def _is_national(text: str, start: int, end: int, regions: list[str]) -> bool:
    """Say whether a candidate is valid in a region and grouped as it is there, or called a telephone number."""
    import phonenumbers

    candidate = text[start:end]
    before = _before(text, start)
    if _is_other(before) or _POINTED.fullmatch(candidate):
        return False
    for region in regions:
        try:
            number = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        if not phonenumbers.is_valid_number(number):
            continue
        form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
        if _is_grouped(candidate, _DIGITS.findall(form)) or _says_phone(before):
            return True
    return False


def _is_grouped(candidate: str, form: list[str]) -> bool:
    """Say whether digits stand in groups as people write numbers: as in the national form, or behind a trunk 0.

    The prefix may be there or not: 1-212-736-5000 and 98765 43210. Behind a 0 the groups differ from writer to writer
    (0207 946 0958 for 020 7946 0958), but none is short, as those of an ISBN are.
    """
    groups = _DIGITS.findall(candidate)
    if len(groups) < 2:
        return False
    whole = groups[1:] if groups[0] == "1" else groups
    if whole[1:] == form[1:] and whole[0].lstrip("0") == form[0].lstrip("0"):
        return True
    opening = groups[0][0] == "0" and len(groups[0]) >= (2 if candidate[0] == "(" else 3)
    return opening and all(len(group) >= 3 for group in groups[1:])
