from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning import preview as module
from llmkit.cleaning.preview import take_preview
from llmkit.cleaning.preview_text import line_changes, visible, word_changes
from llmkit.cleaning.steps.exact_duplicates import ExactDuplicates
from llmkit.cleaning.steps.length import Length
from llmkit.cleaning.steps.lowercase import Lowercase
from llmkit.cleaning.steps.shuffle import Shuffle
from llmkit.core.errors import DataError
from llmkit.data.sources.files import Files

STEPS = [Length(min_chars=5), ExactDuplicates(), Lowercase(), Shuffle()]


@pytest.fixture
def inputs(tmp_path):
    def call(*files):
        found = []
        for number, texts in enumerate(files):
            folder = tmp_path / f"in{number}"
            folder.mkdir(exist_ok=True)
            lines = [json.dumps({"text": text}) if isinstance(text, str) else "{" for text in texts]
            (folder / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
            source = Files(path=str(folder))
            found.append((source, source.files()))
        return found

    return call


def test_every_document_is_walked_through_the_steps_that_look_at_one_alone(inputs):
    preview = take_preview(inputs(["Long Enough", "no", "all lower"]), STEPS, 10)
    long, short, lower = preview.documents
    assert (long.before, long.document.text, long.drop) == ("Long Enough", "long enough", None)
    assert [(s.position, s.name, s.changed) for s in long.steps] == [(2, "lowercase", True)]
    assert (short.drop.rule, short.drop.value, short.drop.threshold) == ("length.min_chars", 2, 5)
    assert lower.steps == []
    assert [position for position, _ in preview.left_out()] == [1, 3]
    assert [(t.name, t.changed, t.dropped) for t in preview.totals()] == [("length", 0, 1), ("lowercase", 1, 0)]


def test_the_sample_is_the_same_every_time_and_comes_from_all_over(inputs):
    files = inputs([f"first {i}" for i in range(300)], [f"second {i}" for i in range(300)])
    one, two = (take_preview(files, [], 20) for _ in range(2))
    texts = [d.before for d in one.documents]
    assert texts == [d.before for d in two.documents]
    assert len(set(texts)) == 20
    rows = [d.row for d in one.documents]
    assert 4 < sum(text.startswith("first") for text in texts) < 16
    assert min(rows) < 60
    assert max(rows) > 240
    assert (one.num_rows, one.num_files, one.total_files, one.whole) == (600, 2, 2, True)
    assert texts == sorted(texts, key=lambda t: (t.startswith("second"), int(t.split()[1])))  # order of the input


def test_the_ids_are_those_of_the_run(inputs, cli):
    """Two inputs have a file of the same name with the same rows: their ids differ, as in the corpus."""
    files = inputs(["same text", "other"], ["same text", "other"])
    ids = [d.document.id for d in take_preview(files, [], 9).documents]
    assert cli("clean", "-i", "in0", "-i", "in1", "-o", "out", "-s", "steps=[]").code == 0

    from llmkit.data.artifacts import Corpus

    assert ids == [row["id"] for row in Corpus("out").rows()]


def test_large_files_are_read_in_part(inputs, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BYTES", 400)
    monkeypatch.setattr(module, "READ_BYTES", 2000)
    files = inputs([f"text number {i:05}" for i in range(2000)])
    preview = take_preview(files, [], 10)
    assert 40 < preview.num_rows < 200
    assert not preview.whole
    rows = [d.row for d in preview.documents]
    assert max(rows) - min(rows) > 500  # spans all over the file, and not its beginning
    assert all(d.before == f"text number {d.row:05}" for d in preview.documents)


def test_of_a_file_too_large_to_cut_the_beginning_is_read(inputs, monkeypatch):
    monkeypatch.setattr(module, "PIECE_BYTES", 400)
    monkeypatch.setattr(module, "READ_BYTES", 2000)
    monkeypatch.setattr(module, "CUT_BYTES", 1000)
    preview = take_preview(inputs([f"text number {i:05}" for i in range(2000)]), [], 10)
    assert 100 <= preview.num_rows < 130  # 2,000 characters of 17 and a newline
    assert not preview.whole


def test_broken_rows_are_counted_and_the_first_are_named(inputs, tmp_path):
    preview = take_preview(inputs([None, "good one", None, None, None]), [], 3)
    assert [d.before for d in preview.documents] == ["good one"]
    assert (preview.num_broken, len(preview.broken), preview.num_rows) == (4, 3, 5)
    assert preview.broken[1].startswith(f"{tmp_path}/in0/a.jsonl:3: invalid JSON")


def test_nothing_to_read_is_an_error(inputs):
    with pytest.raises(DataError, match="nothing to preview: the input has no rows"):
        take_preview(inputs([]), [], 3)
    with pytest.raises(DataError, match=r"no row can be read: .*a\.jsonl:1: invalid JSON"):
        take_preview(inputs([None]), [], 3)


def said(parts):
    marks = {"=": "{}", "-": "[-{}-]", "+": "{{+{}+}}"}
    return "".join(marks[kind].format(text) for kind, text in parts)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("write to a@b.de now", "write to <EMAIL> now", "write to [-a@b.de-]{+<EMAIL>+} now"),
        ("the cat sat", "the cats sat", "the [-cat-]{+cats+} sat"),
        ("我在北京市。", "我在上海市。", "我在[-北京-]{+上海+}市。"),
        ("end  ", "end", "end[-  -]"),
        ("", "new", "{+new+}"),
        ("same", "same", "same"),
    ],
)
def test_words(old, new, shown):
    assert said(word_changes(old, new)) == shown


def test_long_lines_are_folded_around_a_change():
    shown = said(word_changes("x " * 5000 + "old" + " y" * 5000, "x " * 5000 + "new" + " y" * 5000))
    assert shown == "..." + "x " * 12 + "[-old-]{+new+}" + " y" * 12 + "..."


def test_lines_have_a_line_of_context_and_fold_the_rest():
    before = "\n".join(["a", "b", "c", "old", "d", "e", "f", "g", "gone", "h", "i"])
    after = before.replace("old", "new").replace("gone\n", "")
    shown = [said(parts) for parts in line_changes(before, after)]
    assert shown == ["... 2 lines", "c", "[-old-]{+new+}", "d", "... 2 lines", "g", "[-gone-]", "h", "i"]


def test_lines_that_differ_in_blanks_are_paired():
    shown = [said(parts) for parts in line_changes("first\n\n\n\nThe end.  ", "first\nThe end.")]
    assert shown == ["first", "[-\n-]", "[-\n-]", "[-\n-]", "The end.[-  -]"]


def test_a_huge_change_is_cut_short():
    before = "\n".join(f"mail {i} a@b.de" for i in range(100_000))
    shown = [said(parts) for parts in line_changes(before, before.replace("a@b.de", "<EMAIL>"))]
    assert len(shown) < 1000
    assert shown[0] == "mail 0 [-a@b.de-]{+<EMAIL>+}"
    assert shown[-1] == "... 99,600 more lines"
    line = said(word_changes("ab " * 1_000_000, "cd " * 1_000_000))
    assert len(line) < 200


@given(st.text(alphabet="ab \n春", max_size=60), st.text(alphabet="ab \n春", max_size=60))
def test_what_is_shown_is_true(before, after):
    """Short texts are not folded: the stretches that stayed and fell out are the old lines, the others the new."""
    lines = list(line_changes(before, after)) if before != after else []
    for kinds, text in (("=-", before), ("=+", after)):
        shown = ["".join(part for kind, part in parts if kind in kinds) for parts in lines]
        for line in shown:
            assert line.startswith("... ") or line in ("", "\n") or line in text.split("\n")
    if before != after:
        assert any(kind != "=" for parts in lines for kind, _ in parts)


def test_what_cannot_be_seen_is_written_out():
    assert visible("a\x1b[31mb\u200bc\t\x00\n") == "a\\x1b[31mb\\u200bc\\t\\x00\\n"
    assert visible("plain 春天") == "plain 春天"
    assert visible("  ", changed=True) == "··"
    assert visible("  ") == "  "
    assert visible("Cafe\u0301", changed=True) == "Cafe\\u0301"
    assert visible("Cafe\u0301") == "Cafe\u0301"
