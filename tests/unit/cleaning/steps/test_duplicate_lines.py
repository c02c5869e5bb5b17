from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps.duplicate_lines import DuplicateLines
from llmkit.cleaning.survey import Verdict
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document
from llmkit.work.engine import Engine


def survey_of(step, documents, folder):
    """Record the documents as one task, decide, and return the verdicts by row."""
    import numpy as np

    from llmkit.cleaning.exchange import save_array
    from llmkit.cleaning.survey import Survey

    survey = Survey(folder / "step", folder / "ids", 1, 2)
    recorder = step.recorder()
    for row, document in enumerate(documents):
        if step.concerns(document):
            recorder.add(row, document)
    survey.record(0, recorder.tables())
    ids = np.frombuffer(b"".join(bytes.fromhex(d.id) for d in documents), np.uint8).reshape(-1, 16)
    survey.ids.mkdir(parents=True)
    save_array(survey.ids_path(0), ids)
    counts = step.decide(survey, Engine(workers=1))
    return counts, survey.verdicts_by_row(0)


def cleaned(step, texts, folder):
    """Texts after the step, None where a document fell; ids ascend with the position."""
    documents = [Document(f"{i:032x}", text, "s") for i, text in enumerate(texts)]
    _, verdicts = survey_of(step, documents, folder)
    result = []
    for row, document in enumerate(documents):
        drop = step.act(document, verdicts[row]) if row in verdicts else None
        result.append(document.text if drop is None else None)
    return result


def cut(text, positions, unit="line"):
    """What `act` leaves of a text without some of its lines or paragraphs."""
    document = Document("0" * 32, text, "s")
    step = DuplicateLines(unit=unit, max_removed=None)
    drop = step.act(document, [Verdict(position, "", 0.0) for position in positions])
    return drop.rule if drop else document.text


FOOTER = "Copyright by the editors of the Daily Example, all rights reserved."
ZH_FOOTER = "版权所有，未经许可不得转载，违者必究。" * 3


def test_the_first_copy_of_a_paragraph_stays(tmp_path):
    texts = [f"One story.\n\n{FOOTER}", f"Another story.\n\n{FOOTER}\n\nIts end.", "Third, with nothing in common."]
    assert cleaned(DuplicateLines(max_removed=None), texts, tmp_path) == [
        texts[0],
        "Another story.\n\nIts end.",
        texts[2],
    ]


def test_chinese(tmp_path):
    texts = [f"第一个故事。\n\n{ZH_FOOTER}", f"　　第二个故事。\n\n{ZH_FOOTER}\n\n　　完了。"]
    assert cleaned(DuplicateLines(max_removed=None), texts, tmp_path) == [
        texts[0],
        "　　第二个故事。\n\n　　完了。",
    ]


def test_a_copy_within_one_document(tmp_path):
    assert cleaned(DuplicateLines(unit="line"), [f"{FOOTER}\nnew\n{FOOTER}\nend"], tmp_path) == [f"{FOOTER}\nnew\nend"]


def test_the_smallest_id_keeps_its_line_wherever_it_stands(tmp_path):
    documents = [Document("f" * 32, f"late\n{FOOTER}", "s"), Document("0" * 32, f"early\n{FOOTER}", "s")]
    counts, verdicts = survey_of(DuplicateLines(unit="line"), documents, tmp_path)
    assert counts == {"lines with copies": 1}
    assert verdicts == {0: [Verdict(1, "0" * 32, 0.0)]}


def test_paragraphs_differ_in_case_but_not_in_the_whitespace_around(tmp_path):
    texts = [f"a\n\n{FOOTER}", f"b\n\n  {FOOTER} \n\nc", f"d\n\n{FOOTER.upper()}"]
    assert cleaned(DuplicateLines(max_removed=None), texts, tmp_path) == [texts[0], "b\n\nc", texts[2]]


def test_short_lines_stay(tmp_path):
    texts = ["}\nYes.\n" + "x" * 39, "}\nYes.\n" + "x" * 39]
    assert cleaned(DuplicateLines(unit="line"), texts, tmp_path) == texts
    longer = [text + "x" for text in texts]
    assert cleaned(DuplicateLines(unit="line", max_removed=None), longer, tmp_path / "2") == [longer[0], "}\nYes."]


def test_a_document_of_copies_falls(tmp_path):
    # 67 of 75 characters are a copy, 67 of 100 in the third.
    texts = [FOOTER + "\nfirst", FOOTER + "\n" + "y" * 7, FOOTER + "\n" + "z" * 32]
    assert len(FOOTER) == 67
    assert cleaned(DuplicateLines(unit="line", max_removed=0.8), texts, tmp_path) == [texts[0], None, "z" * 32]
    document = Document("1" * 32, texts[1], "s")
    drop = DuplicateLines(unit="line").act(document, [Verdict(0, "0" * 32, 0.0)])
    assert (drop.rule, drop.value, drop.threshold) == ("duplicate_lines.max_removed", 67 / 75, 0.8)
    assert document.counts == {"lines removed": 1}


def test_nothing_left(tmp_path):
    assert cut(FOOTER, [0]) == "duplicate_lines.nothing_left"
    assert cut("  a\n\n b ", [0, 1]) == "duplicate_lines.nothing_left"


def test_labelled_rows_are_left_alone(tmp_path):
    messages = [{"role": "user", "content": FOOTER}, {"role": "assistant", "content": FOOTER}]
    documents = [
        Document(f"{i:032x}", f"{FOOTER}\n{FOOTER}", "s", row={"messages": messages}, kind=CONVERSATION)
        for i in range(2)
    ]
    assert survey_of(DuplicateLines(unit="line"), documents, tmp_path) == ({"lines with copies": 0}, {})


@pytest.mark.parametrize(("text", "positions", "left"), [
    ("a\nb\nc", [1], "a\nc"),
    ("a\nb\nc", [0], "b\nc"),
    ("a\nb\nc", [2], "a\nb"),
    ("a\nb\nc\nd", [1, 2], "a\nd"),
    ("a\nb\nc\nd\ne", [1, 3], "a\nc\ne"),
    ("a\nb\nc", [0, 1], "c"),
    ("a\n\nb\nc", [1], "a\n\nc"),  # the blank line stays a border
    ("a\nb\n\nc", [1], "a\n\nc"),
    ("a\n\nb\n\nc", [1], "a\n\nc"),  # two become one
    ("if x:\n    y\n    z\nend", [1], "if x:\n    z\nend"),
    ("a\n b  \n\tc", [1], "a\n\tc"),
    ("a  \nb\nc", [1], "a  \nc"),  # blanks at the end of a line that stays
    ("  a\nb\n  c\n", [1], "  a\n  c\n"),  # beginning and end as they were
    ("a\n  b", [0], "  b"),
    ("a\r\nb\r\nc", [1], "a\r\nc"),
    ("甲\n　　乙\n　　丙", [1], "甲\n　　丙"),
])  # fmt: skip
def test_what_stands_around_a_cut_line_stays(text, positions, left):
    assert cut(text, positions) == left


@pytest.mark.parametrize(("text", "positions", "left"), [
    ("a\na\n\nb\n\nc", [1], "a\na\n\nc"),
    ("a\n\nb\n\n\n  c\nd", [1], "a\n\n\n  c\nd"),
    ("a\n \t\nb\n\nc", [1], "a\n \t\nc"),
    ("a\n\nb", [1], "a"),
    ("a\n\nb", [0], "b"),
])  # fmt: skip
def test_what_stands_around_a_cut_paragraph_stays(text, positions, left):
    assert cut(text, positions, "paragraph") == left


@given(st.lists(st.text("ab \t中", max_size=5), max_size=8), st.data())
def test_the_lines_that_stay_are_the_ones_not_cut(lines, data):
    text = "\n".join(lines)
    filled = [line.strip() for line in lines if line.strip()]
    positions = sorted(data.draw(st.sets(st.integers(0, len(filled) - 1)))) if filled else []
    if not positions:
        return
    stay = [line for i, line in enumerate(filled) if i not in positions]
    left = cut(text, positions)
    if stay:
        assert [line.strip() for line in left.split("\n") if line.strip()] == stay
    else:
        assert left == "duplicate_lines.nothing_left"
