"""Where question, choices and answer are: well-known sets, what users say, and rows that cannot be asked about."""

from __future__ import annotations

import pytest

from llmkit.core.errors import ConfigError
from llmkit.tasks._choice_layouts import layout_of
from llmkit.tasks._choice_values import BadRowError

KNOWN = {
    "ARC": (
        {"question": "Hot?", "choices": {"text": ["ice", "fire"], "label": ["1", "2"]}, "answerKey": "2"},
        ("Question: Hot?\nAnswer:", ["ice", "fire"], 1),
    ),
    "OpenBookQA": (
        {"question_stem": "Hot is", "choices": {"text": ["ice", "fire"], "label": ["A", "B"]}, "answerKey": "B"},
        ("Question: Hot is\nAnswer:", ["ice", "fire"], 1),
    ),
    "HellaSwag": (
        {"ctx": "He runs", "endings": ["up", "off", "in", "by"], "label": "3", "activity_label": "x"},
        ("He runs", ["up", "off", "in", "by"], 3),
    ),
    "MMLU": (
        {"question": "2+2?", "choices": ["3", "4", "5", "6"], "answer": 1, "subject": "math"},
        ("Question: 2+2?\nAnswer:", ["3", "4", "5", "6"], 1),
    ),
    "C-Eval": (
        {"question": "一?", "A": "甲", "B": "乙", "C": "丙", "D": "丁", "answer": "C"},
        ("Question: 一?\nAnswer:", ["甲", "乙", "丙", "丁"], 2),
    ),
    "PIQA": (
        {"goal": "Open it", "sol1": "push", "sol2": "pull", "label": 1},
        ("Question: Open it\nAnswer:", ["push", "pull"], 1),
    ),
    "SciQ": (
        {"question": "Hot?", "distractor3": "c", "distractor1": "a", "distractor2": "b", "correct_answer": "fire"},
        ("Question: Hot?\nAnswer:", ["a", "b", "c", "fire"], 3),
    ),
    "BIG-bench, hub": (
        {"inputs": "Q: hot?\nA:", "multiple_choice_targets": ["ice", "fire"], "multiple_choice_scores": [0, 1]},
        ("Q: hot?\nA:", ["ice", "fire"], 1),
    ),
    "BIG-bench, file": (
        {"input": "hot?", "target_scores": {"ice": 0, "fire": 1}},
        ("Question: hot?\nAnswer:", ["ice", "fire"], 1),
    ),
    "letters as keys": (
        {"question": "hot?", "options": {"A": "ice", "B": "fire"}, "answer": "B"},
        ("Question: hot?\nAnswer:", ["ice", "fire"], 1),
    ),
    "a list of choices with labels": (
        {"question": "hot?", "choices": [{"label": "A", "text": "ice"}, {"label": "B", "text": "fire"}], "gold": "A"},
        ("Question: hot?\nAnswer:", ["ice", "fire"], 0),
    ),
}


def layout(row, *, cloze=None, letters=False, **given):
    given = {"prompt": None, "choices": None, "answer": None, **given}
    return layout_of(row, given, cloze=cloze, letters=letters, where="rows.jsonl")


@pytest.mark.parametrize("name", KNOWN)
def test_columns_of_well_known_sets_are_known(name):
    row, (text, choices, gold) = KNOWN[name]
    found = layout(row)
    question = found.read(row)
    assert (question.text, list(question.choices), question.gold) == (text, choices, (gold,))
    assert found.pairs(question) == [(text, choice) for choice in choices]
    assert found.shot(question).answer == choices[gold]


def test_winogrande_scores_what_follows_the_blank():
    row = {"sentence": "Ann likes Bea because _ is kind.", "option1": "Ann", "option2": "Bea", "answer": "2"}
    found = layout(row)
    question = found.read(row)
    assert found.pairs(question) == [
        ("Ann likes Bea because Ann", "is kind."),
        ("Ann likes Bea because Bea", "is kind."),
    ]
    assert question.gold == (1,)
    assert found.shot(question).question == "Ann likes Bea because Bea"
    for sentence, reason in (
        ("no blank", "have not one blank '_' but 0"),
        ("_ and _", "have not one blank '_' but 2"),
        ("at the end _ ", "have nothing behind the blank that could be scored"),
    ):
        with pytest.raises(BadRowError, match=reason):
            found.read({**row, "sentence": sentence})


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (1, (1,)), (1.0, (1,)), ("1", (1,)), ("B", (1,)), ("b", (1,)), (" B ", (1,)), ("fire", (1,)), (True, (1,)),
        (False, (0,)), ([0, 1], (0, 1)), (["fire", "A"], (0, 1)),
        (2, None), (-1, None), ("2", None), ("C", None), ("water", None), ("", None), (None, None), ([], None),
        (0.5, None), ([0, 7], None), (float("nan"), None), ("²", None),
    ],
)  # fmt: skip
def test_an_answer_is_a_number_a_letter_or_a_text(answer, gold):
    row = {"question": "hot?", "choices": ["ice", "fire"], "answer": answer}
    if gold is None:
        with pytest.raises(BadRowError, match="have an answer that is none of the choices"):
            layout(row).read(row)
    else:
        assert layout(row).read(row).gold == gold


def test_a_text_that_is_a_choice_is_that_choice_and_no_number():
    row = {"question": "1+1?", "choices": ["2", "1", "0"], "answer": "2"}
    assert layout(row).read(row).gold == (0,)
    row["answer"] = 2  # a number is a place
    assert layout(row).read(row).gold == (2,)
    row |= {"choices": ["B", "A"], "answer": "A"}
    assert layout(row).read(row).gold == (1,)


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (["ice"], "fewer than two choices"), ([], "fewer than two choices"), (["ice", ""], "an empty choice"),
        (["ice", None], "an empty choice"), ("ice, fire", "choices that are no list"), (3, "choices that are no list"),
    ],
)  # fmt: skip
def test_choices_that_are_none_are_said(choices, reason):
    row = {"question": "hot?", "choices": choices, "answer": 0}
    with pytest.raises(BadRowError, match=f"have {reason}"):
        layout(row).read(row)


def test_what_a_user_says_goes_before_what_the_columns_are_called():
    row = {"question": "hot?", "choices": ["x", "y"], "answer": 0, "yes": "sun", "right": "b", "no": "ice"}
    found = layout(row, prompt="Is it {{ question }}", choices=["no", "{{ yes }}!"], answer="right")
    question = found.read(row)
    assert (question.text, question.choices, question.gold) == ("Is it hot?", ("ice", "sun!"), (1,))
    assert layout(row, answer="{{ 1 }}").read(row).gold == (1,)
    assert layout(row, choices="{{ [no, yes] | tojson }}").read(row).choices == ("ice", "sun")
    # Words that are no columns are choices themselves.
    assert layout(row, choices=["warm", "cold"]).read(row).choices == ("warm", "cold")


def test_letters_are_listed_and_scored():
    row = KNOWN["MMLU"][0]
    found = layout(row, letters=True)
    question = found.read(row)
    assert question.text == "2+2?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    assert found.pairs(question) == [(question.text, letter) for letter in "ABCD"]
    own = layout(row, prompt="{{ question }} Choose:", letters=True).read(row)
    assert own.text == "2+2? Choose:\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    with pytest.raises(BadRowError, match="have more choices than the 26 letters"):
        found.read({**row, "choices": [str(i) for i in range(27)]})


@pytest.mark.parametrize("name", KNOWN)
def test_another_order_moves_choices_and_answer_together(name):
    row, (_, choices, gold) = KNOWN[name]
    found = layout(row, letters=True)
    order = list(reversed(range(len(choices))))
    question = found.read(row, order)
    assert list(question.choices) == choices[::-1]
    assert question.choices[question.gold[0]] == choices[gold]
    assert f"A. {choices[-1]}\n" in question.text


def test_a_prompt_that_lists_the_choices_lists_them_in_their_order():
    row = KNOWN["MMLU"][0]
    listing = layout(row, prompt="{{ question }} {{ choices | join('/') }}")
    assert listing.shows_choices
    assert listing.can_shuffle
    assert listing.read(row, [3, 2, 1, 0]).text == "2+2? 6/5/4/3"
    columns = KNOWN["C-Eval"][0]
    listing = layout(columns, prompt="{{ question }} {{ A }}{{ B }}{{ C }}{{ D }}")
    assert listing.shows_choices
    question = listing.read(columns, [3, 2, 1, 0])
    assert (question.text, question.gold) == ("一? 丁丙乙甲", (1,))
    labelled = KNOWN["ARC"][0]
    listing = layout(labelled, prompt="{{ choices.text[0] }}{{ choices.label[0] }}")
    assert listing.read(labelled, [1, 0]).text == "fire1"  # labels stay where they are
    assert not layout(row).shows_choices
    assert not layout(row, choices="{{ choices | tojson }}").can_shuffle


def test_columns_that_are_not_known_have_to_be_named():
    row = {"stem": "hot?", "a1": "ice", "a2": "fire", "key": 1}
    with pytest.raises(ConfigError) as refused:
        layout(row)
    assert refused.value.message == (
        "tasks.prompt: required, since the columns of rows.jsonl are of no known layout: stem, a1, a2, key"
    )
    with pytest.raises(ConfigError, match=r"^tasks.choices: required"):
        layout(row, prompt="stem", answer="key")
    assert layout(row, prompt="stem", choices=["a1", "a2"], answer="key").read(row).gold == (1,)
    row = KNOWN["MMLU"][0]
    with pytest.raises(ConfigError, match=r"tasks.answer: no column 'anser'; did you mean 'answer'\?"):
        layout(row, answer="anser").read(row)
    with pytest.raises(ConfigError, match=r"tasks.choices: no column 'option'; the columns are question, choices"):
        layout(row, choices="option").read(row)


def test_numbers_from_one_are_noticed():
    rows = [{"question": "q", "choices": ["a", "b"], "answer": number} for number in (1, 2, 1)]
    assert layout(rows[0]).counts_from_one(rows)
    assert not layout(rows[0]).counts_from_one([*rows, {**rows[0], "answer": 0}])
    assert not layout(rows[0]).counts_from_one(rows[::2])  # all 1: nobody knows
    assert not layout(rows[0]).counts_from_one([{**row, "answer": "b"} for row in rows])
