"""National telephone numbers as people of each country write them, and what only looks like one."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps.pii import Pii

REGIONS = ["US", "GB", "CA", "AU", "IN"]
STEP = Pii(types=["phone"], phone_regions=REGIONS)


def redact(text: str) -> str:
    return STEP.conceal(text)


@pytest.mark.parametrize(
    "number",
    [
        "(212) 736-5000", "212-736-5000", "212.736.5000", "1-212-736-5000", "1 (212) 736-5000", "800-275-2273",
        "(416) 967-1111", "604-665-1111", "514 872 0311",
        "020 7946 0958", "0207 946 0958", "07911 123456", "07911 123 456", "(0161) 496 0018", "01223 336000",
        "(02) 9374 4000", "02 9374 4000", "0412 345 678", "1300 975 707",
        "98765 43210", "098765 43210", "022-2778 2183", "(022) 2778 2183",
        "+1 212 736 5000", "+44 20 7946 0958", "+61 2 9374 4000", "+91 98765 43210",
    ],
)  # fmt: skip
def test_national_forms(number: str) -> None:
    assert redact(f"Please ring {number} before noon.") == "Please ring <PHONE> before noon."


@pytest.mark.parametrize("number", ["2127365000", "07911123456", "9876543210"])
def test_digits_without_gaps_need_a_word_that_says_phone(number: str) -> None:
    assert redact(f"There were {number} of them.") == f"There were {number} of them."
    assert redact(f"Phone: {number}") == "Phone: <PHONE>"


@pytest.mark.parametrize(
    "text",
    [
        "ISBN 0-306-40615-2 and 0 521 80026 2", "between 1914-1918 and 1939-1945", "on 2019-05-12 at 10:20:30",
        "version 2.12.736.5000", "order 212-736-5000", "a sum of 1 234 567 890", "pages 100-120 and 212-736",
        "192.168.100.200", "3.14159 26535 89793", "$212,736,500.00", "code 0000 000 000", "[ 1933.455082] bcache",
        "the IP number 44.128.20.107", "10 000 000 people",
    ],
)  # fmt: skip
def test_other_numbers_stay(text: str) -> None:
    assert redact(text) == text


def test_the_recipe_english_finds_them() -> None:
    from llmkit.core.recipes import find_recipe

    assert "phone_regions: [US, GB, CA, AU, IN]" in find_recipe("english", "clean").read_text()
