from __future__ import annotations

import pytest

from llmkit.data.rows import RowError
from llmkit.data.rows.tags import Tags

ROW = {"words": ["Anna", "lives", "here"], "tags": ["B-PER", "O", "O"]}


def test_words_and_tags_in_order():
    kind = Tags(columns={"words": "tokens", "tags": "ner_tags"})
    assert kind.parse({"tokens": ROW["words"], "ner_tags": [1, 0, 0]}) == {**ROW, "tags": ["1", "0", "0"]}
    assert kind.parse({"tokens": '["Anna", "lives", "here"]', "ner_tags": ROW["tags"]}) == ROW
    assert kind.show(ROW) == [("words", "Anna lives here"), ("tags", "B-PER O O")]
    assert kind.target(ROW) == ROW["tags"]


def test_words_are_joined_by_spaces_in_any_script():
    assert Tags().key_text({"words": ["我", "们", "来了"], "tags": ["O"] * 3}) == "我 们 来了"


def test_a_step_changes_words_one_by_one():
    kind = Tags()
    assert kind.texts(ROW) == {"words.0": "Anna", "words.1": "lives", "words.2": "here"}
    changed = kind.with_texts(ROW, {"words.0": "anna b."})
    assert changed == {"words": ["anna b.", "lives", "here"], "tags": ROW["tags"]}
    with pytest.raises(RowError, match=r"^words\.1 is empty$"):
        kind.with_texts(ROW, {"words.0": "a", "words.1": " ", "words.2": "c"})


@pytest.mark.parametrize(("raw", "reason"), [
    ({"tokens": ["a", "b", "c"], "tags": ["O", "O"]}, "3 words in 'tokens' and 2 tags in 'tags'"),
    ({"tokens": [], "tags": []}, "field 'tokens' is empty"),
    ({"tokens": ["a", ""], "tags": ["O", "O"]}, "tokens.1 is empty"),
    ({"tokens": ["a", 3], "tags": ["O", "O"]}, "tokens.1 is a number, not a string"),
    ({"tokens": ["a"], "tags": [None]}, "tags.0 is null, not a string or an integer"),
    ({"tokens": ["a"], "tags": [0.5]}, "tags.0 is the number 0.5, not a string or an integer"),
    ({"tokens": "a b", "tags": ["O"]}, "field 'tokens' is a string, not an array"),
    ({"tokens": ["a"], "tags": "O"}, "field 'tags' is a string, not an array"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(RowError) as error:
        Tags(columns={"words": "tokens"}).parse(raw)
    assert str(error.value) == reason
