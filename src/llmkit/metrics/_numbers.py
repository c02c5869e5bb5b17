r"""Numbers in text, exactly: `1,234.5`, `-3/4`, `50%`, `\frac{1}{2}`, `3.5万`, `三百二十五`, `百分之五十`."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple


class Number(NamedTuple):
    """A number as it is written.

    Attributes:
        value: What it is; of 50% one half.
        percent: A percent sign stands behind it, or 百分之 before it.
    """

    value: Fraction
    percent: bool = False


LONGEST = 400
"""Digits, and the largest exponent: what goes beyond is no number that anybody has asked for."""

_SCALES = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
    "千": 10**3, "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
}  # fmt: skip
_ARABIC = re.compile(
    r"""
    (?P<after>(?<=/))? (?P<sign>(?<![\w)\]}.])[-\u2212])? (?:[$€£¥￥]\s?)? (?P<late>(?<=[$€£¥￥])[-\u2212])?
    (?P<whole>\d{1,3}(?:,\d{3})+(?!\d) | \d+ | (?<![\w.])(?=\.\d)) (?P<part>\.\d+)? (?P<power>[eE][-+]?\d+(?![\w.]))?
    (?: (?P<mixed>\ \d+/\d+(?![\d/])) | (?(after)(?!)|\s?/\s?(?P<below>\d+)(?![\d/]|\.\d)) )?
    (?: \s?(?P<percent>%|percent\b|per\ cent\b) | \s?(?P<scale>(?:thousand|million|billion|trillion)\b|[千万萬亿億]) )?
    """,
    re.VERBOSE | re.ASCII | re.IGNORECASE,
)
_DIGITS = {char: value for value, chars in enumerate(
    ("零〇", "一壹", "二两兩贰貳", "三叁參", "四肆", "五伍", "六陆陸", "七柒", "八捌", "九玖")
) for char in chars}  # fmt: skip
_UNITS = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
_LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_RUN = f"[{''.join((*_DIGITS, *_UNITS, *_LARGE))}]+"
_CHINESE = re.compile(
    f"(?P<sign>[负負])?(?:百分之(?P<percent>{_RUN}(?:[点點]{_RUN})?)|(?P<below>{_RUN})分之(?P<above>{_RUN})"
    f"|(?P<plain>{_RUN})(?:[点點](?P<part>[{''.join(_DIGITS)}]+))?)"
)
_WIDE = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), 0xFF0E, 0xFF0C, 0xFF05, 0xFF0F, 0xFF0D, 0xFF0B)}
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_LATEX = (
    (re.compile(r"\\[dt]?frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*([\d.,]+)\s*\}"), r"\1/\2"),
    (re.compile(r"\\[dt]?frac\s*(\d)\s*(\d)"), r"\1/\2"),
    (re.compile(r"(?<=\d)(?:\{,\}|\\[,!:]|\\ )(?=\d{3}(?!\d))"), ","),
    (re.compile(r"\\([%$])"), r"\1"),
)


def numbers_in(text: str) -> list[Number]:
    """Return the numbers of a text in order.

    Commas are separators of thousands, a point begins the decimals. Chinese numerals are read where there is no digit
    from 0 to 9: they are parts of too many words beside.
    """
    text = text.translate(_WIDE)
    text = _VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKC", found[0]).replace("\u2044", "/"), text)
    for pattern, instead in _LATEX:
        text = pattern.sub(instead, text)
    found = [_arabic(match) for match in _ARABIC.finditer(text)]
    if not found:
        found = [_chinese(match) for match in _CHINESE.finditer(text)]
    return [number for number in found if number is not None]


def _arabic(match: re.Match[str]) -> Number | None:
    whole, part, power = match["whole"].replace(",", ""), match["part"] or "", match["power"] or ""
    below = match["below"] or "1"
    if len(whole) + len(part) + len(below) > LONGEST or (power and abs(int(power[1:6])) > LONGEST) or len(power) > 6:
        return None
    value = Fraction(f"{whole or '0'}{part}{power}")
    if int(below):
        value /= int(below)
    if match["mixed"] and len(match["mixed"]) < LONGEST:
        above, under = map(int, match["mixed"].split("/"))
        value += Fraction(above, under) if under else 0
    value *= _SCALES[match["scale"].lower()] if match["scale"] else 1
    value /= 100 if match["percent"] else 1
    return Number(-value if match["sign"] or match["late"] else value, bool(match["percent"]))


def _chinese(match: re.Match[str]) -> Number | None:
    if len(match[0]) > LONGEST:
        return None
    if match["percent"]:
        whole, _, part = match["percent"].replace("點", "点").partition("点")
        value = (_count(whole) + _decimals(part)) / 100
    elif match["below"]:
        under = _count(match["below"])
        if not under:
            return None
        value = _count(match["above"]) / under
    else:
        value = _count(match["plain"]) + _decimals(match["part"] or "")
    return Number(-value if match["sign"] else value, bool(match["percent"]))


def _decimals(digits: str) -> Fraction:
    known = [_DIGITS[char] for char in digits if char in _DIGITS]
    return Fraction(sum(digit * 10**place for place, digit in enumerate(reversed(known))), 10 ** len(known))


def _count(numerals: str) -> Fraction:
    """Return what a run of numerals counts: digit by digit (二〇二六), or by units (两万三千零五); 三百五 is 350."""
    if not any(char in _UNITS or char in _LARGE for char in numerals):
        return Fraction(int("".join(str(_DIGITS[char]) for char in numerals) or "0"))
    total = section = 0
    digit: int | None = None
    last, after_zero = 1, False
    for char in numerals:
        if char in _DIGITS:
            digit, after_zero = _DIGITS[char], after_zero or not _DIGITS[char]
            continue
        last = _UNITS.get(char) or _LARGE[char]
        if char in _UNITS:
            section += (1 if digit is None else digit) * last
        else:
            section += digit or 0
            # 亿 counts all that stands before it (一万亿), 万 what has not been counted yet.
            total = (total + section) * last if last > 10**4 else total + (section or 1) * last
            section = 0
        digit, after_zero = None, False
    tail = (digit or 0) * (last // 10 if last >= 100 and not after_zero else 1)
    return Fraction(total + section + tail)
