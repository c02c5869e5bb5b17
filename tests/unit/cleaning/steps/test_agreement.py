"""The rules decide as datatrove's filters do, on prose of Python's own documentation."""

from __future__ import annotations

import importlib.util
import itertools
import re
import sys
import warnings
import zlib
from pathlib import Path
from types import ModuleType

import pytest

from llmkit.data.sources import Record
from llmkit.data.sources.python_docs import PythonDocs

SCRIPT = Path(__file__).parents[4] / "benchmarks" / "agreement.py"


@pytest.fixture(scope="module")
def agreement() -> ModuleType:
    spec = importlib.util.spec_from_file_location("agreement", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["agreement"] = module  # dataclasses look their module up
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # their imports' own
        spec.loader.exec_module(module)
    yield module
    del sys.modules["agreement"]


def documents() -> list[str]:
    """Prose of many lengths: 1 to 16 explanations of a sentence each; every seventh has all twice."""
    source = PythonDocs(form="pairs", include=["docstrings"])
    records = (record for file in source.files() for record in source.read(file))
    answers = (record.fields["messages"][1]["content"] for record in records if isinstance(record, Record))
    prose = (answer for answer in answers if re.fullmatch(r"[A-Z][A-Za-z ,;-]+\.", answer))
    # Neighbours in a module differ by a word and lie at the thresholds, where upper and lower case (theirs) decides.
    prose = iter(sorted(prose, key=lambda answer: zlib.crc32(answer.encode())))
    found = []
    for number in range(160):
        parts = list(itertools.islice(prose, 1 + number % 16))
        if number % 7 == 0:
            parts += parts  # far from every threshold
        found.append("\n\n".join(parts))
    return [text for text in found if text]


def test_every_rule_agrees_on_99_percent(agreement: ModuleType) -> None:
    texts = documents()
    assert len(texts) == 160
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        result = agreement.compare(agreement.rules(), texts)
    assert {rule: row["apart"] for rule, row in result.items() if len(row["apart"]) > 0.01 * len(texts)} == {}
    # Agreement means something where both keep some and drop some.
    judged = [rule for rule, row in result.items() if 0 < row["theirs"] < len(texts)]
    assert len(judged) >= 8, judged
