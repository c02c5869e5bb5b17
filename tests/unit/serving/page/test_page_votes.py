"""Two answers to one message, and what the server is told of answers."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from page_browser import ask
from page_server import Answering, RefusedError


def test_two_models_answer_one_question_and_the_better_goes_on(server: Answering, page: Page):
    server.config = {"models": ["tiny", "small"], "votes": True, "title": "Desk"}
    page.reload()
    server.answer = lambda body: [f"I am {body['model']}."]
    page.get_by_role("button", name="Side by side").click()
    ask(page, "Who?")
    expect(page.locator(".pair .prose")).to_have_text(["I am tiny.", "I am small."])
    ask(page, "And now?", ended=False)
    expect(page.locator(".notice")).to_contain_text("Choose the better answer first")
    expect(page.locator("#message")).to_have_value("And now?")
    page.get_by_role("button", name="This one is better").nth(1).click()
    expect(page.locator(".badge")).to_have_text("Chosen")
    expect(page.locator(".notice")).to_contain_text("Your vote was recorded.")
    (vote,) = server.votes
    assert vote == {
        "prompt": [{"role": "user", "content": "Who?"}],
        "chosen": [{"role": "assistant", "content": "I am small."}],
        "rejected": [{"role": "assistant", "content": "I am tiny."}],
    }
    page.press("#message", "Enter")
    page.wait_for_selector("#send:visible")
    assert [m["content"] for m in server.seen[2]["messages"]] == ["Who?", "I am small.", "And now?"]
    assert sorted(body["model"] for body in server.seen[2:]) == ["small", "tiny"]


def test_one_of_two_that_fails_leaves_the_other_to_go_on(server: Answering, page: Page):
    server.config = {"models": ["tiny", "small"], "votes": False, "title": "llmkit"}
    page.reload()
    server.answer = lambda body: ["Fine."] if body["model"] == "tiny" else [RefusedError(503, "not loaded")]
    page.get_by_role("button", name="Side by side").click()
    ask(page, "Who?")
    server.answer = lambda body: ["Now both."]
    ask(page, "More?")
    assert [m["content"] for m in server.seen[-1]["messages"]] == ["Who?", "Fine.", "More?"]


def test_thumbs_are_rows_of_feedback_and_hidden_where_none_are_kept(server: Answering, page: Page):
    ask(page, "One")
    assert page.get_by_role("button", name="Good answer").count() == 0
    server.config["votes"] = True
    page.reload()
    page.get_by_role("button", name="Bad answer").click()
    expect(page.get_by_role("button", name="Bad answer")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Good answer")).to_be_disabled()
    assert server.votes == [
        {
            "prompt": [{"role": "user", "content": "One"}],
            "completion": [{"role": "assistant", "content": "All right."}],
            "label": False,
        }
    ]


def test_a_vote_that_is_refused_says_so_and_can_be_given_again(server: Answering, page: Page):
    server.config["votes"] = True
    page.reload()
    ask(page, "One")
    page.route(
        "**/page/votes", lambda route: route.fulfill(status=507, json={"error": {"message": "the disk is full"}})
    )
    page.get_by_role("button", name="Good answer").click()
    expect(page.locator(".notice.error")).to_contain_text(
        "The vote was not recorded: The server answered 507: the disk is full"
    )
    page.unroute("**/page/votes")
    page.get_by_role("button", name="Good answer").click()
    expect(page.locator(".notice")).to_contain_text("Your vote was recorded.")
