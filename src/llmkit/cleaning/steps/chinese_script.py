"""Convert Chinese between simplified and traditional characters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Literal

from llmkit.cleaning.steps import Rewrite
from llmkit.cleaning.steps._words import blocks, is_chinese
from llmkit.core.extras import require
from llmkit.data.corpus import Document
from llmkit.text.characters import has_script

_NEEDS = ("classic", "opencc")


class ChineseScript(Rewrite):
    """Convert by OpenCC's phrase dictionaries: 头发 becomes 頭髮, 发展 becomes 發展.

    Documents in Japanese and Korean, and those of no known language with kana in them, are left alone. Needs the
    extra `classic`.
    """

    config: Literal[
        "t2s", "s2t", "tw2s", "tw2sp", "s2tw", "s2twp", "hk2s", "hk2sp", "s2hk", "s2hkp", "tw2t", "t2tw", "hk2t", "t2hk"
    ] = "t2s"
    """From and to: `s` simplified, `t` traditional, `tw` and `hk` as written in Taiwan and Hong Kong; `p` exchanges
    the regional words as well (`s2twp`: 鼠标 becomes 滑鼠)."""

    def needs(self) -> tuple[str, str]:
        """Return what brings the conversions."""
        return _NEEDS

    def rewrite(self, text: str, document: Document) -> str:
        """Return the converted text."""
        if text.isascii() or not has_script(text, "Han") or not is_chinese(text, document):
            return text
        convert = _converter(self.config)
        new = "".join(map(convert, blocks(text)))
        return text if new == text else new


@functools.cache
def _converter(config: str) -> Callable[[str], str]:
    return require(*_NEEDS).OpenCC(config).convert  # type: ignore[no-any-return]
