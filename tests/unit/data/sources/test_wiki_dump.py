"""Dumps of MediaWiki: what is an article, and what becomes of damaged ones."""

from __future__ import annotations

import bz2

import pytest
from source_rows import CODECS, read, summary, texts, write

from llmkit.data.sources import Broken, _rows

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo><sitename>Wiki</sitename><base>https://de.example.org/wiki/Hauptseite</base></siteinfo>
"""
END = "</mediawiki>\n"


def page(title: str, text: str, *, ns: int = 0, extra: str = "", model: str = "wikitext") -> str:
    return f"""  <page>
    <title>{title}</title><ns>{ns}</ns><id>7</id>{extra}
    <revision><id>8</id><timestamp>2026-01-02T03:04:05Z</timestamp><model>{model}</model><format>text/x-wiki</format>
      <text bytes="{len(text)}" xml:space="preserve">{text}</text></revision>
  </page>
"""


DUMP = HEAD + page("Zürich (Stadt)", "'''Zürich''' &amp; &lt;b&gt;See&lt;/b&gt;") + page("A", "a [[b]]") + END


@pytest.mark.parametrize("codec", CODECS)
def test_the_articles_of_a_dump(tmp_path, codec):
    result = read(write(tmp_path / f"wiki.xml{codec}", DUMP))
    assert texts(result) == ["'''Zürich''' & <b>See</b>", "a [[b]]"]
    assert [(row.row, row.language, row.source) for row in result] == [(0, "de", "wiki"), (1, "de", "wiki")]
    assert dict(result[0].meta) == {
        "title": "Zürich (Stadt)",
        "page_id": "7",
        "date": "2026-01-02T03:04:05Z",
        "url": "https://de.example.org/wiki/Z%C3%BCrich_(Stadt)",
        "format": "wiki",
    }


def test_a_part_of_a_dump_and_one_of_several_streams(tmp_path):
    parts = [bz2.compress(part.encode()) for part in (HEAD, page("A", "a"), page("B", "b"), END)]
    (tmp_path / "dewiki-pages-articles1.xml-p1p297012.bz2").write_bytes(b"".join(parts))
    result = read(tmp_path)
    assert texts(result) == ["a", "b"]
    assert result[0].source == "dewiki-pages-articles1"


def test_what_is_no_article_is_no_row(tmp_path):
    pages = [
        page("Talk:A", "no", ns=1),
        page("B", "#REDIRECT [[A]]", extra='<redirect title="A" />'),
        page("C.css", "no", model="css"),
        page("D", "yes"),
    ]
    assert summary(read(write(tmp_path / "a.xml", HEAD + "".join(pages) + END))) == ["yes"]


def test_of_several_revisions_the_last_counts(tmp_path):
    old = "<revision><text>old</text></revision>"
    assert texts(read(write(tmp_path / "a.xml", HEAD + page("A", "new", extra=old) + END))) == ["new"]


def test_a_damaged_page_costs_itself_alone(tmp_path):
    pages = [
        page("A", "a"),
        page("B", "b & c"),
        page("C", "&bomb;"),
        page("D", "d").replace("</page>", "</pag"),
        page("E", "e"),
        page("F", "f").replace("<page>", "<pa"),
        page("G", "").replace("></text>", "/>"),
        page("H", "h"),
    ]
    result = read(write(tmp_path / "a.xml", HEAD + "".join(pages) + END))
    assert texts(result) == ["a", "e", "h"]
    broken = [row.reason.partition(":")[0] for row in result if isinstance(row, Broken)]
    assert broken == ["a page is no XML"] * 2 + [
        "a page without its end",
        "a page without its beginning",
        "a page without its text",
    ]
    assert [row.row for row in result] == list(range(8))


@pytest.mark.parametrize("codec", ["", ".bz2", ".gz"])
def test_a_truncated_dump_yields_what_is_whole(tmp_path, codec):
    noise = "".join(f" {pow(7, n, 10**12 + 39)}" for n in range(20_000))
    path = write(tmp_path / f"a.xml{codec}", HEAD + "".join(page(str(n), noise + str(n)) for n in range(12)) + END)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    *kept, last = read(path)
    assert len(kept) >= (1 if codec == ".bz2" else 6)
    assert texts(kept) == [noise + str(n) for n in range(len(kept))]
    assert last == Broken(len(kept), f"file is truncated after row {len(kept)}")


def test_a_page_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(_rows, "MAX_ROW_BYTES", 600_000)
    dump = HEAD + page("A", "a") + page("B", "b" * 2_000_000) + page("C", "c") + END
    assert summary(read(write(tmp_path / "a.xml", dump))) == ["a", "! a page longer than 600,000 bytes", "c"]


def test_a_last_page_without_its_end_is_counted(tmp_path):
    dump = HEAD + page("A", "a") + "<page><title>B</title>" + END
    assert summary(read(write(tmp_path / "a.xml", dump))) == ["a", "! a page without its end"]


def test_other_xml_is_named(tmp_path):
    path = write(tmp_path / "a.xml", '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "b">]><rss><page>x</page></rss>')
    assert summary(read(path)) == ["! no dump of MediaWiki: it begins with <rss>"]
    assert summary(read(write(tmp_path / "b.xml", ""))) == []
