from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.exchange import save_array
from llmkit.cleaning.steps import exact_duplicates
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.survey import Survey
from llmkit.data.corpus import Document
from llmkit.data.rows.text_label import TextLabel
from llmkit.work.engine import Engine


def decided(step, tasks, folder, num_buckets=3, key=lambda document: document.id[0]):
    """Record lists of documents as tasks, decide, and return the counts and the drops by the first digit of the id."""
    survey = Survey(folder / "step", folder / "ids", len(tasks), num_buckets)
    survey.ids.mkdir(parents=True)
    for number, documents in enumerate(tasks):
        recorder = step.recorder()
        for row, document in enumerate(documents):
            recorder.add(row, document)
        survey.record(number, recorder.tables())
        ids = np.frombuffer(b"".join(bytes.fromhex(d.id) for d in documents), np.uint8).reshape(-1, 16)
        save_array(survey.ids_path(number), ids)
    counts = step.decide(survey, Engine(workers=1))
    drops = {}
    for number, documents in enumerate(tasks):
        for row, verdicts in survey.verdicts_by_row(number).items():
            drop = step.act(documents[row], verdicts)
            drops[key(documents[row])] = (drop.rule, drop.value)
    return counts, drops


def document(digit, text, **meta):
    return Document(digit * 32, text, "s", meta=meta)


def test_the_smallest_id_stays_across_tasks_and_copies_name_it(tmp_path):
    tasks = [
        [document("5", "one"), document("7", "same text"), document("2", "春天来了。")],
        [document("3", "same  text\n"), document("9", "春天来了。 "), document("4", "Same text")],
        [],
    ]
    counts, drops = decided(ExactDuplicates(), tasks, tmp_path)
    assert counts == {"texts with copies": 2, "label conflicts": 0}
    assert drops == {
        "7": ("exact_duplicates", f"same as {'3' * 32}"),
        "9": ("exact_duplicates", f"same as {'2' * 32}"),
    }


def test_the_order_of_the_input_does_not_matter(tmp_path):
    documents = [document(digit, "same") for digit in "3829"]
    expected = dict.fromkeys("389", ("exact_duplicates", f"same as {'2' * 32}"))
    assert decided(ExactDuplicates(), [documents], tmp_path / "a")[1] == expected
    assert decided(ExactDuplicates(), [documents[2:], documents[:2]], tmp_path / "b")[1] == expected
    assert decided(ExactDuplicates(), [[d] for d in documents[::-1]], tmp_path / "c", 1)[1] == expected


@pytest.mark.parametrize(("on_conflict", "expected"), [
    ("keep", {
        "2": ("exact_duplicates", f"same as {'1' * 32}"),
        "3": ("exact_duplicates.conflict", f"same as {'1' * 32} but for the label"),
    }),
    ("drop", {
        "1": ("exact_duplicates.conflict", f"same text as {'1' * 32}, different labels"),
        "2": ("exact_duplicates.conflict", f"same text as {'1' * 32}, different labels"),
        "3": ("exact_duplicates.conflict", f"same text as {'1' * 32}, different labels"),
    }),
])  # fmt: skip
def test_labels_that_contradict(tmp_path, on_conflict, expected):
    documents = [
        document("1", "good film", label=1),
        document("2", "good film", label=1),
        document("3", "good film", label=0),
        document("4", "bad film", label=0),
        document("5", "neither film"),
    ]
    counts, drops = decided(ExactDuplicates(on_conflict=on_conflict), [documents], tmp_path)
    assert counts == {"texts with copies": 1, "label conflicts": 1}
    assert drops == expected


def test_copies_with_one_label_are_no_conflict_where_conflicts_are_dropped(tmp_path):
    documents = [document("1", "a", label="x"), document("2", "a", label="x")]
    counts, drops = decided(ExactDuplicates(on_conflict="drop"), [documents], tmp_path)
    assert counts["label conflicts"] == 0
    assert drops == {"2": ("exact_duplicates", f"same as {'1' * 32}")}


def test_other_columns_are_compared_where_they_are_named(tmp_path):
    documents = [document("1", "a", stars=3), document("2", "a", stars=4)]
    assert decided(ExactDuplicates(), [documents], tmp_path / "a")[0]["label conflicts"] == 0
    assert decided(ExactDuplicates(label_fields=["stars"]), [documents], tmp_path / "b")[0]["label conflicts"] == 1


def test_no_documents(tmp_path):
    assert decided(ExactDuplicates(), [[], []], tmp_path) == ({"texts with copies": 0, "label conflicts": 0}, {})


def test_odd_texts(tmp_path):
    documents = [
        document("1", ""),
        document("2", " \n"),
        document("3", "\0"),
        document("4", "\ud800"),
        document("5", "\ud800"),
    ]
    assert decided(ExactDuplicates(), [documents], tmp_path)[1] == {
        "2": ("exact_duplicates", f"same as {'1' * 32}"),
        "5": ("exact_duplicates", f"same as {'4' * 32}"),
    }


@given(st.text("a中 \n\t", max_size=12), st.integers(1, 5))
def test_the_key_is_that_of_the_text_with_single_spaces_whatever_the_parts(text, part_chars):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact_duplicates, "_PART_CHARS", part_chars)
        expected = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
        assert exact_duplicates._key(text) == expected


def test_copies_of_labelled_rows_should_agree_on_their_own_label(tmp_path):
    def row(digit, label, **meta):
        row = {"text": "same", "label": label}
        return Document(digit * 32, "same", "s", row=row, kind=TextLabel(label="class"), meta=meta)

    counts, drops = decided(ExactDuplicates(), [[row("1", "a", labels="x"), row("2", "a", labels="y")]], tmp_path / "a")
    assert (counts["label conflicts"], drops) == (0, {"2": ("exact_duplicates", f"same as {'1' * 32}")})
    counts, _ = decided(ExactDuplicates(), [[row("1", "a"), row("2", "b")]], tmp_path / "b")
    assert counts["label conflicts"] == 1
