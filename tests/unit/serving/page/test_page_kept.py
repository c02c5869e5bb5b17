"""What the browser keeps: chats over a reload and between tabs, what does not fit, and rows that finetune reads."""

from __future__ import annotations

import json
import threading

from playwright.sync_api import Page, expect

from llmkit.data.rows.messages import Messages
from page_browser import Opened, ask
from page_server import Answering, RefusedError

FULL = """const put = IDBObjectStore.prototype.put;
IDBObjectStore.prototype.put = function (...all) {
  if (window.full) throw new DOMException("no room", "QuotaExceededError");
  return put.apply(this, all);
};"""
NONE = "Object.defineProperty(window, 'indexedDB', { get() { throw new DOMException('denied', 'SecurityError'); } });"


def rows_of(page: Page, button: str = "#export-all") -> list[dict]:
    with page.expect_download() as download:
        page.click(button)
    return [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]


def test_chats_are_there_after_a_reload(server: Answering, page: Page):
    server.answer = lambda body: ["Said [1].", {"citations": [{"n": 1, "title": "T", "source": "s", "text": "x"}]}]
    ask(page, "One")
    page.click("#new-chat")
    ask(page, "Two")
    page.reload()
    expect(page.locator("#chats .chat")).to_have_text(["Two", "One"])
    expect(page.locator(".bubble")).to_have_text("Two")
    page.get_by_role("button", name="One", exact=True).click()
    expect(page.locator(".bubble")).to_have_text("One")
    expect(page.locator(".sources")).to_be_visible()


def test_an_answer_that_a_reload_interrupts_is_kept_and_says_so(server: Answering, page: Page):
    never = threading.Event()
    server.answer = lambda body: ["Half", never]
    ask(page, "One", ended=False)
    expect(page.locator(".prose")).to_have_text("Half")
    page.reload()
    expect(page.locator(".ending")).to_contain_text("Interrupted")
    never.set()
    server.answer = lambda body: ["Whole."]
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".prose")).to_have_text("Whole.")


def test_a_full_browser_is_said_and_the_chat_goes_on(server: Answering, opened: Opened):
    page = opened(script=FULL)
    page.evaluate("window.full = true")
    ask(page, "One")
    expect(page.locator(".notice.error")).to_contain_text("The browser’s storage is full")
    expect(page.locator(".prose")).to_have_text("All right.")
    assert rows_of(page)[0]["messages"][1]["content"] == "All right."


def test_a_browser_that_keeps_nothing_says_so(server: Answering, opened: Opened):
    page = opened(script=NONE)
    expect(page.locator(".notice")).to_contain_text("keeps nothing")
    ask(page, "One")
    expect(page.locator(".prose")).to_have_text("All right.")


def test_no_more_than_three_hundred_chats_are_kept(server: Answering, page: Page):
    rows = "\n".join(
        json.dumps({"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": "a"}]})
        for i in range(300)
    )
    page.set_input_files("#file", {"name": "many.jsonl", "mimeType": "", "buffer": rows.encode()})
    expect(page.locator(".notice")).to_contain_text("300 chats imported.", timeout=30_000)
    ask(page, "One more")
    expect(page.locator(".notice.error")).to_contain_text("300 chats are kept in this browser; this one is not saved")


def test_another_tab_shows_what_was_said_and_deleted(server: Answering, page: Page):
    other = page.context.new_page()
    other.goto(server.url)
    other.wait_for_selector("#empty h2")
    ask(page, "One")
    expect(other.locator("#chats .chat")).to_have_text(["One"])
    other.get_by_role("button", name="Delete “One”").click(force=True)
    expect(page.locator("#chats .chat")).to_have_count(0)


def test_exported_rows_are_those_that_finetune_learns_from(server: Answering, page: Page, cli, tmp_path):
    page.click("#open-settings")
    page.get_by_label("System prompt").fill("Be brief.")
    page.keyboard.press("Escape")
    ask(page, "Grüße 你好 \u2028 </script>")
    server.answer = lambda body: ["Cut", {"finish": "length"}]
    ask(page, "Two")
    server.answer = lambda body: [RefusedError(500, "no")]
    ask(page, "Three")
    page.click("#new-chat")
    ask(page, "Never answered")
    (row,) = rows_of(page)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Grüße 你好 \u2028 </script>"},
        {"role": "assistant", "content": "All right."},
        {"role": "user", "content": "Two"},
        {"role": "assistant", "content": "Cut", "weight": 0},
    ]
    assert row == {"messages": messages, "title": "Grüße 你好 </script>"}
    assert Messages(holds="all").parse(row) == {"messages": messages}
    (tmp_path / "chats.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    done = cli("clean", "-i", "chats.jsonl", "--row", "auto", "-o", "examples", "--preview", 1)
    assert done.code == 0, done.err
    assert "rows are messages (messages; with weight)" in done.err


def test_rows_are_read_back_and_broken_ones_named(server: Answering, page: Page):
    good = {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "<b>A</b>", "weight": 0},
        ]
    }
    twice = {"messages": [{"role": "user", "content": "Q"}, {"role": "user", "content": "Q"}]}
    lines = "\n".join([json.dumps(good), "", "{", json.dumps(twice), "[]", json.dumps({"messages": [1]})])
    page.set_input_files("#file", {"name": "rows.jsonl", "mimeType": "", "buffer": lines.encode()})
    expect(page.locator(".notice.error")).to_contain_text(
        "1 chats imported. Line 3: not JSON Line 4: no messages of user and assistant"
        " Line 5: no messages of user and assistant and 1 more"
    )
    page.get_by_role("button", name="Q", exact=True).click()
    expect(page.locator(".prose")).to_have_text("<b>A</b>")
    page.reload()
    expect(page.locator("#chats .chat")).to_have_text(["Q"])


def test_a_chat_without_an_answer_is_no_row(server: Answering, page: Page):
    server.answer = lambda body: [RefusedError(500, "no")]
    ask(page, "One")
    page.click("#export-all")
    expect(page.locator(".notice")).to_contain_text("There is no finished answer to export yet.")


def test_a_deleted_chat_can_be_brought_back(server: Answering, page: Page):
    ask(page, "One")
    page.get_by_role("button", name="Delete “One”").click(force=True)
    page.get_by_role("button", name="Undo").click()
    page.reload()
    expect(page.locator("#chats .chat")).to_have_text(["One"])
