"""Find Chinese resident identity numbers and payment card numbers by their structure and check digits."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator

Span = tuple[int, int]

# GB 11643-1999: six digits of region, birth date, three of sequence, check character; some write spaces between.
_ID_18 = re.compile(
    r"(?<![0-9])(?<![0-9][.])[1-8][0-9]{5}[ -]?(?:19|20)[0-9]{6}[ -]?[0-9]{3}[0-9Xx](?![0-9A-Za-z]|[.][0-9])"
)
_ID_15 = re.compile(r"(?<![0-9A-Za-z])(?<![0-9][.])[1-6][0-9]{14}(?![0-9A-Za-z]|[.][0-9])")
_SEPARATORS = str.maketrans("", "", " -")
# GB/T 2260 provinces; 81, 82 and 83 are residence permits of people from Hong Kong, Macao and Taiwan.
_PROVINCE_CODES = (
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83 91"
)
_PROVINCES = frozenset(_PROVINCE_CODES.split())
_WEIGHTS = tuple(pow(2, 17 - position, 11) for position in range(17))
_CHECK_CHARACTERS = "10X98765432"

# A card is one run of digits or printed in groups; ISO/IEC 7812. An expiry date may stand behind groups, other digits
# on neither side: a row of four-digit numbers is a table.
_CARD = re.compile(
    r"(?<![0-9A-Za-z])(?<![0-9][.])(?:"
    r"[2-6][0-9]{12,18}(?![0-9A-Za-z]|[.][0-9])"
    r"|(?<![0-9][ -])(?:[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|62[0-9]{4}[ -][0-9]{13}|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5})"
    r"(?![0-9A-Za-z]|[ -][0-9](?![0-9]?/[0-9]{2})|[.][0-9]))"
)
# Issuer prefixes and the lengths they issue.
_ISSUERS = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])[0-9]{11}"  # Diners Club
    r"|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}"  # Discover
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}"  # JCB
    r"|62(?:[0-9]{14,15}|[0-9]{17})"  # UnionPay
    r"|220[0-4][0-9]{12}"  # Mir
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def find_chinese_ids(text: str, windows: Iterable[Span], *, old: bool) -> Iterator[Span]:
    """Yield the resident numbers in parts of a text.

    Args:
        text: The text.
        windows: Where runs of digits are.
        old: Find the 15-digit numbers issued before 1999 as well; they have no check digit.
    """
    for start, end in windows:
        for match in _ID_18.finditer(text, start, end):
            if is_chinese_id(match.group().translate(_SEPARATORS)):
                yield match.span()
        if old:
            for match in _ID_15.finditer(text, start, end):
                digits = match.group()
                if digits[:2] in _PROVINCES and _is_date(f"19{digits[6:12]}"):
                    yield match.span()


def is_chinese_id(number: str) -> bool:
    """Say whether 18 characters are a resident number: region, birth date, ISO 7064 MOD 11-2 check character."""
    if number[:2] not in _PROVINCES or not _is_date(number[6:14]):
        return False
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, number[:17], strict=True))
    return _CHECK_CHARACTERS[total % 11] == number[17].upper()


def _is_date(digits: str) -> bool:
    try:
        dt.date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return False
    return True


def find_cards(text: str, windows: Iterable[Span]) -> Iterator[Span]:
    """Yield the payment card numbers in parts of a text: issuer prefix, length and Luhn check digit agree."""
    for start, end in windows:
        for match in _CARD.finditer(text, start, end):
            digits = match.group().translate(_SEPARATORS)
            # With so many zeros it is a round number.
            if _ISSUERS.fullmatch(digits) and digits.count("0") < 10 and luhn(digits):
                yield match.span()


def luhn(digits: str) -> bool:
    """Say whether the last digit is the Luhn check digit (ISO/IEC 7812-1, annex B)."""
    return (sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0
