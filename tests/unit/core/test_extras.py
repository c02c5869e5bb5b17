import sys

import pytest

from llmkit.core import extras
from llmkit.core.doctor import examine
from llmkit.core.errors import SetupError

ABSENT = "surely_not_installed"


@pytest.fixture(autouse=True)
def toy_extras(monkeypatch):
    monkeypatch.setattr(extras, "EXTRAS", {"whole": ("json", "csv"), "half": ("json", ABSENT), "none": (ABSENT,)})


def test_require_imports_the_named_module_or_the_first():
    assert extras.require("whole") is sys.modules["json"]
    assert extras.require("whole", "csv") is sys.modules["csv"]
    assert extras.require("half", "json") is sys.modules["json"]


def test_require_names_the_pip_line():
    with pytest.raises(SetupError, match="'half' extra") as caught:
        extras.require("half", ABSENT)
    assert caught.value.hint == 'pip install "llmkit[half]"'
    assert caught.value.exit_code == 4


def test_require_refuses_a_module_that_the_extra_does_not_bring():
    with pytest.raises(AssertionError, match="does not bring csv"):
        extras.require("half", "csv")


def test_an_extra_is_missing_when_one_of_its_modules_is():
    assert extras.missing() == {"half": 'pip install "llmkit[half]"', "none": 'pip install "llmkit[none]"'}


def test_doctor_says_which_extras_are_there(monkeypatch):
    monkeypatch.setattr("llmkit.core.doctor.EXTRAS", extras.EXTRAS)
    assert examine()["extras"] == {
        "whole": "installed",
        "half": 'pip install "llmkit[half]"',
        "none": 'pip install "llmkit[none]"',
    }
