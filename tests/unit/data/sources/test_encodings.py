from __future__ import annotations

import contextlib
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from source_rows import read, summary, texts, write

from llmkit.data.sources._prescan import declared_encoding
from llmkit.data.sources._text import decode_page, looks_gb18030
from llmkit.data.sources.files import Files

CHINESE = "我们在这里说的是中国的事情，他们也知道。今天的天气很好，大家都来了。"
JAPANESE = "これは日本語の文章です。今日はとても良い天気ですね。"
KOREAN = "이것은 한국어 문장입니다. 오늘은 날씨가 아주 좋습니다. 우리는 학교에 갑니다."
FRENCH = "Les élèves étaient à l'école, où ils ont mangé des pâtes."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "gb18030", "gbk", "gb2312"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.csv", "a.json", "a.md.xz", "a.tsv"])
def test_chinese_is_read_in_its_usual_encodings(tmp_path, encoding, name):
    if "json" in name:
        content = f'{{"text": "{CHINESE}"}}\n'
    elif name.endswith("sv"):
        content = f"text\n{CHINESE}\n"
    else:
        content = CHINESE
    assert texts(read(write(tmp_path / name, content.encode(encoding)))) == [CHINESE]


@pytest.mark.parametrize(
    ("text", "encoding", "position"),
    [
        (FRENCH, "latin-1", 4),
        (JAPANESE, "shift_jis", 0),
        (JAPANESE, "euc_jp", 0),
        (KOREAN, "euc_kr", 0),
        ("繁體中文的文章", "big5", 0),
    ],
)
def test_what_is_not_certain_is_broken_and_can_be_named(tmp_path, text, encoding, position):
    path = write(tmp_path / "a.txt", text.encode(encoding))
    assert summary(read(path)) == [f"! invalid UTF-8 at byte {position}"]
    assert texts(read(path, encoding=encoding)) == [text]


@pytest.mark.parametrize("text", [FRENCH, JAPANESE, KOREAN, CHINESE])
def test_no_other_text_is_taken_for_gb18030(text):
    for encoding in ("utf-8", "utf-16-le", "latin-1", "euc_jp", "euc_kr", "shift_jis", "big5"):
        with contextlib.suppress(UnicodeEncodeError):
            data = text.encode(encoding)
            assert not looks_gb18030(data)


def test_a_cut_character_at_the_end_is_no_reason(tmp_path):
    assert looks_gb18030(CHINESE.encode("gb18030")[:-1])


def test_lines_of_two_encodings(tmp_path):
    lines = [f'{{"text": "{CHINESE}"}}\n'.encode(encoding) for encoding in ("gb18030", "utf-8", "gb18030")]
    lines.insert(1, b'{"text": "\xff\xff"}\n')
    assert summary(read(write(tmp_path / "a.jsonl", b"".join(lines)))) == [
        CHINESE,
        "! invalid UTF-8 and invalid GB18030 at byte 10",
        CHINESE,
        CHINESE,
    ]


def test_one_bad_line_of_utf16(tmp_path):
    lines = ['{"text": "甲"}\n', '{"text": "\ud800"}\n', '{"text": "乙"}\n']
    path = write(
        tmp_path / "a.jsonl",
        "\ufeff".join(["", *lines[:1]]).encode("utf-16-le") + "".join(lines[1:]).encode("utf-16-le", "surrogatepass"),
    )
    result = read(path)
    assert texts(result) == ["甲", "乙"]
    assert (result[1].line, result[1].reason) == (2, "invalid UTF-8 at byte 10")


def test_a_named_encoding_is_checked(tmp_path):
    path = write(tmp_path / "a.txt", CHINESE.encode())
    assert summary(read(path, encoding="ascii")) == ["! invalid ascii at byte 0"]
    assert texts(read(path, encoding="UTF8")) == [CHINESE]
    lone = write(tmp_path / "b.txt", b"+2AA-")  # U+D800 in UTF-7
    assert summary(read(lone, encoding="utf-7")) == ["! utf-7: a lone surrogate cannot be written as UTF-8"]
    for name in ("utf-99", "hex"):
        with pytest.raises(ValidationError, match=f"unknown encoding '{name}'; for example: auto, utf-8, gb18030"):
            Files(path="x", encoding=name)


@pytest.mark.parametrize(
    ("text", "encoding", "charset"),
    [
        (CHINESE, "gbk", "gb2312"),
        (CHINESE, "gb18030", None),
        (CHINESE, "utf-8", "iso-8859-1"),  # the header of many a server
        (CHINESE, "utf-16", None),
        (JAPANESE, "shift_jis", "Shift_JIS"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (JAPANESE, "euc_jp", "nonsense"),
        (KOREAN, "euc_kr", "euc-kr"),
        ("“smart” – café", "cp1252", "ISO-8859-1"),
        ("Привет, как дела? Сегодня хорошая погода.", "cp1251", None),
    ],
)
@pytest.mark.parametrize("where", ["header", "meta"])
def test_web_pages(text, encoding, charset, where):
    meta = (
        f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">'
        if charset and where == "meta"
        else ""
    )
    page = f"<html><head>{meta}</head><p>{text}</p></html>"
    assert decode_page(page.encode(encoding), charset if where == "header" else None) == page


@pytest.mark.parametrize(
    ("head", "label"),
    [
        (b"<meta charset=gbk>", "gbk"),
        (b"<META/CHARSET = 'Big5' >", "Big5"),
        (b"<meta http-equiv=Content-Type content='text/html; charset=\"euc-jp\"'>", "euc-jp"),
        (b"<meta name=description content='charset=gbk'>", None),
        (b"<!-- <meta charset=gbk> --><meta charset=koi8-r>", "koi8-r"),
        (b"<!--><meta charset=gbk>", "gbk"),
        (b"<script>var s = '<meta charset=gbk>';</script><meta charset=koi8-r>", "koi8-r"),
        (b"<title><meta charset=gbk></title>", None),
        (b"<style><meta charset=gbk>", None),
        (b"<p title='<meta charset=gbk>'><meta charset=koi8-r>", "koi8-r"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?><html>", "iso-8859-2"),
        (b"<?xml version='1.0' encoding='iso-8859-2'?><meta charset=gbk>", "gbk"),
        (b"<meta charset=gbk", None),
        (b"<metadata charset=gbk>", None),
    ],
)
def test_what_a_page_declares_is_found_as_the_standard_says(head, label):
    assert declared_encoding(head) == label


@pytest.mark.parametrize("unit", [b"<a", b'<a b="', b"<meta a=b ", b"<!--", b"<", b"</", b"<script>", b"<a b=c>"])
def test_the_search_for_a_declaration_takes_linear_time(unit):
    start = process_time()
    declared_encoding(unit * (1_000_000 // len(unit)))
    assert process_time() - start < 5


@pytest.mark.parametrize("label", ["utf-8", "gbk", "shift_jis", "x-nonsense"])
def test_a_declaration_that_does_not_hold_is_not_used(label):
    body = "<p>La façade est cachée là-bas, à l’école où l’été fut très gai.</p>" * 3
    page = f"<meta charset={label}>{body}"
    assert decode_page(page.encode("cp1252")) == page
    assert decode_page(page.encode("cp1252"), label) == page
    page = f"<meta charset=big5><p>{'Съешь же ещё этих мягких булок. ' * 5}</p>"
    assert decode_page(page.encode("koi8-r"), "koi8-r") == page


def test_damage_does_not_make_a_page_of_utf_8_another():
    page = f"<meta charset=iso-8859-1><p>{CHINESE * 3}"
    data = page.encode()
    assert decode_page(data[:-1]) == page[:-1] + "\ufffd"  # cut off in the middle of a character
    broken = f"<meta charset=utf-8><p>{CHINESE * 3}".encode() + b"\xff<p>x"
    assert decode_page(broken).endswith("\ufffd<p>x")
    gbk = f"<meta charset=gbk><p>{CHINESE * 3}"
    assert decode_page(gbk.encode("gbk")[:-1]) == gbk[:-1] + "\ufffd"


@given(
    st.binary(max_size=300), st.one_of(st.none(), st.sampled_from(["hex", "punycode", "unicode_escape", "x", "utf-16"]))
)
def test_any_page_decodes_to_text_that_can_be_written(data, charset):
    decode_page(data, charset).encode()
    looks_gb18030(data)


CHINESE_GB = "我们的人都在这里了，这是国标码。"
CHINESE_UTF8 = "这一行是后来加上去的。"


@pytest.mark.parametrize("suffix", ["txt", "md"])
def test_one_document_of_joined_encodings(tmp_path, suffix):
    lines = [CHINESE_UTF8.encode(), CHINESE_GB.encode("gb18030"), b"ascii", "第一章".encode("gb18030"), "你好".encode()]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"\n".join(lines))
    source = Files(path=str(path))
    (record,) = source.read(source.files()[0])
    assert record.text.split("\n") == [CHINESE_UTF8, CHINESE_GB, "ascii", "第一章", "你好"]


def test_a_document_in_gb18030_whose_lines_could_be_utf8(tmp_path):
    accident = bytes([0xC4, 0xB1, 0xC4, 0xB2]).decode("gb18030")  # two characters, which are `ıĲ` in UTF-8
    path = tmp_path / "book.txt"
    path.write_bytes("\n".join([accident, CHINESE_GB]).encode("gb18030"))
    source = Files(path=str(path))
    (record,) = source.read(source.files()[0])
    assert record.text == f"{accident}\n{CHINESE_GB}"
