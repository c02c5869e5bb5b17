"""Lines that go, documents that fall, by hand."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.c4_quality import C4Quality
from llmkit.data.chat import CONVERSATION
from llmkit.data.corpus import Document

FIVE = "This is one. Here is two! And is this three? Mr. Smith said four. Then came five."


def run(text: str, **fields: object) -> tuple[Document, Drop | None]:
    document = Document("0", text, "s")
    return document, C4Quality(**fields).apply(document)


def test_clean_text_is_the_same_string() -> None:
    text = f"{FIVE}\n\n  {FIVE}\n"
    document, drop = run(text)
    assert drop is None
    assert document.text is text
    assert document.counts == {}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("A heading without a point", "filter_no_terminal_punct"),
        ("To be continued, read on...", "filter_no_terminal_punct"),
        ("Two words.", "min_words_per_line"),
        ("Please enable JavaScript in your browser.", "filter_javascript"),
        ("Read our Privacy Policy before you go on.", "filter_policy"),
        (f"A word of {'x' * 1001} letters.", "max_word_length"),
    ],
)
def test_lines_go_by_one_rule_each(line: str, rule: str) -> None:
    document, drop = run(f"{FIVE}\n\n{line}\n\n{FIVE}")
    assert drop is None
    assert document.text == f"{FIVE}\n\n{FIVE}"
    assert document.counts == {f"c4_quality.{rule}": 1}
    off = {rule: False if rule.startswith("filter") else None}
    assert run(f"{FIVE}\n{line}", **off)[0].text == f"{FIVE}\n{line}"


def test_citations_go_and_their_lines_stay() -> None:
    document, drop = run(f"{FIVE} So it is.[12] See this[edit] and that.[citation needed]")
    assert drop is None
    assert document.text == f"{FIVE} So it is. See this and that."
    text = f"{FIVE} So it is.[12] Yes."
    assert run(text, remove_citations=False)[0].text is text


WRAPPED = """The committee has looked at the accounts of the last four years and finds
that they are in good order, but for the sums that were spent on the road to
the quay.[3] No bill was kept of these, and the men who were paid are dead."""
MENU = """Home
About us
Contact"""


def test_the_lines_of_a_wrapped_paragraph_stay_or_go_together() -> None:
    policy = WRAPPED.replace("good order, but for the sums", "our terms of use, but for sums")
    document, drop = run(f"{MENU}\n\n  {WRAPPED}\n\n{policy}\n\n\n{WRAPPED}\n\n{MENU}", min_num_sentences=4)
    assert drop is None
    assert document.text == f"  {WRAPPED}\n\n{WRAPPED}".replace("[3]", "")
    assert document.counts == {"c4_quality.filter_no_terminal_punct": 6, "c4_quality.filter_policy": 1}
    # A line is all that datatrove looks at: one of three ends like a sentence.
    document, drop = run(f"{WRAPPED}\n\n{FIVE}", **{"as": "datatrove"})
    assert document.text == f"{WRAPPED.splitlines()[-1]}\n\n{FIVE}".replace("[3]", "")


def test_sentences_are_counted_over_line_breaks() -> None:
    assert run(WRAPPED)[1] == Drop("c4_quality.min_num_sentences", 2, 5)


def test_a_last_line_that_was_cut_off_stays() -> None:
    cut = "The road was mended in May. It was the mayor who had asked for it, and who then said that"
    assert run(f"{FIVE}\n{cut}")[0].text == f"{FIVE}\n{cut}"
    assert run(f"{cut}\n{FIVE}")[0].text == FIVE
    assert run(f"{FIVE}\n{cut}", **{"as": "datatrove"})[0].text == FIVE


@pytest.mark.parametrize("blanks", ["", "\n", "\n\n", " \n", "\n \n\n"])
def test_what_stays_is_the_same_text(blanks: str) -> None:
    text = f"{blanks}{WRAPPED}{blanks}\n{FIVE}{blanks}".replace("[3]", "")
    assert run(text, filter_no_terminal_punct=False, min_words_per_line=None)[0].text is text


def test_documents_fall() -> None:
    assert run(f"{FIVE}\nint main() {{ is code.")[1] == Drop("c4_quality.filter_curly_bracket", 1, 0)
    assert run(f"{FIVE}\nint main() {{ return 0; }}")[1] is None  # the line is gone before
    assert run(f"{FIVE}\nLorem Ipsum dolor sit.")[1] == Drop("c4_quality.filter_lorem_ipsum", "lorem ipsum", "none")
    assert run("This is one. Mr. J. Smith is two.")[1] == Drop("c4_quality.min_num_sentences", 2, 5)
    assert run("This is one.", min_num_sentences=None)[1] is None


def test_messages_are_rewritten_one_by_one() -> None:
    messages = [{"role": "user", "content": f"{FIVE}\nno point"}, {"role": "assistant", "content": FIVE}]
    document = Document("0", f"{FIVE}\nno point\n{FIVE}", "s", row={"messages": messages}, kind=CONVERSATION)
    assert C4Quality().apply(document) is None
    assert [message["content"] for message in document.row["messages"]] == [FIVE, FIVE]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "\n" * 1000,
        "\ud800",
        "中" * 1_000_000,
        "[" * 100_000,
        "." * 100_000,
        "One or two " + "!" * 1_000_000,
    ],
)
def test_odd_texts_fall(text: str) -> None:
    assert run(text)[1] is not None
