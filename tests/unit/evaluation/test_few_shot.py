"""Examples before questions: chosen, and put as text or turns."""

from __future__ import annotations

import random

import pytest

from llmkit.core.errors import ConfigError, DataError
from llmkit.evaluation.few_shot import Shot, Shots, Spoken, as_text, as_turns
from tiny import byte_tokenizer

SHOTS = [Shot("Q1", "A1"), Shot("Q2", "A2")]


def test_the_first_are_the_same_for_all_but_never_the_question_itself():
    shots = Shots([*"abcd"], 2, "first", 0, shared=True)
    assert [shots.choose(one) for one in "abcd"] == [["b", "c"], ["a", "c"], ["a", "b"], ["a", "b"]]
    shots = Shots([*"abcd"], 2, "first", 0, shared=False)
    assert shots.choose("a") == ["a", "b"]
    assert Shots([*"abcd"], 0, "drawn", 0, shared=True).choose("a") == []


def test_draws_are_those_of_one_generator_over_all_questions():
    pool = list(range(20))
    shots, generator = Shots(pool, 3, "drawn", 1234, shared=True), random.Random(1234)
    for question in pool:
        expected = [one for one in generator.sample(pool, 4) if one != question][:3]
        assert shots.choose(question) == expected
    shots, generator = Shots(pool, 3, "drawn", 7, shared=False), random.Random(7)
    assert [shots.choose(question) for question in pool] == [generator.sample(pool, 3) for _ in pool]


def test_rows_that_equal_the_question_are_drawn_again():
    shots = Shots([*"aaaaab"], 1, "drawn", 0, shared=True)
    assert {shots.choose("a")[0] for _ in range(20)} == {"b"}


def test_too_few_rows_are_said():
    with pytest.raises(ConfigError, match="3 examples are asked for, and the data have 2 beside the question itself"):
        Shots([*"abc"], 3, "first", 0, shared=True)
    with pytest.raises(ConfigError, match=r"tasks.num_shots: 4 examples are asked for, and the data have 3$"):
        Shots([*"abc"], 4, "drawn", 0, shared=False)


def test_examples_are_text_or_turns():
    assert as_text("D\n", SHOTS, "Q3", " ", "\n\n") == "D\nQ1 A1\n\nQ2 A2\n\nQ3"
    user, said = ({"role": role} for role in ("user", "assistant"))
    assert as_turns("D", SHOTS, "Q3") == [
        {"role": "system", "content": "D"},
        {**user, "content": "Q1"}, {**said, "content": "A1"}, {**user, "content": "Q2"}, {**said, "content": "A2"},
        {**user, "content": "Q3"},
    ]  # fmt: skip
    assert as_turns("", SHOTS, "Q3", text=(" ", "\n")) == [{**user, "content": "Q1 A1\nQ2 A2\nQ3"}]


def test_what_stands_between_the_generation_prompt_and_an_answer_is_read():
    turns = [{"role": "user", "content": "Hi"}]
    chatml = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}OPENED{% endif %}{{ m.content }}"
    template = chatml + "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
    assert Spoken(byte_tokenizer(template=template.replace("OPENED", ""))).contexts([turns]) == ["<user>Hi<assistant>"]
    thinking = template.replace("OPENED", "<think></think>")
    assert Spoken(byte_tokenizer(template=thinking)).contexts([turns]) == ["<user>Hi<assistant><think></think>"]
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + template
    found = Spoken(byte_tokenizer(template=refusing)).contexts([[{"role": "system", "content": "x"}], turns])
    assert isinstance(found[0], DataError)
    assert "no system" in found[0].message
    assert found[1] == "<user>Hi<assistant>OPENED"
