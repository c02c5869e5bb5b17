"""The page in front of the server itself, with a tiny model: what it asks is answered, and votes are rows."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser, expect

from llmkit.data.rows.messages import Messages
from llmkit.serving.limits import Limits
from llmkit.serving.service import Service
from page_browser import ask
from served import open_writer, save_writer, serving


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    with open_writer(save_writer(tmp_path_factory.mktemp("writer")), places=4) as found:
        yield found


def test_a_chat_with_a_model(browser: Browser, writer, tmp_path):
    votes = tmp_path / "votes.jsonl"
    said = []
    with serving(Service({"tiny": writer, "twin": writer}, Limits(), votes=votes)) as address:
        page = browser.new_page(locale="en-US")
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#empty h2")
        page.click("#open-settings")
        for name, value in (("temperature", "0"), ("top_p", "0.9"), ("max_tokens", "24"), ("seed", "7")):
            page.fill(f"#{name}", value)
        page.keyboard.press("Escape")
        ask(page, "Hello")
        expect(page.locator(".figures")).to_contain_text("24 tokens")
        expect(page.locator(".ending")).to_have_text("Cut off at the largest number of tokens.")
        page.get_by_role("button", name="Good answer").click()
        expect(page.locator(".notice")).to_contain_text("recorded")
        page.click("#pair")
        ask(page, "And two?")
        page.locator(".better").first.click()
        expect(page.locator(".badge")).to_be_visible()
        assert said == []
        page.click("#open-settings")
        page.fill("#max_tokens", "100000")
        page.keyboard.press("Escape")
        ask(page, "Too much")
        expect(page.locator(".ending.error").first).to_contain_text("The server answered 400: max_tokens")
        page.close()
    liked, better = map(json.loads, votes.read_text(encoding="utf-8").splitlines())
    assert liked["prompt"] == [{"role": "user", "content": "Hello"}]
    assert liked["label"] is True
    assert Messages(holds="all").parse({"messages": better["prompt"] + better["chosen"]})
    assert [turn["content"] for turn in better["prompt"]] == ["Hello", liked["completion"][0]["content"], "And two?"]
