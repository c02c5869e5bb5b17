from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelled import KINDS, MAKERS, TEXTS, kind_of, write_examples
from llmkit.cleaning.features import Features
from llmkit.cleaning.grams import Orders, Table, build_index, look_up
from llmkit.cleaning.kernels import gram_hashes
from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.decontaminate import FIELDS, Decontaminate, read_examples
from llmkit.core.errors import ConfigError, DataError
from llmkit.data.corpus import Document

QUESTION = "A ship leaves the harbour at nine with forty barrels of oil; how many barrels are left at noon?"  # 19 words
CHINESE = "小船早上九点离开港口，船上装着四十桶油，请问中午的时候还剩下多少桶油没有卖出去？"  # 37 characters
SHORT = "Why does the red kettle sing so loudly?"  # 8 words
FILLER = "The weather was mild that day and nobody thought of numbers at all. "


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def check(step: Decontaminate, text: str) -> Drop | None:
    return step.apply(Document("0", text, "test"))


@pytest.fixture
def quiz(tmp_path):
    rows = ({"question": QUESTION, "choices": ["ten", "twelve"]}, {"question": CHINESE}, {"question": SHORT})
    return Decontaminate(sets=[write(tmp_path / "quiz.jsonl", *rows)])


def test_a_copied_question_drops_the_document_with_set_and_overlap(quiz):
    # 13 words of filler, 19 of the question, 13 of filler: 45 - 13 + 1 n-grams, 19 - 13 + 1 of them in the question.
    assert check(quiz, FILLER + QUESTION + " " + FILLER) == Drop(
        "decontaminate.ngrams", "quiz.jsonl: 7 of 33 13-grams", 1
    )


def test_case_punctuation_and_line_breaks_do_not_hide_a_question(quiz):
    hidden = QUESTION.upper().replace(";", "...").replace(" ", "\n")
    assert check(quiz, hidden) == Drop("decontaminate.ngrams", "quiz.jsonl: 7 of 7 13-grams", 1)


def test_thirteen_words_are_found_and_twelve_are_not(quiz):
    words = QUESTION.split()
    assert check(quiz, FILLER + " ".join(words[3:16]) + " " + FILLER).value == "quiz.jsonl: 1 of 27 13-grams"
    assert check(quiz, FILLER + " ".join(words[3:15]) + " " + FILLER) is None


def test_chinese_is_found_by_twenty_characters_and_not_by_nineteen(quiz):
    characters = CHINESE.replace("，", "").replace("？", "")
    assert check(quiz, "从前有人问道：" + CHINESE + "没有人知道。").value == "quiz.jsonl: 18 of 29 20-grams"
    assert check(quiz, "问" + characters[5:25] + "答").value == "quiz.jsonl: 1 of 3 20-grams"
    assert check(quiz, "问" + characters[5:24] + "答") is None


def test_a_short_question_has_to_occur_as_a_whole(quiz):
    assert check(quiz, FILLER + SHORT) == Drop("decontaminate.example", "quiz.jsonl: an example of 8 words", 1)
    assert check(quiz, FILLER + SHORT.replace("loudly", "softly")) is None
    assert check(quiz, "Why does the red kettle sing so") is None


def test_a_short_text_that_begins_like_another_is_told_apart(tmp_path):
    rows = ({"text": SHORT.replace("?", " in the morning")}, {"text": SHORT.replace("?", " at night")})
    step = Decontaminate(sets=[write(tmp_path / "s.jsonl", *rows)])
    assert check(step, f"{FILLER} {SHORT}") is None
    assert check(step, "Why does the red kettle sing so loudly at night").value == "s.jsonl: an example of 10 words"


def test_choices_too_short_to_tell_are_left_out(quiz):
    assert check(quiz, "ten twelve ten twelve") is None


def test_short_texts_of_one_example_are_taken_as_one(tmp_path):
    step = Decontaminate(
        sets=[write(tmp_path / "s.jsonl", {"question": "Which animal barks?", "choices": ["the old cat", "a dog"]})]
    )
    assert check(step, "which animal barks - the old cat, a dog").rule == "decontaminate.example"
    assert check(step, "Which animal barks? Nobody knew.") is None


def test_min_ngrams_and_min_fraction(quiz):
    path = quiz.sets
    text = FILLER + QUESTION + " " + FILLER  # 7 of 33
    assert check(Decontaminate(sets=path, min_ngrams=7), text).threshold == 7
    assert check(Decontaminate(sets=path, min_ngrams=8), text) is None
    assert check(Decontaminate(sets=path, min_fraction=0.2), text).threshold == "1 and 20%"
    assert check(Decontaminate(sets=path, min_fraction=0.22), text) is None


def test_the_set_with_most_overlap_is_named(tmp_path):
    words = QUESTION.split()
    part = write(tmp_path / "part.jsonl", {"text": " ".join(words[:14])})
    other = write(tmp_path / "other.jsonl", {"text": " ".join(words[2:])})
    step = Decontaminate(sets=[part, other])
    # The set named first owns the two n-grams of its own; one of them is not in the other set.
    assert check(step, QUESTION).value == "other.jsonl: 5 of 7 13-grams"
    assert check(step, " ".join(words[:14])).value == "part.jsonl: 2 of 2 13-grams"


def test_phrases_of_a_set_are_no_content(tmp_path):
    phrase = "choose the one correct answer from the list of four options that follows this line"  # 15 words
    rows = [{"text": f"{phrase} {' '.join(f'word{i}x{k}' for k in range(14))}"} for i in range(11)]
    step = Decontaminate(sets=[write(tmp_path / "s.jsonl", *rows)])
    assert check(step, phrase) is None
    assert check(Decontaminate(sets=step.sets, max_examples=11), phrase).value == "s.jsonl: 3 of 3 13-grams"
    # One passage under many questions is one text, not a phrase.
    step = Decontaminate(
        sets=[write(tmp_path / "p.jsonl", *[{"context": QUESTION, "question": f"{i}?"} for i in range(20)])]
    )
    assert check(step, QUESTION).value == "p.jsonl: 7 of 7 13-grams"


def test_rows_of_mixed_columns_are_all_read(tmp_path):
    conversation = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "Forty."}]
    path = write(
        tmp_path / "s.jsonl",
        {"text": CHINESE},
        {"question": SHORT, "options": {"a": "one"}},
        {"messages": conversation},
    )
    assert sorted(read_examples(path, FIELDS)) == sorted([[CHINESE], [SHORT, "one"], [f"{QUESTION}\nForty."]])


@pytest.mark.parametrize("name", KINDS)
def test_labelled_rows_are_evaluation_sets_too(tmp_path, name):
    kind = kind_of(name)
    row = kind.parse(MAKERS[name](TEXTS[0]))
    path = write_examples(tmp_path / "set", kind, [row])
    assert next(read_examples(str(path), FIELDS))[0] == kind.key_text(row)
    assert check(Decontaminate(sets=[str(path)]), TEXTS[0]) is not None


def test_parquet_and_directories_are_read(tmp_path):
    (tmp_path / "sets").mkdir()
    pq.write_table(pa.table({"problem": [QUESTION], "level": [3]}), tmp_path / "sets" / "a.parquet")
    write(tmp_path / "sets" / "b.jsonl", {"text": CHINESE})
    step = Decontaminate(sets=[str(tmp_path / "sets")])
    assert check(step, QUESTION).value == "sets: 7 of 7 13-grams"
    assert check(step, CHINESE).rule == "decontaminate.ngrams"
    assert [path.name for path in step.reads()] == ["a.parquet", "b.jsonl"]


def test_rows_that_cannot_be_checked_are_an_error(tmp_path):
    path = write(tmp_path / "s.jsonl", {"text": QUESTION}, {"frage": QUESTION})
    with pytest.raises(DataError, match=r"s\.jsonl: row 2: .*frage") as error:
        check(Decontaminate(sets=[path]), "text")
    assert "fields" in error.value.hint
    assert check(Decontaminate(sets=[path], fields=["text", "frage"]), QUESTION) is not None


def test_missing_sets_are_an_error():
    with pytest.raises(DataError, match=r"no such file.*nowhere\.jsonl"):
        Decontaminate(sets=["nowhere.jsonl"]).reads()
    with pytest.raises(ConfigError, match="no evaluation set"):
        Decontaminate().reads()


def test_sets_are_identified_by_content_and_not_by_place(quiz):
    assert "sets" not in quiz.spec(identity=True)
    assert quiz.spec(identity=True)["ngram"] == 13
    assert quiz.reads() == [Path(quiz.sets[0])]


def test_a_changed_file_is_read_again(tmp_path):
    path = write(tmp_path / "s.jsonl", {"text": QUESTION})
    assert check(Decontaminate(sets=[path]), CHINESE) is None
    write(tmp_path / "s.jsonl", {"text": QUESTION}, {"text": CHINESE})
    assert check(Decontaminate(sets=[path]), CHINESE) is not None


def test_a_step_travels_without_its_index(quiz):
    check(quiz, QUESTION)
    sent = pickle.dumps(quiz)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert again == quiz
    assert check(again, QUESTION) == check(quiz, QUESTION)


@pytest.mark.parametrize("text", ["", "\0", "？", "a" * 100_000, "一" * 100_000, "\ud800"])
def test_any_text_is_survived(quiz, text):
    assert check(quiz, text) is None


HASHES = st.lists(st.integers(0, 3), max_size=40).map(lambda values: np.array(values, np.uint64))


@settings(deadline=None)
@given(HASHES, HASHES, st.integers(1, 4))
def test_look_up_agrees_with_sets_of_tuples(text, reference, order):
    def windows(values):
        return [tuple(values[i : i + order].tolist()) for i in range(len(values) - order + 1)]

    grams = gram_hashes(reference, order)
    table = Table.build(order, grams, np.zeros(len(grams), np.int32), max_examples=10**6)
    positions, members = look_up(text, order, table.bits, table.grams)
    wanted = set(windows(reference))
    assert positions.tolist() == [i for i, window in enumerate(windows(text)) if window in wanted]
    assert table.grams[members].tolist() == gram_hashes(text, order)[positions].tolist()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("甲乙丙丁"), min_size=1, max_size=30),
    st.text("甲乙 x", max_size=20),
    st.text("丙丁, y", max_size=20),
)
def test_a_text_long_enough_is_found_wherever_it_stands(characters, before, after):
    text = "".join(characters)
    index = build_index([(0, [text])], words=Orders(3, 2), characters=Orders(5, 2), max_examples=10**6)
    hits = list(index.search(Features(f"{before} {text} {after}").word_hashes))
    assert bool(hits) == (len(text) >= 2)
    assert all(hit.owner == 0 and hit.whole == (len(text) < 5) for hit in hits)
