from __future__ import annotations

import gzip

import pytest

from llmkit.core.errors import DataError
from llmkit.data.sources import Broken
from llmkit.data.sources.parallel import Parallel
from texts_of_texts import save_two_sided


@pytest.fixture
def files(tmp_path):
    (tmp_path / "train.en").write_text("Good morning\nOpen it\n\nlast\n", encoding="utf-8")
    with gzip.open(tmp_path / "train.zh.gz", "wt", encoding="utf-8") as file:
        file.write("早上好\r\n打开\r\n空\r\n最后\r\n")
    return Parallel(source=str(tmp_path / "train.en"), target=str(tmp_path / "train.zh.gz"))


def test_lines_are_pairs_and_one_without_its_other_is_counted(files):
    english, chinese = files.files()
    rows = list(files.read(english))
    assert [row.fields for row in rows if not isinstance(row, Broken)] == [
        {"source_text": "Good morning", "targets": ["早上好"]},
        {"source_text": "Open it", "targets": ["打开"]},
        {"source_text": "last", "targets": ["最后"]},
    ]
    assert rows[2] == Broken(2, "field 'source_text' is empty", line=3)
    assert rows[0].text == "Good morning\n早上好"
    assert list(files.read(chinese)) == []
    assert files.kind() == "examples"


def test_files_of_different_length_are_refused(files, tmp_path):
    (tmp_path / "train.en").write_text("a\nb\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"train\.en' ends after line 2"):
        list(files.read(files.files()[0]))


def test_bytes_that_are_no_text_are_counted(files, tmp_path):
    (tmp_path / "train.en").write_bytes(b"a\n\xff\nc\nd\n")
    assert [type(row) is Broken for row in files.read(files.files()[0])] == [False, True, False, False]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"target: no such file: nothing\.zh"):
        Parallel(source=__file__, target="nothing.zh").files()


def test_a_model_is_trained_on_them(cli, files, tmp_path):
    spec = f"data=[{{type: parallel, source: {files.source}, target: {files.target}}}]"
    outcome = cli("finetune", "-s", spec, "--model", save_two_sided(tmp_path / "model"), "-s",
                  "objective=sequence_to_sequence", "-s", "validation_fraction=0", "-s", "batch_rows=2", "-s",
                  "precision=float32", "--max-steps", 1, "--max-failed", 0.5, "-o", "out")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert "field 'source_text' is empty" in outcome.err
