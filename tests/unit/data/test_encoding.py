"""Rows are encoded once, in repeatable tasks, and what becomes of each is counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from labelled import kind_of, write_examples
from llmkit.core.console import Console
from llmkit.data import corpus, encoding
from llmkit.data.encoding import Counts, cut_rows, encode_rows
from llmkit.data.packing import Column, EncodedRows, Example, LeftOut
from llmkit.data.split import split_of
from llmkit.work.engine import Engine

LIMIT = 5


@dataclass
class Letters:
    """One id per letter of at most five; rows labelled `none` are left out, and a `bomb` goes off."""

    log: Path
    columns = {"input_ids": Column()}

    def encode(self, rows):
        with self.log.open("a") as file:
            file.writelines(row["text"] + "\n" for row in rows)
        if any(row["label"] == "bomb" for row in rows) and not (self.log.parent / "defused").exists():
            raise KeyboardInterrupt
        return [self._one(row["text"], row["label"]) for row in rows]

    def split_text(self, row):
        return row["text"]

    def _one(self, text, label):
        if label == "none":
            return LeftOut("unlabelled", f"no label for {text}")
        ids = [ord(letter) for letter in text[:LIMIT]]
        return Example({"input_ids": ids}, targets=len(ids), num_bytes=len(text), cut=len(text) > LIMIT)


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """Write rows of text and label, two to a row group."""
    monkeypatch.setattr(corpus, "ROWS_PER_WRITE", 2)

    def write(name, *rows):
        return write_examples(
            tmp_path / name, kind_of("text_label"), [{"text": t, "label": label} for t, label in rows]
        )

    return write


@pytest.fixture
def encode(tmp_path):
    """Encode into a folder; return what became of the rows, and the rows of each side."""

    def run(corpora, folder="rows", *, fraction=0.0, workers=1):
        with Engine(workers=workers) as engine:
            counts = encode_rows(
                corpora, Letters(tmp_path / "log"), tmp_path / folder,
                engine=engine, console=Console(quiet=True), validation_fraction=fraction,
            )  # fmt: skip
        return counts, {side: EncodedRows.open(tmp_path / folder / side) for side in ("train", "validation")}

    return run


def texts(rows):
    padded = rows.padded(np.arange(len(rows)))
    sizes = padded["input_ids_length"].tolist()
    return ["".join(map(chr, ids[:size])) for ids, size in zip(padded["input_ids"].tolist(), sizes, strict=True)]


def test_what_becomes_of_the_rows_is_counted(examples, encode):
    one = examples("one", ("ab", "x"), ("abcdefg", "x"), ("cd", "none"))
    two = examples("two", ("ef", "none"), ("ghi", "x"), ("hijklm", "x"))
    counts, rows = encode([one, two])
    assert counts["train"] == Counts(
        rows=4,
        examples=4,
        targets=2 + 5 + 3 + 5,
        cut=2,
        left_out=Counter(unlabelled=2),
        why={"unlabelled": "no label for cd"},
    )
    assert counts["validation"] == Counts()
    assert texts(rows["train"]) == ["ab", "abcde", "ghi", "hijkl"]
    assert rows["train"].positions.tolist() == [0, 1, 4, 5]  # in the data, those that are left out counted too
    assert rows["train"].num_bytes.tolist() == [2, 7, 3, 6]
    assert len(rows["validation"]) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_go_to_the_side_of_their_text_whatever_the_tasks(examples, encode, monkeypatch, workers):
    monkeypatch.setattr(encoding, "TASK_ROWS", 4)
    names = [f"r{number}" for number in range(21)]
    place = examples("one", *((name, "x") for name in names))
    counts, rows = encode([place], fraction=0.4, workers=workers)
    for side in ("train", "validation"):
        expected = [name for name in names if split_of(name, validation_fraction=0.4, test_fraction=0) == side]
        assert 3 < len(expected) == counts[side].rows
        assert texts(rows[side]) == expected
        assert rows[side].positions.tolist() == [names.index(name) for name in expected]


def test_tasks_are_whole_row_groups(examples, monkeypatch):
    monkeypatch.setattr(encoding, "TASK_ROWS", 4)
    one = examples("one", *((f"a{number}", "x") for number in range(7)))  # groups of 2, 2, 2 and 1 rows
    two = examples("two", *((f"b{number}", "x") for number in range(3)))  # of 2 and 1
    found = [[(p.path.parent.name, p.groups, p.position) for p in cut] for cut in cut_rows([one, two])]
    assert found == [
        [("one", (0,), 0), ("one", (1,), 2)],
        [("one", (2,), 4), ("one", (3,), 6), ("two", (0,), 7)],
        [("two", (1,), 9)],
    ]


def test_a_run_that_was_killed_goes_on_with_the_task_it_was_at(examples, encode, tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "TASK_ROWS", 2)
    place = examples("one", ("a", "x"), ("b", "none"), ("c", "x"), ("d", "bomb"), ("e", "x"))
    with pytest.raises(KeyboardInterrupt):
        encode([place])
    (tmp_path / "defused").touch()
    counts, rows = encode([place])
    encoded = (tmp_path / "log").read_text().split()
    assert encoded[:4] == ["a", "b", "c", "d"]
    assert Counter(encoded) == Counter({"a": 1, "b": 1, "c": 2, "d": 2, "e": 1})
    whole = encode([place], "straight")
    assert counts == whole[0] == {
        "train": Counts(4, 4, 4, 0, Counter(unlabelled=1), {"unlabelled": "no label for b"}), "validation": Counts(),
    }  # fmt: skip
    assert texts(rows["train"]) == texts(whole[1]["train"]) == ["a", "c", "d", "e"]


@pytest.mark.parametrize("killed", [False, True])
def test_what_is_finished_is_not_done_again(examples, encode, tmp_path, monkeypatch, killed):
    place = examples("one", ("a", "x"), ("bc", "x"))
    with monkeypatch.context() as patch:
        if killed:  # at the worst moment: right after the parts have gone
            remove = encoding.shutil.rmtree

            def remove_and_die(*arguments, **options):
                remove(*arguments, **options)
                raise KeyboardInterrupt

            patch.setattr(encoding.shutil, "rmtree", remove_and_die)
            with pytest.raises(KeyboardInterrupt):
                encode([place])
        else:
            encode([place])
    assert not (tmp_path / "rows" / "parts").exists()
    (tmp_path / "log").unlink()
    counts, rows = encode([place])
    assert not (tmp_path / "log").exists()
    assert (counts["train"].rows, texts(rows["train"])) == (2, ["a", "bc"])


def test_counts_of_parts_add_up_and_the_first_reason_is_told():
    one = Counts(1, 2, 2, 1, Counter(a=1), {"a": "first"}, long=Counter({9: 1}))
    one.add(Counts(3, 3, 4, 0, Counter(a=2, b=1), {"a": "second", "b": "other"}, long=Counter({9: 2, 7: 1})))
    assert one == Counts(4, 5, 6, 1, Counter(a=3, b=1), {"a": "first", "b": "other"}, long=Counter({9: 3, 7: 1}))
