"""Translation memories: which texts are pairs, and what becomes of what is none."""

from __future__ import annotations

import pytest
from source_rows import CODECS, write

from llmkit.data.rows.source_target import SourceTarget
from llmkit.data.sources import Broken, Record
from llmkit.data.sources.files import Files

HEAD = """<?xml version="1.0" encoding="{encoding}"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd" [<!ENTITY big "much">]>
<tmx version="1.4"><header creationtool="x" segtype="sentence" adminlang="en" srclang="en-us" datatype="xml"/><body>
"""
END = "</body></tmx>\n"


def unit(english: str, *others: tuple[str, str], tuid: str = "") -> str:
    named = f' tuid="{tuid}"' if tuid else ""
    variants = [*others, ("EN-US", english)]  # the source need not stand first
    said = "".join(f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>' for language, text in variants)
    return f"<tu{named}><prop type='x'>p</prop>{said}</tu>\n"


def memory(*units: str, encoding: str = "UTF-8") -> str:
    return HEAD.format(encoding=encoding) + "".join(units) + END


def read(path, **more):
    source = Files(path=str(path), row="auto", **more)
    return [row for file in source.files() for row in source.read(file)]


@pytest.mark.parametrize("codec", CODECS)
def test_units_are_pairs_of_the_source_language_and_the_other(tmp_path, codec):
    units = unit("Open &amp; close.", ("zh_CN", "打开。"), tuid="1"), unit("Go", ("zh-cn", "去"), ("zh-CN", "走"))
    rows = read(write(tmp_path / f"memory.tmx{codec}", memory(*units)))
    assert [row.fields for row in rows] == [
        {"source_text": "Open & close.", "targets": ["打开。"]},
        {"source_text": "Go", "targets": ["去", "走"]},
    ]
    assert [dict(row.meta) for row in rows] == [{"tuid": "1"}, {}]
    assert Files(path=str(tmp_path), row="auto").row_kind().describe() == (
        "source_target (source_text from 'translation.en-US', targets from 'translation.zh-CN')"
    )


def test_utf_16_as_windows_programs_write_it(tmp_path):
    (tmp_path / "a.tmx").write_bytes(memory(unit("Go", ("zh", "去")), encoding="UTF-16").encode("utf-16"))
    assert [row.fields["targets"] for row in read(tmp_path / "a.tmx")] == [["去"]]


def test_markup_in_a_segment_is_left_out_and_what_it_marks_stays(tmp_path):
    text = (
        'Press <bpt i="1">&lt;b&gt;</bpt>OK<ept i="1">&lt;/b&gt;</ept> <hi type="x">now</hi><ph>%s<sub>alt</sub></ph>!'
    )
    (row,) = read(write(tmp_path / "a.tmx", memory(unit(text, ("de", "ok")))))
    assert row.fields["source_text"] == "Press OK now!"


def test_what_is_no_pair_is_counted_and_its_neighbours_stay(tmp_path):
    units = [
        unit("a", ("de", "b")),
        unit("a", ("de", "")),
        unit("a"),
        "<tu><tuv xml:lang='en-US'><seg>x</tuv></tu>",
        "<tu><note>no text</note></tu>",
        unit("&big;", ("de", "an entity")),
        "<tu><tuv xml:lang='de'>",
        unit("c", ("de", "d")),
    ]
    rows = read(write(tmp_path / "a.tmx", memory(*units)))
    assert [row.reason.split(":")[0] if isinstance(row, Broken) else row.fields["targets"] for row in rows] == [
        ["b"],
        "field 'translation.de' is empty",
        "no field 'de'; the row has",
        "a translation unit is no XML",
        "a translation unit without a text in a named language",
        "a translation unit is no XML",
        "a translation unit without its end",
        ["d"],
    ]
    assert [row.row for row in rows] == list(range(8))


def test_no_entity_grows(tmp_path):
    bomb = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    text = memory(unit("&l9;", ("de", "a"))).replace('<!ENTITY big "much">', f'<!ENTITY l0 "ha">{bomb}')
    source = Files(path=str(write(tmp_path / "a.tmx", text)))
    (row,) = source.read(source.files()[0])
    assert isinstance(row, Broken)
    assert "undefined entity" in row.reason


@pytest.mark.parametrize(("text", "reason"), [
    ("<html><body></body></html>", "no translation memory (TMX): it begins with <html>"),
    (memory(unit("a", ("de", "b")))[:-20], "truncated"),
])  # fmt: skip
def test_what_is_no_memory_or_half_a_one(tmp_path, text, reason):
    path = write(tmp_path / "a.tmx", text)
    source = Files(path=str(path))
    broken = [row for row in source.read(source.files()[0]) if isinstance(row, Broken)]
    assert reason in broken[-1].reason


def test_of_several_languages_two_are_named(tmp_path):
    path = write(tmp_path / "a.tmx", memory(unit("Go", ("fr", "Va"), ("de", "Geh"))))
    source = Files(path=str(path), row="auto")
    with pytest.raises(Exception, match=r"columns\.source_text=translation\.en-US"):
        source.row_kind()
    named = Files(path=str(path), row=SourceTarget(
        columns={"source_text": "translation.fr", "targets": "translation.de"}))  # fmt: skip
    (row,) = named.read(named.files()[0])
    assert isinstance(row, Record)
    assert row.fields == {"source_text": "Va", "targets": ["Geh"]}
