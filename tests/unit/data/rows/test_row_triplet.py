from __future__ import annotations

import pytest

from llmkit.core.errors import ConfigError
from llmkit.data.rows import RowError, recognize
from llmkit.data.rows.triplet import Triplet

KINDS = ("triplet", "text_pair")


def read(*rows, kinds=KINDS, **columns):
    kind = recognize(kinds, list(rows[0]), rows, columns)
    return kind, [kind.parse(row) for row in rows]


@pytest.mark.parametrize(("raw", "query", "positive", "negatives"), [
    ({"anchor": "a", "positive": "b"}, "a", "b", []),
    ({"anchor": "a", "positive": "b", "negative": "c"}, "a", "b", ["c"]),
    ({"query": "a", "positive": "b", "negative_10": "e", "negative_2": "d", "negative_1": "c"}, "a", "b",
     ["c", "d", "e"]),
    ({"query": "a", "pos": ["b"], "neg": ["c", "d"]}, "a", "b", ["c", "d"]),
    ({"question": "a", "answer": "b"}, "a", "b", []),
    ({"question": "a", "passage": "b", "hard_negatives": '["c", "d"]'}, "a", "b", ["c", "d"]),
    ({"sentence1": "a", "sentence2": "b"}, "a", "b", []),
    ({"title": "a", "abstract": "b"}, "a", "b", []),
    ({"query": "a", "positive": "b", "negative_1": "c", "negative_2": None}, "a", "b", ["c"]),
    ({"query": "a", "positive": "b", "negative": "[1] as it says"}, "a", "b", ["[1] as it says"]),
])  # fmt: skip
def test_names_that_data_sets_have(raw, query, positive, negatives):
    kind, (row,) = read(raw)
    assert isinstance(kind, Triplet)
    assert row == {"query": query, "positive": positive, "negatives": negatives}


def test_a_pair_with_a_score_or_a_label_is_another_kind():
    scored, (row,) = read({"sentence1": "a", "sentence2": "b", "score": 0.5})
    assert (scored.type_name, row["label"]) == ("text_pair", 0.5)
    assert read({"question": "a", "passage": "b", "label": "yes"})[0].type_name == "text_pair"


def test_a_question_with_its_answer_is_a_conversation_unless_pairs_are_asked_for():
    raw = {"question": "a", "answer": "b"}
    assert recognize(None, list(raw), [raw]).type_name == "prompt_completion"
    assert recognize(KINDS, list(raw), [raw]).type_name == "triplet"


def test_it_says_what_it_reads():
    kind, _ = read({"anchor": "a", "positive": "b", "negative_1": "c", "negative_2": "d"})
    assert kind.describe() == "triplet (query from 'anchor', positive, negatives from 'negative_1', 'negative_2')"
    assert read({"query": "a", "positive": "b"})[0].describe() == "triplet (query, positive)"
    assert kind.kept().describe() == "triplet (query, positive)"
    assert kind.used() == ["anchor", "positive", "negative_1", "negative_2"]


@pytest.mark.parametrize(("raw", "reason"), [
    ({"query": "a", "positive": " "}, "field 'positive' is empty"),
    ({"query": "a", "positive": ["b", "c"]}, "field 'positive' holds 2 texts, and one belongs: write a row for each"),
    ({"query": "a", "positive": "b", "negatives": ["c", ""]}, "field 'negatives'[1] is empty"),
    ({"query": "a", "positive": "b", "negatives": ["c", 3]}, "field 'negatives'[1] is a number, not a string"),
    ({"query": "a"}, "no field 'positive'"),
])  # fmt: skip
def test_what_is_no_row_says_why(raw, reason):
    with pytest.raises(RowError) as error:
        Triplet().parse(raw)
    assert reason in str(error.value)


def test_a_pair_with_other_negatives_is_a_copy():
    row = Triplet().parse({"query": "a", "positive": "b", "negatives": ["c", "d"]})
    assert Triplet().key_text(row) == "a\nb"
    assert Triplet().texts(row) == {"query": "a", "positive": "b", "negatives.0": "c", "negatives.1": "d"}
    changed = Triplet().with_texts(row, {"positive": "B", "negatives.1": "D"})
    assert changed == {"query": "a", "positive": "B", "negatives": ["c", "D"]}


def test_two_columns_that_may_be_the_query_are_refused():
    with pytest.raises(ConfigError, match="query may be 'anchor' or 'question'"):
        read({"anchor": "a", "question": "b", "positive": "c"})
