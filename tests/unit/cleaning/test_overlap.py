"""Overlap of items with other texts, against sets of n-grams made by Python."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.cleaning.features import Features
from llmkit.cleaning.overlap import MAX_ITEMS, Items

WORDS = [f"word{i}" for i in range(13)]


def shares(items, texts):
    made = Items.of(items)
    for text in texts:
        made.look_in(Features(text).word_hashes)
    return made.shares()


def words(start, count):
    return " ".join(f"w{i}" for i in range(start, start + count))


def test_shares_worked_out_by_hand():
    # 20 words are 8 n-grams of 13; the text holds the first 15 words, 3 of them.
    assert shares([[words(0, 20)]], [f"before {words(0, 15)} after"]) == [3 / 8]
    assert shares([[words(0, 20)]], [words(0, 12), words(13, 12)]) == [0]
    assert shares([[words(0, 20)]], ["W0, " + words(1, 19).upper() + "!"]) == [1], "case and punctuation are nothing"


def test_short_items_must_occur_as_a_whole():
    item = words(0, 9)
    assert shares([[item], [words(0, 8)], [words(0, 7)]], [words(0, 9)]) == [1, 1, None]
    assert shares([[item]], [words(0, 8)]) == [0]


def test_texts_of_an_item_that_are_short_each_count_as_one():
    assert shares([[words(0, 5), words(5, 5)]], [words(0, 10)]) == [1]
    assert shares([[words(0, 5), words(5, 5)]], [words(5, 5) + " " + words(0, 5)]) == [0]


def test_a_choice_of_many_words_counts_beside_the_question():
    item = [words(0, 13), "yes", words(100, 14)]
    assert shares([item], [words(100, 14)]) == [2 / 3]


def test_chinese_is_cut_into_characters():
    text = "今天天气很好我们一起去公园看花吧明天再来一次"
    assert len(text) == 22
    assert shares([[text]], [f"他说：{text[:20]}。"]) == [1 / 3]
    assert shares([[text[:11]], [text[:12]]], [text]) == [None, 1]


def test_phrases_of_many_items_are_no_content():
    same = "choose the correct answer from the four that are given below and say why it is"
    items = [[f"{same} {words(100 * i, 13)}"] for i in range(MAX_ITEMS + 1)]
    assert shares(items, [same]) == [0.0] * len(items)
    assert shares(items[:-1], [same]) != [0.0] * MAX_ITEMS
    assert shares(items, [words(0, 13)])[0] > 0
    assert shares([[same]] * (MAX_ITEMS + 1), [same]) == [None] * (MAX_ITEMS + 1)


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.sampled_from(WORDS), min_size=13, max_size=20), min_size=1, max_size=6),
    st.lists(st.lists(st.sampled_from([*WORDS[:3], "x"]), max_size=30), max_size=4),
    st.integers(0, 5),
)
def test_shares_are_those_of_sets_of_n_grams(items, texts, copied):
    texts = [*texts, items[copied % len(items)][:14]]

    def grams(tokens):
        return {tuple(tokens[i : i + 13]) for i in range(len(tokens) - 12)}

    seen = set().union(*map(grams, texts))
    expected = [len(grams(item) & seen) / len(grams(item)) for item in items]
    assert shares([[" ".join(item)] for item in items], [" ".join(text) for text in texts]) == expected


def test_equal_items_have_one_digest():
    a, b = [[words(0, 20)], [words(50, 9)]], [[words(0, 20)], [words(51, 9)]]
    assert Items.of(a).digest == Items.of(list(reversed(a))).digest != Items.of(b).digest
    assert Items.of([]).shares() == []
