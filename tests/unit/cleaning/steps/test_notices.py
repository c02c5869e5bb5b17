"""A text that is nothing but notices falls; one that has some, or is about them, stays."""

from __future__ import annotations

import pytest

from llmkit.cleaning.steps import Drop
from llmkit.cleaning.steps.notices import Notices
from llmkit.data.corpus import Document

BANNER = (
    "We use cookies to personalise content and ads. You can change your cookie settings at any time. By continuing to "
    "browse the site you are agreeing to our use of cookies."
)
CHINESE = "本网站使用cookie来改善您的浏览体验。继续浏览即表示您同意我们使用cookie。请阅读我们的隐私政策。"
ARTICLE = (
    "Cookies are baked at a low heat until their edges are brown, and then left to cool on a rack. Most bakers let the "
    "dough rest for a night. The recipe is older than the town, and nobody knows who brought it here. "
)


def apply(text: str, **fields: object) -> Drop | None:
    return Notices(**fields).apply(Document("0", text, "s"))


@pytest.mark.parametrize("text", [BANNER, CHINESE, "All rights reserved. Follow us on Facebook. Terms of use apply."])
def test_notices_fall(text: str) -> None:
    drop = apply(text)
    assert drop is not None
    assert drop.rule == "notices.max_ratio"
    assert drop.value == pytest.approx(1.0)
    assert drop.threshold == 0.4


def test_articles_stay_with_a_notice_below() -> None:
    assert apply(ARTICLE) is None
    assert apply(f"{ARTICLE * 2}\n{BANNER}") is None
    assert apply(f"{BANNER}\n{ARTICLE * 2}") is None  # 163 of about 750 characters
    assert apply(f"{BANNER}\n{ARTICLE[:60]}") is not None


def test_the_share_is_one_of_characters() -> None:
    text = "aaaa bbbb cccc dddd. " + "all rights reserved."  # 19 characters each
    assert apply(text, max_ratio=0.4) is not None
    assert apply(text, max_ratio=0.6) is None


def test_phrases_of_ones_own() -> None:
    text = "Ask the ferryman for the fare. Ask the ferryman again."
    assert apply(text) is None
    assert apply(text, phrases=["ask the ferryman"]) is not None


@pytest.mark.parametrize(
    "text",
    [
        "Bake the cookies for ten minutes; you want them soft. Let your cookies cool. We ate our cookies warm.",
        "No man may govern you without your consent. Consent is what you give, and our consent can be taken back.",
        "The forbidden forest lay before them. It was forbidden to all. Forbidden things draw children.",
        "企业应当依法取得许可证。许可证由管理部门发放。许可证遗失的,应当补办许可证。",
        "您同意吗？我同意你的看法。同意的人很多。",
        "Read more books. Read more poems. Read more plays.",
    ],
)
def test_one_word_of_notices_again_and_again_is_none(text: str) -> None:
    assert apply(text * 3) is None
