"""What all steps have in common."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps.lowercase import Lowercase
from llmkit.data.corpus import Document


@pytest.mark.parametrize(
    ("only", "language", "concerned"),
    [
        (None, "und", True),
        (["zh"], "zh", True),
        (["zh"], "zh-Hant", True),
        (["zh-Hant"], "zh-Hant", True),
        (["zh-Hant"], "zh", False),
        (["en", "de"], "zh", False),
        (["en"], "eng", True),
        (["zh"], "yue", True),
        (["yue"], "zh", False),
    ],
)
def test_languages_that_a_step_is_for(only, language, concerned):
    assert Lowercase(only_languages=only).concerns(Document("0", "text", "web", language)) is concerned
