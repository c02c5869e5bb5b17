"""What a text is found by."""

from __future__ import annotations

import pytest

from llmkit.core.errors import SetupError
from llmkit.retrieval import terms as module
from llmkit.retrieval.terms import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat's 2 hats, RUNNING", ["the", "cat", "s", "2", "hat", "run"]),
        ("Ｗｉｄｅ １２ Straße", ["wide", "12", "strass"]),
        ("résumés naïve", ["résumé", "naïv"]),
        ("曹操字孟德", [*"曹操字孟德", "曹操", "操字", "字孟", "孟德"]),
        ("用Python写程序", ["用", "python", *"写程序", "写程", "程序"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี", "สวั", "วัส", "สดี"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("... !", []),
    ],
)
def test_by_hand(text, expected):
    assert terms(text) == expected


def test_what_stems_is_asked_for_by_name(monkeypatch):
    def absent(name, *_):
        raise ImportError(name)

    module._stemmer.cache_clear()
    monkeypatch.setattr("importlib.import_module", absent)
    with pytest.raises(SetupError, match="'retrieval' extra") as error:
        terms("a word")
    assert error.value.hint == 'pip install "llmkit[retrieval]"'
