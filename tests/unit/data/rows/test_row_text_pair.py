from __future__ import annotations

import pytest

from llmkit.data.rows import RowError
from llmkit.data.rows.text_pair import TextPair


def test_both_texts_stand_for_the_row():
    raw = {"sentence1": "It rains.", "sentence2": "The street is wet.", "similarity": 3.5}
    kind = TextPair().recognize(list(raw), [raw])
    row = kind.parse(raw)
    assert row == {"text": "It rains.", "pair": "The street is wet.", "label": 3.5}
    assert kind.key_text(row) == "It rains.\nThe street is wet."
    assert kind.texts(row) == {"text": "It rains.", "pair": "The street is wet."}
    assert kind.show(row) == [("text", "It rains."), ("pair", "The street is wet."), ("label", "3.5")]


def test_the_label_is_required():
    with pytest.raises(RowError, match="no field 'label'; the row has: text, pair"):
        TextPair().parse({"text": "a", "pair": "b"})
    with pytest.raises(RowError, match="field 'pair' is empty"):
        TextPair().parse({"text": "a", "pair": "", "label": "c"})
