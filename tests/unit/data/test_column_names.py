from __future__ import annotations

import pytest

from llmkit.data.column_names import listed, nearest_column, quoted
from llmkit.data.rows import RowError
from llmkit.data.rows._values import value_of

CARD = "4111 1111 1111 1111"  # the issuers' number for tests


def test_names_are_listed_up_to_twelve():
    assert listed(["text", "label"]) == "text, label"
    assert listed(f"c{i}" for i in range(14)) == "c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11"
    assert listed([]) == "nothing"
    assert listed([], none="(none)") == "(none)"


def test_beside_personal_data_no_name_is_listed():
    shown = listed(["Wang Wei", "wang@example.com", CARD])
    assert shown == "(3 not named here, since they hold <EMAIL> and <CARD>: has the table no header?)"
    assert "Wang" not in listed([*(f"c{i}" for i in range(20)), "wang@example.com"])  # nor if it is not among the first


@pytest.mark.parametrize("name", ["+8613800001111", "(212) 555-0123", "host 10.1.2.3", "11010519491231002X"])
def test_numbers_of_people_are_no_names(name):
    assert listed(["text", name]).startswith("(2 not named here, since they hold <")


@pytest.mark.parametrize("name", ["2024-01-31", "20240131", "col_123456", "v1.2.3", "第1列", "user_id", "a@b"])
def test_dates_and_short_numbers_are_names(name):
    assert listed(["text", name]) == f"text, {name}"


def test_a_text_in_the_place_of_a_name_is_not_listed():
    assert listed(["a" * 65]) == "(1 not named here, since they hold whole texts: has the table no header?)"


def test_single_names_are_redacted_and_cut():
    assert quoted("mail of wang@example.com") == "'mail of <EMAIL>'"
    assert quoted("x" * 80) == f"'{'x' * 64}...'"
    assert quoted(["wang@example.com"]) == "['<EMAIL>']"
    assert nearest_column("text", ["tekst", "wang@example.com"]) == "; did you mean 'tekst'?"
    assert "wang" not in nearest_column("q", ["a", "wang@example.com"])


def test_a_row_without_the_field_names_no_person():
    with pytest.raises(RowError) as failure:
        value_of({"Wang Wei": 1, "wang@example.com": 2}, "text")
    assert str(failure.value) == (
        "no field 'text'; the row has: (2 not named here, since they hold <EMAIL>: has the table no header?)"
    )


def test_names_cost_linear_time():
    assert listed(["1" * 10**6, "1 " * 10**5]).startswith("(2 not")
