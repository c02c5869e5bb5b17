"""Numbers in text, worked out by hand, and answers that are equal however they are written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.errors import DataError
from llmkit.metrics._numbers import numbers_in
from llmkit.metrics.numeric import Numeric


@pytest.mark.parametrize(("text", "values"), [
    ("1,234.5 and 7.", ["1234.5", "7"]),
    ("1,234,56", ["1234", "56"]),  # no thousands
    ("10,20", ["10", "20"]),
    ("-3/4", ["-3/4"]),
    ("\u22125", ["-5"]),
    ("3-5", ["3", "5"]),
    ("x-5", ["5"]),
    ("10 - 5 = 5", ["10", "5", "5"]),
    ("-$5, $-5 and ¥1,000", ["-5", "-5", "1000"]),
    ("1/0", ["1"]),
    ("3/4/2020", ["3", "4", "2020"]),
    ("1 1/2 cups, ½ and 2½", ["3/2", "1/2", "5/2"]),
    ("1e3 and 1.5e-2 but 3e5x", ["1000", "3/200", "3", "5"]),
    (".5", ["1/2"]),
    ("１，２３４．５", ["1234.5"]),
    (r"\frac{1}{2}, \dfrac12, 1{,}000 and 1\,000", ["1/2", "1/2", "1000", "1000"]),
    ("3.5万 and 2 million and 3亿", ["35000", "2000000", "300000000"]),
    ("三百二十五", ["325"]),
    ("一百零五", ["105"]),
    ("一百五", ["150"]),
    ("十二", ["12"]),
    ("五十", ["50"]),
    ("二〇二六年", ["2026"]),
    ("两万三千零五", ["23005"]),
    ("两万三", ["23000"]),
    ("二十万零三百", ["200300"]),
    ("三亿五千万", ["350000000"]),
    ("一万亿", ["1000000000000"]),
    ("壹佰贰拾叁", ["123"]),
    ("负三点一四", ["-3.14"]),
    ("三分之二", ["2/3"]),
    ("答案是42，一定对", ["42"]),  # numerals are read where there is no digit
    ("", []),
    ("none", []),
    ("1e999999", []),
    ("9" * 5000, []),
])  # fmt: skip
def test_numbers(text, values):
    assert [number.value for number in numbers_in(text)] == [Fraction(value) for value in values]


@pytest.mark.parametrize(("text", "value"), [("50%", "1/2"), ("５０％", "1/2"), (r"50\%", "1/2"), ("5 percent", "1/20"),
                                             ("百分之五十", "1/2"), ("百分之三点五", "7/200")])  # fmt: skip
def test_percent(text, value):
    assert numbers_in(text) == [(Fraction(value), True)]


@given(st.integers(-(10**12), 10**12), st.integers(0, 4))
def test_numbers_that_python_writes_are_read(number, decimals):
    value, written = Fraction(number, 10**decimals), Decimal(number).scaleb(-decimals)
    assert [found.value for found in numbers_in(f"It is {written:,.{decimals}f}.")] == [value]
    assert [found.value for found in numbers_in(f"({written:.{decimals}f})")] == [value]


@given(st.text(st.sampled_from("0123456789.,/-+eE%$ 零一二十百千万亿点分之负{}\\boxedfrac#"), max_size=30))
def test_no_text_is_an_error(text):
    assert all(isinstance(number.value, Fraction) for number in numbers_in(text))
    Numeric().measures([text], ["1"])


def score(predictions, references, **fields):
    return Numeric(**fields).load().compute(predictions=predictions, references=references)["numeric_match"]


@pytest.mark.parametrize(("said", "wanted"), [
    ("She has 3 + 4 = 7 apples.", "7"),
    ("So 12.\n#### 1,234\n\nQuestion: 5?", "He pays 1200 + 34.\n#### 1234"),
    (r"Thus $x = \boxed{\frac{1}{2}}$, after 3 steps.", "0.5"),
    (r"\boxed{7} or rather \boxed{x = 8}", "8"),
    ("50%", "50"),
    ("50%", "0.5"),
    ("0.5", "50%"),
    ("答案是三十二", "32"),
    ("1.234e3", "1,234"),
    ("7", ["six 6", "7"]),
])  # fmt: skip
def test_equal(said, wanted):
    assert score([said], [wanted]) == 100


@pytest.mark.parametrize(("said", "wanted"), [
    ("no idea", "7"), ("7 or 8", "7"), ("0.5%", "50%"), ("-7", "7"), (r"\boxed{seven}, 7", "7"), ("0.333", "1/3"),
])  # fmt: skip
def test_unequal(said, wanted):
    assert score([said], [wanted]) == 0


def test_where_the_answer_is():
    text = r"1 #### 2 and 3, \boxed{4} 5"
    found = {find: int(Numeric(find=find).answer(text).value) for find in ("auto", "last", "first", "boxed", "hashes")}
    assert found == {"auto": 4, "last": 5, "first": 1, "boxed": 4, "hashes": 2}
    assert Numeric(find="boxed").answer("5") is None
    assert Numeric().answer(r"\boxed{12") == (12, False)  # it had no room to close


def test_tolerance_is_relative_to_the_reference():
    assert score(["99", "101", "98.9"], ["100"] * 3, tolerance=0.01) == pytest.approx(200 / 3)
    assert score(["1e-9"], ["0"], tolerance=0.5) == 0


def test_a_reference_without_a_number():
    with pytest.raises(DataError, match="the reference of prediction 1 has no number: seven"):
        score(["1", "7"], ["1", "seven none"[:5]])
    assert Numeric().unusable(["7", "seven"]) == "have a reference without a number"
    assert Numeric().unusable(["7"]) == ""
