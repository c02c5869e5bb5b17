"""The chat page in a browser: what its tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE = {"viewport": {"width": 375, "height": 720}, "is_mobile": True, "has_touch": True}
Opened = Callable[..., Page]
FOCUSED = "(document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText).trim()"


def ask(page: Page, text: str, *, ended: bool = True) -> None:
    """Send a message, and wait for its answers to end."""
    page.fill("#message", text)
    page.press("#message", "Enter")
    if ended:
        page.wait_for_selector("#send:visible")


def tab_to(page: Page, name: str, *, most: int = 80) -> None:
    """Press Shift and Tab until what is focused has this name."""
    for _ in range(most):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(FOCUSED) == name:
            return
    raise AssertionError(f"no {name} within {most} steps")


def violations(page: Page) -> list[str]:
    """What axe-core finds, with the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:160]} {node['failureSummary']}" for one in found for node in one["nodes"]]
