"""Wrong decodings are undone, right text is left alone, and lost text is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from ftfy import fix_encoding
from hypothesis import given
from hypothesis import strategies as st

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps._mojibake import is_suspicious
from llmkit.cleaning.steps.repair import SEGMENT_CHARS, Repair, _config
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document


def run(text: str, **fields: Any) -> tuple[Document, Drop | None]:
    document = Document(id="0", text=text, source="s")
    return document, Repair(**fields).apply(document)


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("schÃ¶n, I donâ€™t", "schön, I don’t"),
        ("â€œquotedâ€\x9d", "“quoted”"),
        ("Â£10", "£10"),
        ("ÃƒÂ©", "é"),  # twice
        ("ï»¿hello", "\ufeffhello"),
        ("ä¸\xadæ–‡æµ‹è¯•，你好！", "中文测试，你好！"),
        ("Ð\x9fÑ\x80Ð¸Ð²ÐµÑ‚", "Привет"),
        ("РџСЂРёРІРµС‚", "Привет"),
        ("donвЂ™t", "don’t"),
        ("我们的世界，你好".encode().decode("gb18030"), "我们的世界，你好"),
        ("“好”，".encode().decode("gb18030"), "“好”，"),
    ],
)
def test_mojibake_is_undone(broken: str, right: str):
    document, drop = run(broken)
    assert document.text == right
    assert document.counts == {"repair.mojibake": 1}
    assert drop is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain ASCII, with &amp; and \x00\x1b[0m",
        "“Voilà” : l’été”, où ça… à ” là’ É”",
        "„Fuß“ – größer",
        "全角：ＡＢＣ１２３，！？（）“引号”——ﬁ",
        "他说：“的确如此。”鐨",
        "Привет, РСФСР и Старая Русса",
        "Ελληνικά • € 5 – Äpfel √2",
        "日本語の文章です。한국어",
    ],
)
def test_right_text_is_the_same_object(text: str):
    document, drop = run(text, references=False)
    assert document.text is text
    assert document.counts == {}
    assert drop is None


LANGUAGES = {
    "de": "Größe, Übermut und schöne Straßen für Äpfel",
    "fr": "L’été à l’école, où ça coûte cher : déjà élève",
    "es": "El niño comió piñas y cantó una canción",
    "pt": "A situação não é fácil, disse o irmão",
    "it": "Perché la città è così bella, più che mai",
    "pl": "Zażółć gęślą jaźń, która się śmieje",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy",
    "hu": "Árvíztűrő tükörfúrógép és őszi körte",
    "tr": "Şu çılgın Türkler İstanbul’da ağladı",
    "sv": "Räksmörgås på Åland för några kronor",
    "da": "Blåbærgrød og smørrebrød på øen",
    "ru": "Привет, как твои дела сегодня",
    "el": "Καλημέρα κόσμε, πώς είσαι σήμερα",
    "lt": "Ąžuolas ėjo į mišką žvejoti",
    "ro": "Țara noastră și pădurile înverzite",
}


@pytest.mark.parametrize(
    ("encoding", "least"),
    [
        ("sloppy-windows-1252", 15),
        ("sloppy-windows-1250", 15),
        ("sloppy-windows-1251", 6),
        ("sloppy-windows-1253", 11),
        ("sloppy-windows-1254", 15),
        ("sloppy-windows-1257", 15),
        ("iso-8859-2", 11),
        ("macroman", 14),
        ("cp437", 14),
    ],
)
def test_the_gate_lets_through_all_that_ftfy_mends(encoding: str, least: int):
    wrong = {name: text.encode().decode(encoding) for name, text in LANGUAGES.items()}
    mended = {name for name, text in wrong.items() if fix_encoding(text, _config()) == LANGUAGES[name]}
    assert len(mended) >= least
    assert {name for name in mended if run(wrong[name])[0].text != LANGUAGES[name]} == set()
    assert [run(text)[0].text is text for text in LANGUAGES.values()] == [True] * 15


def test_punctuation_of_windows_read_as_latin_1_comes_back():
    document, _ = run("\x93No\x94 \x96 5 \x80. Don\x92t ask\x85\nZa\x9eít \u20ac \x91\u4e2d\x92")
    assert document.text == "“No” – 5 €. Don’t ask…\nZažít € ‘中’"
    assert document.counts == {"repair.mojibake": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l’été d’être, “Élan” « À »", False),  # Mac OS: quotes before letters
        ("┌─┬─┐ │ ├─┼─┤ ╔═╗", False),  # tables of DOS
        ("Її Україна, Київ, ґанок", False),
        ("Größe", False),
        ("中文，日本語、한국어", False),
        ("schÃ¶n", True),
        ("voilÃ  le", True),
        ("gewÃ\ufffdhnlich", True),
        ("Tiß║┐ng", True),
        ("donâ€", True),
        ("\x85", True),
    ],
)
def test_what_looks_suspicious(text: str, expected: bool):
    assert is_suspicious(text.encode()) is expected


def test_only_the_lines_that_are_wrong_change():
    document, _ = run("clichÃ©\nla “fin”…\nÂ£10\nＡ")
    assert document.text == "cliché\nla “fin”…\n£10\nＡ"
    assert document.counts == {"repair.mojibake": 2}
    assert run("clichÃ©", mojibake=False)[0].text == "clichÃ©"


def test_a_long_line_is_repaired_in_pieces():
    document, _ = run("x" * SEGMENT_CHARS + "donâ€™t")
    assert document.text == "x" * SEGMENT_CHARS + "don’t"


def test_surrogates_are_joined_or_replaced():
    document, drop = run("\ud83d\ude00 " + "x" * 200 + "\udc80")
    assert document.text == "😀 " + "x" * 200 + "\ufffd"
    assert document.counts == {"repair.surrogates": 3}
    assert drop is None


def test_references_are_resolved_where_asked():
    text = "A&amp;nbsp;B &lt;b&gt; &#20013;&#x6587; ?a=1&copy=3 &nosuch; &#" + "9" * 5000 + ";"
    document, _ = run(text, references=True)
    assert document.text == "A\xa0B <b> 中文 ?a=1&copy=3 &nosuch; &#" + "9" * 5000 + ";"
    assert document.counts == {"repair.references": 6}
    assert run(text)[0].text is text


def test_too_many_lost_characters_drop_the_document():
    text = "x" * 98 + "\ufffd\ufffd"
    assert run(text)[1] == Drop("repair.max_replacement", 0.02, 0.01)
    assert run(text, max_replacement=0.02)[1] is None
    assert run("中文锟斤拷锟斤拷")[1] == Drop("repair.max_replacement", 0.5, 0.01)


def test_messages_are_repaired():
    messages = [{"role": "user", "content": "cafÃ©"}, {"role": "assistant", "content": "好"}]
    document = Document(id="0", text="cafÃ©\n好", source="s", row={"messages": messages}, kind=CONVERSATION)
    assert Repair().apply(document) is None
    assert document.row["messages"][0]["content"] == "café"
    assert document.text == "café\n好"


@given(st.text())
def test_nothing_fails_and_the_result_can_be_encoded(text: str):
    document, _ = run(text, references=True)
    document.text.encode()


CHINESE = "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小，。"


@given(st.text(alphabet=CHINESE, min_size=4, max_size=40))
def test_chinese_through_gbk_and_back(text: str):
    wrong = text.encode()
    if len(wrong) % 2:
        wrong += b"!"
    try:
        mojibake = wrong.decode("gb18030")
    except UnicodeDecodeError:  # a byte without a character is lost for good
        return
    repaired = run(mojibake)[0].text
    assert repaired.removesuffix("!") in {text, mojibake.removesuffix("!")}
    assert run(text)[0].text is text


@pytest.mark.parametrize("text", ["20 Å² per lipid", "30 Å³", "2.1 Å±0.1 Å are", "10 Å¹"])
def test_the_unit_of_length_is_right_as_it_is(text):
    document = Document("0", text, "s")
    Repair().apply(document)
    assert document.text == text


def test_a_hungarian_letter_among_letters_is_mended_beside_the_unit():
    document = Document("0", "hÅ±tÅ‘gÃ©p, 20 Å² per lipid", "s")
    Repair().apply(document)
    assert document.text == "hűtőgép, 20 Å² per lipid"
