"""What the page makes of a model's text: the right nodes, nothing that runs, and the same when it comes in pieces."""

# ruff: noqa: E501 - one case a line
from __future__ import annotations

import random
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser, Page

from page_server import Answering

SHOW = """async (texts) => {
  const { Prose } = await import("/markdown.js");
  return texts.map((text) => { const box = document.createElement("div"); new Prose(box).finish(text); return box.innerHTML; });
}"""
IN_PIECES = """async ([texts, step]) => {
  const { Prose } = await import("/markdown.js");
  return texts.filter((text) => {
    const whole = document.createElement("div"), grown = document.createElement("div");
    new Prose(whole).finish(text);
    const prose = new Prose(grown);
    for (let end = step; end < text.length; end += step) prose.write(text.slice(0, end));
    prose.finish(text);
    return grown.innerHTML !== whole.innerHTML;
  });
}"""
MATHS = """async (sources) => {
  const { mathml } = await import("/maths.js");
  return sources.map((source) => mathml(source, false)?.innerHTML ?? null);
}"""
NODES = """async ([piece, count]) => {
  const { Prose } = await import("/markdown.js");
  const make = document.createElement.bind(document);
  let made = 0;
  document.createElement = (tag) => { made += 1; return make(tag); };
  const box = make("div"), prose = new Prose(box);
  let text = "";
  for (let i = 0; i < count; i += 1) if (text += piece, i % 4 === 0) prose.write(text);
  prose.finish(text);
  document.createElement = make;
  return [made, box.querySelectorAll("*").length];
}"""
COST = """async ([piece, counts]) => {
  const { Prose } = await import("/markdown.js");
  return counts.map((count) => {
    const began = performance.now();
    new Prose(document.createElement("div")).write(piece.repeat(count));
    return performance.now() - began;
  });
}"""

SHOWN = [
    ("# One\n\nText", '<h3 class="h1" dir="auto">One</h3><p dir="auto">Text</p>'),
    ("### Deep\n\n##### Deeper", '<h3 class="h3" dir="auto">Deep</h3><h4 class="h5" dir="auto">Deeper</h4>'),
    ("a **b** *c* ~~d~~ `e<f>`", '<p dir="auto">a <strong>b</strong> <em>c</em> <del>d</del> <code dir="auto">e&lt;f&gt;</code></p>'),
    ("one\ntwo<br>three", '<p dir="auto">one<br>two<br>three</p>'),
    ("AT&amp;T &lt;b&gt; &#39; &unknown;", "<p dir=\"auto\">AT&amp;T &lt;b&gt; ' &amp;unknown;</p>"),
    ("3. x\n4. y", '<ol start="3"><li dir="auto"><span dir="auto">x</span></li><li dir="auto"><span dir="auto">y</span></li></ol>'),
    ("costs $5 and $6 today", '<p dir="auto">costs $5 and $6 today</p>'),
    ("see [1] and [2](x)", '<p dir="auto">see [1] and [2](x)</p>'),
    ("<b>x</b>\n\n<div>y</div>", '<p dir="auto">&lt;b&gt;x&lt;/b&gt;</p><p dir="auto">&lt;div&gt;y&lt;/div&gt;</p>'),
    ("half **bold and `code", '<p dir="auto">half **bold and `code</p>'),
    ("[x](/v1/models) [y](//evil.example)", '<p dir="auto">[x](/v1/models) [y](//evil.example)</p>'),
    ("[a](https://example.org/?a=1&amp;b=2)",
     '<p dir="auto"><a href="https://example.org/?a=1&amp;b=2" target="_blank" rel="noopener noreferrer nofollow" '
     'title="https://example.org/?a=1&amp;b=2">a</a></p>'),
]  # fmt: skip

HOSTILE = [
    "<script>window.hit = 1</script>",
    "<img src=x onerror='window.hit=1'>",
    "<svg/onload=window.hit=1>",
    "[x](javascript:window.hit=1)",
    "[x](JaVaScRiPt&colon;window.hit=1)",
    "[x](&#106;avascript:window.hit=1)",
    "[x](java\tscript:window.hit=1)",
    "[x](<java\nscript:window.hit=1>)",
    "[x](data:text/html,<script>window.hit=1</script>)",
    "[x](vbscript:x)",
    "![x](javascript:window.hit=1)",
    "![x](https://evil.example/steal?q=secret)",
    "![x](data:image/svg+xml,<svg onload=window.hit=1>)",
    "<javascript:window.hit=1>",
    '<https://ok.example/"onmouseover=window.hit=1>',
    '[x](https://ok.example "title\\" onclick=window.hit=1")',
    "[x][r]\n\n[r]: javascript:window.hit=1",
    '```"onload=window.hit=1\n</code></pre><script>window.hit=1</script>\n```',
    "```html\n<img src=x onerror=window.hit=1>\n```",
    "`</code><script>window.hit=1</script>`",
    "| <img src=x onerror=window.hit=1> | [y](javascript:window.hit=1) |\n|---|---|\n| <script>window.hit=1</script> | z |",
    "$\\text{<img src=x onerror=window.hit=1>}$",
    "$$\\href{javascript:window.hit=1}{x}$$",
    "$\\unicode{<script>}$ \\(<script>window.hit=1</script>\\)",
    "- [ ] <input autofocus onfocus=window.hit=1>",
    "<style>*{display:none}</style><iframe srcdoc='<script>parent.hit=1</script>'></iframe>",
    "<a href='javascript:window.hit=1' style='position:fixed;inset:0'>x</a>",
    "> " * 200 + "<script>window.hit=1</script>",
    "\u202eright to left\u202c العربية <b>",
    "\x00\x1b[31m\ufffe",
    "[" * 3000,
    "*" * 3000 + "x",
    "`" * 3000,
    "$" * 3000,
    "\\(" * 1500,
    "|a" * 800 + "|\n" + "|-" * 800 + "|",
    "&#0;&#x110000;&#xd800;&lt;script&gt;",
]
ALLOWED = {
    "h3": {"class", "dir"}, "h4": {"class", "dir"}, "h5": {"class", "dir"}, "h6": {"class", "dir"}, "p": {"dir"}, "blockquote": set(),
    "ul": set(), "ol": {"start"}, "li": {"dir", "class"}, "table": set(), "thead": set(), "tbody": set(), "tr": set(),
    "th": {"dir", "class", "scope"}, "td": {"dir", "class"}, "hr": set(), "br": set(), "strong": set(), "em": set(), "del": set(),
    "code": {"dir", "class"}, "pre": {"tabindex", "role", "aria-label"}, "div": {"class", "dir", "tabindex", "role", "aria-label"},
    "span": {"class", "dir", "role", "aria-label"}, "a": {"href", "target", "rel", "title"}, "button": {"type", "class", "aria-label"},
    "svg": {"viewbox", "aria-hidden", "class"}, "path": {"d"}, "math": {"display"},
}  # fmt: skip
MATHML = {"mrow", "mi", "mo", "mn", "mtext", "mspace", "msup", "msub", "msubsup", "munder", "mover", "munderover", "mfrac", "msqrt",
          "mroot", "mtable", "mtr", "mtd"}  # fmt: skip
MATHML_ATTRIBUTES = {"mathvariant", "stretchy", "fence", "accent", "width", "class", "linethickness", "display"}


class Strange(HTMLParser):
    """Elements and attributes that the page never makes, and links to elsewhere than the web or mail."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        allowed = MATHML_ATTRIBUTES if tag in MATHML else ALLOWED.get(tag)
        if allowed is None:
            self.found.append(tag)
        for name, value in attrs:
            if name not in (allowed or ()):
                self.found.append(f"{tag} {name}")
            if name == "href" and not value.startswith(("https://", "http://", "mailto:")):
                self.found.append(value)


def strange(html: str) -> list[str]:
    parser = Strange()
    parser.feed(html)
    return parser.found


def test_markdown_becomes_these_nodes(page: Page):
    assert page.evaluate(SHOW, [text for text, _ in SHOWN]) == [html for _, html in SHOWN]


def test_code_has_its_language_colours_and_a_button(page: Page):
    (html,) = page.evaluate(SHOW, ['```python\nif x: # why\n    "text" + 42\n```'])
    assert "<span>python</span>" in html
    assert '<span class="keyword">if</span> x: <span class="comment"># why</span>' in html
    assert '<span class="string">"text"</span> + <span class="number">42</span>' in html
    assert html.count("<button") == 1


def test_tables_keep_their_alignment_and_can_be_scrolled_by_keyboard(page: Page):
    (html,) = page.evaluate(SHOW, ["| a | b |\n|--:|---|\n| 1 | **x** |"])
    assert '<div class="scroll" tabindex="0" role="group" aria-label="Table">' in html
    assert '<th dir="auto" class="to-right" scope="col">a</th>' in html
    assert '<td dir="auto"><strong>x</strong></td>' in html


def test_formulas_become_mathml(page: Page):
    cases = {
        "x^2": "<msup><mi>x</mi><mn>2</mn></msup>",
        "x^12": "<msup><mi>x</mi><mn>1</mn></msup><mn>2</mn>",
        "a_i^{n+1}": "<msubsup><mi>a</mi><mi>i</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msubsup>",
        r"\frac{1}{2}": "<mfrac><mn>1</mn><mn>2</mn></mfrac>",
        r"\sqrt[3]{x}": "<mroot><mi>x</mi><mn>3</mn></mroot>",
        r"\sum_{i}^n i": "<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover><mi>i</mi>",
        r"\int_0^1": "<msubsup><mo>∫</mo><mn>0</mn><mn>1</mn></msubsup>",
        r"\mathbb{R} \alpha \sin": "<mi>ℝ</mi><mi>α</mi><mi>sin</mi>",
        r"f'": "<msup><mi>f</mi><mo>′</mo></msup>",
        r"\text{if } x": "<mtext>if\u00a0</mtext><mi>x</mi>".replace("\u00a0", "&nbsp;"),
        r"\begin{matrix} 1 & 2 \\ 3 & 4 \end{matrix}":
            "<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd><mtd><mn>4</mn></mtd></mtr></mtable>",
    }  # fmt: skip
    assert page.evaluate(MATHS, list(cases)) == list(cases.values())


@pytest.mark.parametrize(
    "source",
    [
        r"\weird{x}",
        "{x",
        "x}",
        r"\frac{1}",
        "x^1^2",
        r"\begin{matrix} 1",
        r"\left( x",
        "a & b",
        r"\href{a}{b}",
        "{" * 200,
        r"\constructor",
        r"\text{$x$}",
    ],
)
def test_a_formula_that_is_not_known_stays_its_source(page: Page, source: str):
    assert page.evaluate(MATHS, [source]) == [None]


def test_an_unknown_formula_is_shown_as_written(page: Page):
    (html,) = page.evaluate(SHOW, [r"so $\weird{x}$ it is"])
    assert html == r'<p dir="auto">so <code class="tex">$\weird{x}$</code> it is</p>'


def test_nothing_of_a_model_runs_or_is_fetched(page: Page):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    htmls = page.evaluate(SHOW, HOSTILE)
    assert {text: strange(html) for text, html in zip(HOSTILE, htmls, strict=True) if strange(html)} == {}
    show = "async (texts) => { const { Prose } = await import('/markdown.js'); for (const text of texts) { const box = document.querySelector('#turns').appendChild(document.createElement('div')); new Prose(box).finish(text); } }"
    page.evaluate(show, HOSTILE)
    page.wait_for_timeout(300)
    assert page.evaluate("window.hit") is None
    assert [url for url in requests if "127.0.0.1" not in url] == []


def test_the_page_could_not_make_html_of_a_text_if_it_tried(browser: Browser, server: Answering):
    page = browser.new_page()
    page.goto(server.url)
    tried = (
        "() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch (error) { return error.name; } }"
    )
    assert page.evaluate(tried) == "TypeError"
    page.close()


def fragments(count: int) -> list[str]:
    """Texts put together of pieces of markdown and of what is hostile, with seeds."""
    parts = ["text ", "\n", "\n\n", "# ", "- ", "  - ", "1. ", "> ", "**", "*", "_", "`", "```", "```py\n", "~~", "|", "|-|-|\n", "a|b\n", "---\n",
             "===\n", "[x](", "https://a.b/c", ")", "[", "]", "[1]", "![", "$", "$$", "\\(", "\\)", "\\[", "\\]", "x^2", "\\frac{1}{2}", "<b>", "</b>",
             "<br>", "&lt;", "&amp;", "\\", "中文。", "العربية", "[r]: https://a.b\n", "[r]", "\t", "    ", "- [ ] ", "e\u0301", "😀", "www.a.b "]  # fmt: skip
    made = []
    for seed in range(count):
        choice = random.Random(seed)
        made.append("".join(choice.choice(parts) for _ in range(choice.randint(2, 40))))
    return made


def test_a_text_in_pieces_ends_as_the_whole_text_does(page: Page):
    texts = [*[text for text, _ in SHOWN], *fragments(200)]
    assert page.evaluate(IN_PIECES, [texts, 1]) == []
    assert page.evaluate(IN_PIECES, [HOSTILE, 97]) == []


def test_no_mixture_of_pieces_makes_a_strange_element(page: Page):
    texts = fragments(1500)
    htmls = page.evaluate(SHOW, texts)
    assert [text for text, html in zip(texts, htmls, strict=True) if strange(html)] == []


def test_blocks_that_have_ended_are_made_once(page: Page):
    made, kept = page.evaluate(NODES, ["Some **words** of it.\n\n", 4_000])
    assert kept == 8_000
    assert made < 2 * kept, "paragraphs are made again and again"


@pytest.mark.parametrize("piece", ["word and ", "**b** `c` [1] $x$ ", "x = 1\n", "- item\n", "| a | b |\n", "> a\n"],
                         ids=["one-line", "inline", "lines", "list", "rows", "quote"])  # fmt: skip
def test_a_block_that_goes_on_is_painted_in_a_time_that_grows_with_it(page: Page, piece: str):
    """Painting rests four times as long as it took (turns.js), so that it never fills the time of a growing answer."""
    small, large = page.evaluate(COST, [piece, [2_500, 20_000]])
    assert large < max(1_500, 24 * small), f"{small:.0f} ms for 2,500 pieces, {large:.0f} ms for 20,000"


@pytest.mark.parametrize("unit", ["x_", "**a", "> ", "[", "`", "$", "- ", "*a ", "```\na\n"])
def test_what_a_model_repeats_for_ever_does_not_stop_the_page(page: Page, unit: str):
    (took,) = page.evaluate(COST, [unit, [40_000 // len(unit)]])
    assert took < 5_000
    (html,) = page.evaluate(SHOW, [unit * (40_000 // len(unit))])
    assert html != ""
