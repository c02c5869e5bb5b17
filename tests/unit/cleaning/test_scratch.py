from __future__ import annotations

import pytest

from llmkit.cleaning.scratch import Entry, ScratchWriter, read_scratch
from llmkit.data.corpus import Document
from llmkit.data.rows.text_label import TextLabel


def entry(i, text="text"):
    row, kind = ({"text": text, "label": "a"}, TextLabel(label="class")) if i % 2 else (None, None)
    return Entry(Document(f"{i:032x}", text, "s", "en", row, kind, {"n": i}), f"/in/{i}", (1.0, 2.0), text)


def same(a, b):
    return (a.document, a.file, a.measures, a.measured) == (b.document, b.file, b.measures, b.measured)


@pytest.mark.parametrize("text", ["", "one", "中\0\ud800", "x" * 300_000])
def test_entries_come_back_as_they_were(tmp_path, text):
    entries = [entry(i, text) for i in range(9)]
    with ScratchWriter(tmp_path / "deep/000000") as out:
        for one in entries:
            out.add(one)
    assert out.num_entries == 9
    found = list(read_scratch(tmp_path / "deep/000000"))
    assert all(map(same, found, entries))
    assert len(found) == 9
    assert all(one.document.text is one.measured for one in found)  # else it would be measured again


def test_stretches(tmp_path):
    offsets = []
    with ScratchWriter(tmp_path / "x") as out:
        for part in ([1, 2, 3], [], [4], []):
            offsets.append(out.position())
            for i in part:
                out.add(entry(i))
        offsets.append(out.position())
    found = [
        [one.document.meta["n"] for one in read_scratch(tmp_path / "x", *offsets[part : part + 2])] for part in range(4)
    ]
    assert found == [[1, 2, 3], [], [4], []]


def test_no_entries(tmp_path):
    with ScratchWriter(tmp_path / "x"):
        pass
    assert list(read_scratch(tmp_path / "x")) == []


def test_a_file_that_could_not_be_written_whole_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="broke"), ScratchWriter(tmp_path / "x") as out:
        out.add(entry(1))
        raise ValueError("broke")
    assert not (tmp_path / "x").exists()
