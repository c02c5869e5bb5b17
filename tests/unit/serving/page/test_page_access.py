"""The page for everybody: axe-core finds nothing, in any theme, language or width; a keyboard does it all."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from page_browser import PHONE, Opened, ask, tab_to, violations
from page_server import Answering, RefusedError

EVERYTHING = """# Heading

### Deeper

Text with **words**, `code`, a [link](https://example.org), $x^2$ and [1].

| a | b |
|---|---|
| 1 | 2 |

- [x] done
- open

```python
def f(x):  # comment
    return "text" + 42
```

$$\\sum_{i=1}^n x_i$$

> A quote
"""
SOURCES = [{"n": 1, "title": "Tides", "source": "https://example.org/tides", "text": "Twice a day."}]


def answer(body):
    if "refuse" in body["messages"][-1]["content"]:
        return [RefusedError(400, "no")]
    return [EVERYTHING, {"citations": SOURCES}]


@pytest.mark.parametrize(("scheme", "locale", "device"), [
    ("light", "en-US", "desk"), ("dark", "zh-CN", "phone"),
    *(pytest.param(*cell, marks=pytest.mark.slow) for cell in [
        ("dark", "en-US", "desk"), ("light", "zh-CN", "desk"), ("dark", "zh-CN", "desk"),
        ("light", "en-US", "phone"), ("dark", "en-US", "phone"), ("light", "zh-CN", "phone"),
    ]),
])  # fmt: skip
def test_axe_finds_nothing_in_any_state(server: Answering, opened: Opened, scheme: str, locale: str, device: str):
    server.config = {"models": ["tiny", "small"], "votes": True, "title": "llmkit"}
    server.answer = answer
    page = opened(locale=locale, color_scheme=scheme, reduced_motion="reduce", **(PHONE if device == "phone" else {}))
    assert page.evaluate("document.documentElement.lang") == ("zh-CN" if locale == "zh-CN" else "en")
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == (scheme == "dark")
    assert violations(page) == [], "empty"
    ask(page, "Show everything")
    assert violations(page) == [], "an answer"
    ask(page, "refuse")
    assert violations(page) == [], "an error"
    page.click("#open-settings")
    assert violations(page) == [], "settings"
    page.keyboard.press("Escape")
    page.click("#pair")
    ask(page, "Both")
    page.locator(".better").first.click()
    page.wait_for_selector(".notice")
    assert violations(page) == [], "side by side, with a notice"
    if device == "phone":
        page.locator("#open-chats button").click()
        page.wait_for_timeout(50)
        assert violations(page) == [], "the list of chats"


def test_axe_finds_nothing_where_a_key_is_asked_for(server: Answering, opened: Opened):
    server.key = "sesame"
    assert violations(opened(wait="#key-dialog[open]")) == []


def test_nothing_is_wider_than_a_phone(server: Answering, opened: Opened):
    server.config = {"models": ["a-model-with-a-rather-long-name-" * 3, "small"], "votes": True, "title": "llmkit"}
    long = "w" * 3000
    server.answer = lambda body: [
        f"{long}\n\n```\n{long}\n```\n\n| {long[:300]} | b |\n|---|---|\n| 1 | 2 |\n\n$$" + "x+" * 300 + "x$$"
    ]
    page = opened(**PHONE)
    ask(page, long)
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    assert page.evaluate("document.querySelector('#scroll').scrollWidth") == 375
    small = page.evaluate("""[...document.querySelectorAll('button, select')]
        .filter((one) => one.checkVisibility({ visibilityProperty: true }) && one.offsetHeight)
        .map((one) => [one.id || one.className, one.offsetWidth, one.offsetHeight])
        .filter(([, width, height]) => Math.min(width, height) < 24)""")
    assert small == [], "smaller than the 24 pixels of WCAG 2.5.8"


def test_everything_is_done_by_keyboard(server: Answering, opened: Opened):
    server.config = {"models": ["tiny", "small"], "votes": True, "title": "llmkit"}
    server.answer = answer
    page = opened()
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("One")
    page.keyboard.press("Enter")
    page.wait_for_selector(".figures")
    expect(page.locator("#message")).to_be_focused()
    tab_to(page, "Good answer")
    page.keyboard.press("Enter")
    expect(page.locator(".notice")).to_contain_text("recorded")
    assert server.votes[0]["label"] is True
    tab_to(page, "Source 1")
    page.keyboard.press("Enter")
    expect(page.locator(".sources summary")).to_be_focused()
    tab_to(page, "Edit")
    page.keyboard.press("Enter")
    page.keyboard.type(" more")
    page.keyboard.press("Enter")
    page.wait_for_selector("#send:visible")
    expect(page.locator("#message")).to_be_focused()
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    expect(page.locator(".bubble")).to_have_text("One")
    page.focus("#message")
    tab_to(page, "Side by side")
    page.keyboard.press("Space")
    tab_to(page, "Right model")
    page.keyboard.press("ArrowUp")
    page.focus("#message")
    page.keyboard.type("Two")
    page.keyboard.press("Enter")
    page.wait_for_selector(".better")
    tab_to(page, "This one is better")
    page.keyboard.press("Enter")
    expect(page.locator(".badge")).to_be_visible()
    expect(page.locator("#message")).to_be_focused()
    tab_to(page, "Delete “One”")
    page.keyboard.press("Enter")
    expect(page.locator("#chats li")).to_have_count(0)
    expect(page.locator(".notice button").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#chats li")).to_have_count(1)


def test_the_skip_link_leads_to_the_field_and_focus_is_seen(opened: Opened):
    page = opened()
    tab_to(page, "Skip to the message field")
    expect(page.locator(".skip")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()


def test_the_drawer_of_a_phone_takes_the_focus_and_gives_it_back(server: Answering, opened: Opened):
    page = opened(**PHONE)
    page.locator("#open-chats button").click()
    expect(page.locator("#close-chats button")).to_be_focused()
    assert page.evaluate("document.querySelector('#main').inert")
    page.keyboard.press("Escape")
    expect(page.locator("#open-chats button")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.querySelector('#sidebar')).visibility") in {"hidden", "visible"}


def test_language_and_theme_are_chosen_and_kept(opened: Opened):
    page = opened(locale="zh-TW")
    expect(page.locator("#empty h2")).to_have_text("想问点什么？")
    page.select_option("#language", "en")
    expect(page.locator("#empty h2")).to_have_text("What would you like to ask?")
    page.get_by_role("button", name="Theme: as the system").click()
    page.get_by_role("button", name="Theme: light").click()
    page.reload()
    page.wait_for_selector("#empty h2")
    assert page.evaluate("[document.documentElement.lang, document.documentElement.dataset.theme]") == ["en", "dark"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 29)"
    page.get_by_role("button", name="Theme: dark").click()
    expect(page.get_by_role("button", name="Theme: as the system")).to_be_visible()


def test_both_languages_have_every_word(opened: Opened):
    words = opened().evaluate(
        "async () => Object.values((await import('/words.js')).WORDS).map((one) => Object.entries(one))"
    )
    english, chinese = (dict(one) for one in words)
    assert english.keys() == chinese.keys()
    holes = {name: sorted(part.split("}")[0] for part in text.split("{")[1:]) for name, text in english.items()}
    assert holes == {name: sorted(part.split("}")[0] for part in text.split("{")[1:]) for name, text in chinese.items()}
