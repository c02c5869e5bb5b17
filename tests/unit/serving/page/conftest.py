"""The chat page in a headless Chromium, with a server of its own whose answers the test decides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from page_browser import CHROMIUM, Opened
from page_server import Answering, answering

EXPECTED = ("the server responded with a status of", "net::ERR")
"""Of refusals and lost connections, which tests bring about."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for the tests of a file, and no longer: it keeps a loop running in the main thread."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def server() -> Iterator[Answering]:
    with answering() as state:
        yield state


@pytest.fixture
def opened(browser: Browser, server: Answering) -> Iterator[Opened]:
    """Open the page in a browser of its own: `opened(locale=..., color_scheme=..., script=...)`.

    Whatever the browser complains of, a breach of the policy above all, fails the test.
    """
    contexts, complaints = [], []

    def open_page(*, script: str = "", wait: str = "#empty h2", **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-US", **options})
        contexts.append(context)
        context.set_default_timeout(10_000)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(f"{error}"))
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.goto(server.url)
        page.wait_for_selector(wait)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [said for said in complaints if not any(words in said for words in EXPECTED)] == []


@pytest.fixture
def page(opened: Opened) -> Page:
    """The page in English, on a desk."""
    return opened()
