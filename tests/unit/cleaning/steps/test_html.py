"""Main text of pages: what goes, what stays, and pages made to break a parser."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import pytest
import trafilatura

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps._html_nesting import MAX_DEPTH, MAX_UNCLOSED
from llmkit.cleaning.steps._html_scan import MAX_ATTRIBUTES, scan
from llmkit.cleaning.steps.html import Html, _unstructured
from llmkit.core.errors import SetupError
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document

PAGE = """<!DOCTYPE html><html><head><title>The &amp; page</title><style>p { color: red }</style></head><body>
<nav><ul><li><a href="/">Home</a></li></ul></nav>
<h1>Heading</h1><p>Hello  <b>bold</b>
world.</p>
<ul><li>first</li><li>second</li></ul>
<pre><code>def f(x):
    if x:
        return  1
</code></pre>
<p>See <a href="https://example.org/a">the site</a>.</p>
<script>var hidden = "<p>no</p>";</script>
<footer>Copyright</footer><script>x()</script></body></html>"""


def clean(text: str, *, meta: dict[str, Any] | None = None, **fields: Any) -> Document:
    document = Document(id="0", text=text, source="s", meta={"format": "html"} if meta is None else meta)
    assert Html(**fields).apply(document) is None
    return document


def test_the_main_text_of_a_page():
    document = clean(PAGE)
    assert document.text == (
        "Heading\n\nHello bold world.\n\n  • first\n  • second\n"
        "def f(x):\n    if x:\n        return  1\n\nSee the site."
    )
    assert document.meta == {"format": "text", "title": "The & page"}
    assert document.counts == {}


def test_all_text_of_a_page_and_its_links():
    text = clean(PAGE, main_content=False, links=True, list_bullets=False).text
    assert "Home" in text
    assert "Copyright" in text
    assert "the site (https://example.org/a)" in text
    assert "•" not in text
    assert "color" not in text
    assert "hidden" not in text


def test_a_list_close_to_the_body_is_text_and_a_menu_is_not():
    menu = '<div class="menu"><ul><li>Menu entry</li></ul></div>'
    page = f"<html><body>{menu}<p>Text.</p><ul><li>an item</li></ul><aside>Advert</aside></body></html>"
    assert clean(page).text == "Text.\n\n  • an item"


def test_a_fragment_is_kept_whole_with_the_indentation_of_its_code():
    document = clean("<nav>go</nav><p>中文，你好！<pre>for i in x:\n    print(i)</pre><ul><li>项目</ul>")
    assert document.text == "中文，你好！\n\nfor i in x:\n    print(i)\n  • 项目"


def test_only_html_is_touched():
    text = "a <b> b &amp; c"
    document = clean(text, meta={"format": "markdown", "k": 1})
    assert document.text is text
    assert document.meta == {"format": "markdown", "k": 1}
    assert clean(text, meta={}, all_documents=True).text == "a b & c"


def test_every_message_of_a_labelled_row_is_extracted():
    messages = [{"role": "user", "content": "<p>Why?"}, {"role": "assistant", "content": "<p>因为<br>如此"}]
    document = Document(
        id="0", text="", source="s", row={"messages": messages}, kind=CONVERSATION, meta={"format": "html"}
    )
    Html().apply(document)
    assert [message["content"] for message in document.row["messages"]] == ["Why?", "因为\n如此"]
    assert document.text == "Why?\n因为\n如此"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no markup", "no markup"),
        ("a\0b<p>c", "ab\n\nc"),
        ("<p>\ud83d\ude00 \ud800", "😀 \ufffd"),
        ("<p>&#" + "9" * 5000 + ";", "\ufffd"),
        ("<", "<"),
        ("x<p", "x"),
    ],
)
def test_odd_input(text: str, expected: str):
    assert clean(text).text == expected


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * (MAX_DEPTH + 1) + "x",
        "<div>" * (MAX_DEPTH + 1) + "x" + "</div>" * (MAX_DEPTH + 1),
        "<DIV>" * (MAX_DEPTH + 1) + "x",
        "<div></b>" * (MAX_DEPTH + 1) + "x",
        "".join(f"<p><font size={n}>x</p>" for n in range(MAX_UNCLOSED + 1)),
        "<p " + " ".join(f"a{n}=1" for n in range(MAX_ATTRIBUTES + 1)) + ">x",
    ],
)
def test_pages_that_cost_more_than_linear_time_are_read_without_structure(page: str):
    assert not scan(page).is_safe
    document = clean(page)
    assert set(document.text.split()) == {"x"}
    assert document.counts == {"html.unstructured": 1}


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * MAX_DEPTH + "x" + "</div>" * MAX_DEPTH,
        "<p>x" * 5000,
        "<ul>" + "<li>x" * 5000 + "</ul>",
        "x<br><img src=a><hr>" * 5000,
        "<DIV>x</div>" * 5000,
        '<img src="data:' + "A/" * 9_000 + 'A" alt="">' + "x" * 100_000,
    ],
)
def test_ordinary_pages_are_safe(page: str):
    assert scan(page).is_safe


PARAGRAPHS = "".join(f"<p>Paragraph {n}: the boats had left before the storm, and stayed away.</p>" for n in range(12))
MENU = "".join(f'<li><a href="/{n}">Section number {n}</a></li>' for n in range(40))
LOOP = "for(var e=0;e<i;e++)n<a&&i<u;" * 400


@pytest.mark.parametrize(
    ("head", "end"),
    [
        ("", f"<script>{LOOP}</script>"),
        ("", '<script type="application/json">' + '{"html": "<b><div><i>"}' * 400 + "</script>"),
        ("", "<!-- " + "<b><div>" * 400 + " -->"),
        ("", "<script><!-- document.write('<script>" + LOOP + "</script>') --></script>"),
        ("", "<div data-json='" + "<b><div>" * 400 + "'></div>"),
        ("", "<textarea>" + "<b><div>" * 400 + "</textarea>"),
        ("", "<svg>" + '<path d="M0"/>' * 600 + "<title>icon</title></svg>"),
        ("", "<select>" + "<option>a" * 600 + "</select>"),
        ("<style>" + "a>b<i" * 400 + "</style>", ""),
        ("<script>'<title>no</title><body><main>'</script><!-- <body> -->", ""),
        ("", f"<script>{LOOP}"),
    ],
)
def test_what_looks_like_tags_and_is_none_costs_no_page_its_structure(head: str, end: str):
    page = f"""<!doctype html><html><head>{head}<title>Harbour</title></head><body><nav><ul>{MENU}</ul></nav><main>
        <article><h1>Harbour</h1>{PARAGRAPHS}</article></main><footer>Terms of use.</footer>{end}</body></html>"""
    document = clean(page)
    assert document.text.startswith("Harbour\n\nParagraph 0:")
    assert document.text.endswith("and stayed away.")
    assert document.meta["title"] == "Harbour"
    assert document.counts == {}
    high = clean(page, quality="high")
    assert "Section number" not in high.text
    assert high.counts == {}


def test_a_page_is_scanned_as_the_standard_says():
    page = scan('<title>A<b></title><body x="<!--">a<!-- b --->c<!--d--!>e<!-->f<script>"</b>"</SCRIPT >g<style>')
    assert (page.source, page.body, page.title) == (b'<title>A<b></title><body x="<!--">acefg', 34, "A<b>")
    assert scan("<svg><title>icon</title></svg><title>Page</title>").title == "Page"
    # The table keeps `</div>` from the outer element, however many of them there are.
    assert not scan("<div><table><td></div>" * MAX_DEPTH).is_safe
    assert not scan("<b id=1>" * 3 + "".join(f"<font id={n}>" for n in range(MAX_UNCLOSED))).is_safe
    assert scan("<p><b>x</p>" * 1000).is_safe  # three alike at most are opened again


def test_the_article_is_found_among_what_stands_around_it():
    related = '<div class="box-related-links"><h3>Read more</h3><p>Another story about boats and harbours.</p></div>'
    page = f"""<html><body><div class="page has-sidebar"><p>Cookies make this site better for us all.</p>
        <div class="article-body">{PARAGRAPHS}<div class="biology"><p>The gulls stayed.</p></div>{related}
        <h2>More from this author</h2><p><a href="/x">An older story</a></p></div>
        <p>All rights reserved by the publisher.</p></div></body></html>"""
    text = clean(page).text
    assert text.startswith("Paragraph 0:")
    assert text.endswith("The gulls stayed.")
    assert "Another story" in clean(page, main_content=False).text


def test_of_several_articles_none_is_lost():
    articles = "".join(f"<article><h2>Story {n}</h2>{PARAGRAPHS}</article>" for n in range(3))
    text = clean(f"<html><body><div id=wrap><div>{articles}</div></div></body></html>").text
    assert [f"Story {n}" in text for n in range(3)] == [True] * 3


def test_a_page_without_main_text_gives_all_its_text_and_one_without_any_is_a_counted_drop():
    text = "The whole page stands where an advertisement should. " * 5
    assert clean(f'<html><body><div class="banner"><p>{text}</p></div></body></html>').text == text.strip()
    for page in ("", "<html><body><script>x()</script></body></html>", "<p", "<p> </p>"):
        document = Document(id="0", text=page, source="s", meta={"format": "html"})
        assert Html().apply(document) == Drop("html.empty", 0, 1)


def test_the_reader_without_structure():
    page = (
        "<title>t</title><!-- <p>no --><h1>Head</h1><p>one &lt;\n two<br>three</p><script>if (a<b) {}</SCRIPT>"
        "<pre>  code\n\n\n    more</pre><style>p{}</style>&amp;中<b>文</b><!-- never closed <p>no"
    )
    assert _unstructured(page) == "Head\n\none < two\nthree\n\n  code\n\n    more\n\n&中文"
    assert _unstructured("<script>never closed <p>no") == ""
    assert _unstructured("a < b <" + "x" * 50) == "a < b"


@pytest.mark.parametrize("size", [20_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_deep_pages_do_not_end_the_process(size):
    program = """
        from llmkit.cleaning.steps.html import Html
        from llmkit.data.corpus import Document
        for page in ("<div>" * SIZE, "<table><tr><td>" * (SIZE // 2), "<b><p>" * SIZE, "<!--" * SIZE,
                     "<a" * SIZE, "<p>" + " " * 10 * SIZE, "x" * 50 * SIZE, "<div>" * 499 + "y"):
            for quality in ("fast", "high"):
                Html(quality=quality).apply(Document(id="0", text=page, source="s", meta={"format": "html"}))
        print("alive")
    """
    command = [sys.executable, "-c", textwrap.dedent(program).replace("SIZE", str(size))]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (result.stdout, result.returncode) == ("alive\n", 0), result.stderr[-500:]


ARTICLE = "A sentence of an article that is long enough to be taken for one, with commas, too. " * 6
NEWS = f"""<html><body><div class="menu"><a href="/">Home</a> <a href="/a">About</a></div><article><h1>News</h1>
<p>{ARTICLE}</p><pre>if x:
    y()</pre><p>{ARTICLE}</p></article><div class="related">Read more: <a href="/b">Other</a></div></body></html>"""


def test_high_quality_is_trafilatura():
    text = clean(NEWS, quality="high").text
    assert text == trafilatura.extract(NEWS, include_comments=False).strip("\n")
    assert "if x:\n    y()" in text
    assert "About" not in text


def test_high_quality_falls_back_where_nothing_is_found():
    page = "<ul><li>短</ul>"
    assert not trafilatura.extract(page)
    assert clean(page, quality="high").text == "  • 短"


def test_high_quality_names_its_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(SetupError, match="'quality' extra") as error:
        clean(NEWS, quality="high")
    assert error.value.hint == 'pip install "llmkit[quality]"'
