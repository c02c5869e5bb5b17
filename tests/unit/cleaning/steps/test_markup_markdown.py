"""Markdown against a text written by hand and a full parser."""

from __future__ import annotations

from time import process_time

from markdown_it import MarkdownIt

from llmkit.cleaning.steps._markup_markdown import to_text

MARKDOWN = """---
title: front matter
---
# Title #

Some *emphasis*, **bold**, ***both***, `co*d*e`, ``a`b``, [link](http://a.b/c_(d) "t"), ![alt](i.png),
[![badge](b.svg)](http://x), snake_case_name, _it_, 2 * 3 * 4, \\*not\\*, ~~old~~, a<b && c>d<br>
See [ref][1][^n] at <https://x.y/z> &copy; List<T>.

Setext
------
> quoted **over
> two** lines

- item
* item two
  ```python
  def f(x):
      return *x
  ```

| a | b |
|---|:-:|
| 1 | **2** |

    indented *code*

***
```
# no heading
```
<!-- a
comment --><div align="center">中 <b>x</b></div>

[1]: http://foo
[^n]: The note.
这是**重点**内容，见[链接](http://a)。"""
MARKDOWN_TEXT = """Title

Some emphasis, bold, both, co*d*e, a`b, link, alt,
badge, snake_case_name, it, 2 * 3 * 4, *not*, old, a<b && c>d
See ref at https://x.y/z © List<T>.

Setext
quoted over
two lines

- item
* item two
def f(x):
    return *x

a\tb
1\t2

    indented *code*

# no heading
中 x

The note.
这是重点内容，见链接。"""


def test_a_whole_document():
    assert to_text(MARKDOWN) == MARKDOWN_TEXT


def test_what_looks_like_emphasis_in_code_stays():
    assert to_text("`**kwargs` and `__init__`") == "**kwargs and __init__"


def test_an_unclosed_fence_runs_to_the_end():
    assert to_text("~~~sh\n*a*\n# b") == "*a*\n# b"


def test_commonmark_agrees_on_paragraphs():
    sources = [
        "a *b* **c** ***d*** _e_ __f__ `g`",
        "a * b * c, 2*3, x_y_z, **not closed",
        '[a](b) [c](<d e> "t") ![f](g) [h] (i)',
        "\\*a\\* \\# \\[b\\](c)",
        "**重点**内容_x_，`代码`",
        "*a **b** c* and **a *b* c**",
    ]
    for source in sources:
        tokens = MarkdownIt("commonmark").parse(source)[1].children
        expected = "".join(token.content for token in tokens if token.type in {"text", "code_inline", "image"})
        assert to_text(source) == expected.replace("text_special", ""), source


def test_quotations_within_quotations_take_linear_time():
    assert to_text("> " * 100_000 + "deep") == "deep"
    assert to_text("> > ```\n> > a > b\n> >   c\n> > ```\n>>>  d") == "a > b\n  c\n d"
    text = "> " * 20_000 + "```\n" + "> > a\n" * 20_000

    def seconds(source: str) -> float:
        start = process_time()
        to_text(source)
        return process_time() - start

    quarter = min(seconds("> " * 5_000 + "```\n" + "> > a\n" * 5_000) for _ in range(3))
    assert min(seconds(text) for _ in range(3)) < 8 * quarter + 0.01
