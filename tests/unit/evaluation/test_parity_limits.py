"""What an export must hold, by what is left of its weights and the kind of answer."""

from __future__ import annotations

import pytest

from llmkit.evaluation.limits import Limits


@pytest.mark.parametrize(("form", "answer", "expected"), [
    ("float32", "tokens", {"difference": 2e-4, "exact": True}),
    ("bfloat16", "tokens", {"difference": 0.4}),
    ("float16", "vector", {"difference": 0.1}),
    ("8-bit", "tokens", {"top1": 0.98, "graph": 2.0}),
    ("8-bit", "token_labels", {"top1": 0.98, "graph": 2.0}),
    ("8-bit", "vector", {"cosine": 0.99, "graph": 2.0}),
    ("8-bit", "number", {"difference": 0.2, "graph": 2.0}),
    ("4-bit", "tokens", {"bits": 0.05, "graph": 2.0}),
    ("4-bit", "label", {"top1": 0.9, "graph": 2.0}),
    ("4-bit", "vector", {"cosine": 0.95, "graph": 2.0}),
])  # fmt: skip
def test_limits_by_form_and_answer(form, answer, expected):
    assert Limits.of(form, answer, 2.0).facts() == pytest.approx(expected)
