"""What a person does on the page, and what the server gets: answers, stop, retry, edit, settings, errors."""

from __future__ import annotations

import threading

from playwright.sync_api import Page, expect

from page_browser import Opened, ask
from page_server import Answering, LostError, RefusedError

SOURCES = [
    {"n": 1, "title": "Tides", "source": "https://example.org/tides", "text": "Twice a day."},
    {"n": 2, "title": "<b>Moon</b>", "source": "javascript:alert(1)", "text": "It pulls."},
]


def test_an_answer_comes_as_it_is_written(server: Answering, page: Page):
    more = threading.Event()
    server.answer = lambda body: ["**Tides** ", more, "come and go."]
    ask(page, "What are tides?", ended=False)
    expect(page.locator(".prose strong")).to_have_text("Tides")
    assert page.locator(".answer").get_attribute("aria-busy") == "true"
    expect(page.locator("#said")).to_have_text("tiny is writing …")
    more.set()
    expect(page.locator(".prose")).to_have_text("Tides come and go.")
    expect(page.locator("#said")).to_have_text("tiny wrote: **Tides** come and go.")
    expect(page.locator(".figures")).to_contain_text("2 tokens")
    assert page.locator(".answer").get_attribute("aria-busy") == "false"
    assert page.title() == "What are tides? · llmkit"
    (body,) = server.seen
    assert body == {
        "model": "tiny", "messages": [{"role": "user", "content": "What are tides?"}],
        "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip


def test_the_next_message_is_sent_with_what_was_said(server: Answering, page: Page):
    ask(page, "One")
    ask(page, "Two")
    said = [("user", "One"), ("assistant", "All right."), ("user", "Two")]
    assert [(m["role"], m["content"]) for m in server.seen[1]["messages"]] == said


def test_an_answer_can_be_stopped_and_is_kept(server: Answering, page: Page):
    never = threading.Event()
    server.answer = lambda body: ["Half ", never, *["x"] * 10_000]
    ask(page, "Write on", ended=False)
    expect(page.locator(".prose")).to_have_text("Half")
    page.keyboard.press("Escape")
    expect(page.locator(".ending")).to_have_text("Stopped.")
    expect(page.locator("#send")).to_be_visible()
    never.set()
    for _ in range(100):
        if server.left:
            break
        page.wait_for_timeout(50)
    assert server.left == 1, "the server goes on writing"
    expect(page.locator(".prose")).to_have_text("Half")


def test_retry_replaces_the_answer_and_can_be_undone(server: Answering, page: Page):
    ask(page, "One")
    server.answer = lambda body: ["Another."]
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".prose")).to_have_text("Another.")
    assert server.seen[1]["messages"] == [{"role": "user", "content": "One"}]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".prose")).to_have_text("All right.")


def test_a_message_can_be_edited_and_what_followed_is_replaced(server: Answering, page: Page):
    ask(page, "One")
    ask(page, "Two")
    page.locator(".user").first.hover()
    page.locator(".user").first.get_by_role("button", name="Edit").click()
    field = page.get_by_role("textbox", name="Edit your message")
    field.fill("Uno")
    field.press("Enter")
    expect(page.locator(".user")).to_have_count(1)
    page.wait_for_selector("#send:visible")
    assert server.seen[2]["messages"] == [{"role": "user", "content": "Uno"}]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".bubble")).to_have_text(["One", "Two"])


def test_the_last_message_is_edited_from_the_empty_field_and_escape_leaves_it(page: Page):
    ask(page, "One")
    page.press("#message", "ArrowUp")
    field = page.get_by_role("textbox", name="Edit your message")
    expect(field).to_be_focused()
    field.press("Escape")
    expect(page.locator(".bubble")).to_have_text("One")


def test_enter_that_belongs_to_an_input_method_sends_nothing(server: Answering, page: Page):
    page.focus("#message")
    session = page.context.new_cdp_session(page)
    session.send("Input.imeSetComposition", {"text": "nihao", "selectionStart": 5, "selectionEnd": 5})
    for kind in ("rawKeyDown", "keyUp"):
        session.send(
            "Input.dispatchKeyEvent", {"type": kind, "key": "Process", "windowsVirtualKeyCode": 229, "code": "Enter"}
        )
    composing = "new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })"
    assert page.evaluate(f"document.querySelector('#message').dispatchEvent({composing})"), (
        "its default is kept from it"
    )
    session.send("Input.insertText", {"text": "你好"})
    expect(page.locator("#message")).to_have_value("你好")
    assert server.seen == []
    page.keyboard.press("Enter")
    expect(page.locator(".bubble")).to_have_text("你好")


def test_shift_and_enter_begin_a_new_line_and_blank_is_not_sent(server: Answering, page: Page):
    page.fill("#message", "  ")
    page.press("#message", "Enter")
    page.fill("#message", "One")
    page.press("#message", "Shift+Enter")
    expect(page.locator("#message")).to_have_value("One\n")
    assert server.seen == []


def test_settings_are_sent_and_kept_for_new_chats(server: Answering, page: Page):
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("System prompt").fill("Be brief.")
    for name, value in (("Temperature", "0"), ("Top p", "0.9"), ("Most tokens of an answer", "32"), ("Seed", "7")):
        page.get_by_label(name).fill(value)
    page.get_by_label("Temperature").fill("3")
    page.get_by_label("Temperature").press("Tab")
    page.get_by_label("Temperature").fill("0")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="New chat").click()
    ask(page, "One")
    (body,) = server.seen
    assert (body["temperature"], body["top_p"], body["max_tokens"], body["seed"]) == (0, 0.9, 32, 7)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_refusal_is_shown_in_the_servers_words_with_a_retry(server: Answering, page: Page):
    words = "max_tokens: <b>4,096</b> is more than this model's 2,048"
    server.answer = lambda body: [RefusedError(400, words)]
    ask(page, "One")
    expect(page.locator(".ending.error p")).to_contain_text(f"The server answered 400: {words}")
    assert page.locator(".ending b").count() == 0
    server.answer = lambda body: ["Better."]
    page.locator(".ending").get_by_role("button", name="Retry").click()
    expect(page.locator(".prose")).to_have_text("Better.")
    assert len(server.seen[1]["messages"]) == 1


def test_a_full_queue_says_when_to_try_again(server: Answering, page: Page):
    server.answer = lambda body: [RefusedError(429, "the queue is full", Retry_After="7")]
    ask(page, "One")
    expect(page.locator(".ending.error p")).to_contain_text(
        "The server answered 429: the queue is full Try again in 7 s."
    )


def test_an_exchange_without_an_answer_is_no_part_of_the_chat(server: Answering, page: Page):
    server.answer = lambda body: [RefusedError(500, "out of memory")]
    ask(page, "One")
    server.answer = lambda body: ["Yes."]
    ask(page, "Two")
    assert server.seen[1]["messages"] == [{"role": "user", "content": "Two"}]


def test_a_connection_lost_in_mid_answer_is_said_and_the_text_kept(server: Answering, page: Page):
    cut = threading.Event()
    server.answer = lambda body: ["Half an ", cut, LostError()]
    ask(page, "One", ended=False)
    expect(page.locator(".prose")).to_have_text("Half an")
    cut.set()
    expect(page.locator(".ending.error p")).to_contain_text("The connection was lost in the middle of the answer")
    expect(page.locator(".prose")).to_have_text("Half an")


def test_an_error_within_the_stream_is_said(server: Answering, page: Page):
    server.answer = lambda body: ["Half ", {"error": {"message": "the engine died", "code": 503}}]
    ask(page, "One")
    expect(page.locator(".ending.error p")).to_contain_text("The server answered 503: the engine died")


def test_a_server_that_is_gone_is_said(server: Answering, page: Page):
    page.route("**/v1/chat/completions", lambda route: route.abort())
    ask(page, "One")
    expect(page.locator(".ending.error p")).to_contain_text("The server cannot be reached.")


def test_an_answer_that_is_cut_off_says_so(server: Answering, page: Page):
    server.answer = lambda body: ["One two", {"finish": "length"}]
    ask(page, "Count")
    expect(page.locator(".ending")).to_have_text("Cut off at the largest number of tokens.")


def test_a_key_is_asked_for_once_and_kept_for_the_tab(server: Answering, opened: Opened):
    server.key = "sesame"
    page = opened(wait="#key-dialog[open]")
    page.get_by_role("textbox", name="API key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-wrong")).to_be_visible()
    page.get_by_role("textbox", name="API key").fill("sesame")
    page.keyboard.press("Enter")
    page.wait_for_selector("#empty h2")
    ask(page, "One")
    expect(page.locator(".prose")).to_have_text("All right.")
    assert page.evaluate("Object.values(localStorage).join().includes('sesame')") is False
    page.reload()
    expect(page.locator(".prose")).to_have_text("All right.")
    expect(page.locator("#key-dialog")).not_to_be_visible()


def test_without_a_key_the_servers_words_are_shown(server: Answering, opened: Opened):
    server.key = "sesame"
    page = opened(wait="#key-dialog[open]")
    page.keyboard.press("Escape")
    expect(page.locator("#empty")).to_contain_text("The server answered 401: a key is needed")


def test_sources_are_shown_and_found_from_the_text(server: Answering, page: Page):
    server.answer = lambda body: ["They turn [1] by the moon [2], not [3].", {"citations": SOURCES}]
    ask(page, "Why tides?")
    expect(page.locator(".prose .cite")).to_have_text(["1", "2"])
    expect(page.locator(".prose")).to_contain_text("not [3].")
    page.get_by_role("button", name="Source 2").click()
    details = page.locator(".sources details").nth(1)
    expect(details).to_have_attribute("open", "")
    expect(details.locator("summary")).to_be_focused()
    expect(details).to_contain_text("<b>Moon</b>")
    assert page.locator(".sources a").evaluate_all("links => links.map((link) => link.href)") == [
        "https://example.org/tides"
    ]


def test_ten_thousand_tokens_arrive_while_the_page_stays_alive(server: Answering, page: Page):
    server.answer = lambda body: ["Some ", "**words** ", "of it.\n\n", "- and \n"] * 2_500
    page.evaluate("""() => {
      window.longest = 0;
      let last = performance.now();
      const beat = () => {
        const now = performance.now();
        window.longest = Math.max(window.longest, now - last);
        last = now;
        setTimeout(beat, 5);
      };
      beat();
    }""")
    ask(page, "Write a lot", ended=False)
    page.wait_for_selector("#send:visible", timeout=60_000)
    expect(page.locator(".figures")).to_contain_text("10,000 tokens")
    assert page.locator(".prose strong").count() == 2_500
    # Painting the whole text once says how fast this machine is, with whatever else runs on it.
    once = page.evaluate("""async () => {
      const { Prose } = await import("./markdown.js");
      const prose = document.querySelector(".prose");
      const began = performance.now();
      const again = prose.cloneNode(false);
      prose.after(again);
      new Prose(again, {}).finish("Some **words** of it.\\n\\n- and \\n".repeat(2500));
      again.getBoundingClientRect();
      return performance.now() - began;
    }""")
    assert page.evaluate("window.longest") < max(2_500, 5 * once), "the page stood still"


def test_text_is_copied_with_and_without_a_clipboard(server: Answering, opened: Opened):
    for script in ("", "Object.defineProperty(navigator, 'clipboard', { value: undefined });"):
        page = opened(script=script, permissions=["clipboard-read", "clipboard-write"])
        server.answer = lambda body: ["```\nx = 1\n```"]
        ask(page, "One")
        page.locator(".code").get_by_role("button", name="Copy").click()
        expect(page.locator(".copy")).to_have_text("Copied")
        page.focus("#message")
        page.keyboard.press("Control+V")
        expect(page.locator("#message")).to_have_value("x = 1")


def test_the_page_works_below_a_path_of_a_proxy(server: Answering, page: Page):
    paths = []
    page.on("request", lambda request: paths.append(request.url.removeprefix(server.url)))
    page.goto(f"{server.url}below/")
    page.wait_for_selector("#empty h2")
    ask(page, "One")
    expect(page.locator(".prose")).to_have_text("All right.")
    assert all(path.startswith("below/") for path in paths)
    assert {"below/page/config", "below/v1/chat/completions", "below/vendor/marked.js"} <= set(paths)
