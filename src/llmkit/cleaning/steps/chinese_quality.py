"""Drop documents that do not look like Chinese prose: the counterpart of Gopher's and FineWeb's rules, by characters.

English rules fail on Chinese: a text without spaces is one word of 1,000 letters, and no line ends in `.`. Everything
here counts characters, in simplified, traditional and classical Chinese alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from llmkit.cleaning.steps import Drop, Step
from llmkit.data.corpus import Document

_MOJIBAKE = ("锟斤拷", "烫烫烫", "屯屯屯", "ï¿½")
"""What unknown bytes and uninitialized memory look like once they have been read as GBK."""
_FUNCTION_CHARACTERS = (
    "的一是不了在人有我他这这個这为来上下大小中国出会可也你对生能而子那得于着自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定"
    "這為來於與無說時會個們對後過國學沒當現發經麼裡點開還從樣"
    "之其以者曰与无乃则故矣焉何若此吾汝皆将遂"
)
_MIN_JUDGED_LINES = 4
_SPAM = [
    "代开发票", "六合彩", "时时彩", "百家乐", "博彩", "真人娱乐", "老虎机", "刷信誉", "刷单", "私服", "办证", "加微信",
    "加V信", "加威信", "成人电影", "裸聊", "代孕", "贷款秒批",
]  # fmt: skip


class ChineseQuality(Step):
    """Keep documents of enough Han characters, in sentences, with function characters and few symbols.

    Defaults keep classical novels, modern prose and informal reviews if long enough. They drop keyword lists, tables,
    markup, text in another language and text read in the wrong encoding; null switches a rule off. Repetition is
    `gopher_repetition`'s matter: its n-grams are n-grams of characters here, and its thresholds suit them.
    """

    min_han: int | None = Field(50, ge=0)
    """Fewest Han characters; 50 are about 35 words."""
    max_han: int | None = Field(1_000_000, ge=1)
    """Most Han characters."""
    min_han_ratio: float | None = Field(0.6, ge=0, le=1)
    """Least share of Han characters among words, where each character of Chinese or Japanese is a word."""
    min_terminal_lines_ratio: float | None = Field(0.2, ge=0, le=1)
    """Least share of lines that end a sentence: `。` `！` `？` `…` `.`, with closing quotes and brackets after it.

    The lines of a hard-wrapped paragraph are one. Documents of fewer than 4 lines are not judged by it: a review in one
    line often lacks its last point."""
    min_sentence_chars: float | None = Field(4.0, ge=0)
    """Least mean length of sentences, in Han characters."""
    max_sentence_chars: float | None = Field(200.0, ge=0)
    """Greatest mean length of sentences, in Han characters."""
    max_run: int | None = Field(100, ge=1)
    """Most Han characters in a line without punctuation between; blanks are no punctuation."""
    max_digit_ratio: float | None = Field(0.2, ge=0, le=1)
    """Largest share of digits among characters that are not blank."""
    max_symbol_ratio: float | None = Field(0.1, ge=0, le=1)
    """Largest share of symbols, such as `#` `|` `★` and emoji, which are neither letters nor digits nor punctuation."""
    max_fullwidth_ratio: float | None = Field(0.1, ge=0, le=1)
    """Largest share of full-width Latin letters and digits (`ＡＢＣ１２３`)."""
    max_broken_ratio: float | None = Field(0.01, ge=0, le=1)
    """Largest share of what reading in the wrong encoding leaves: U+FFFD, controls, half-width kana, `锟斤拷`."""
    min_function_characters: int | None = Field(3, ge=0)
    """Fewest different characters out of `function_characters`."""
    function_characters: str = "".join(dict.fromkeys(_FUNCTION_CHARACTERS))
    """Characters that prose can hardly do without, modern (的 了 是), traditional (這 為) and classical (之 其 曰)."""
    max_markers: int | None = Field(None, ge=0)
    """Most occurrences of `markers`; null, the default, does not look for them."""
    markers: list[str] = _SPAM
    """Phrases of advertising and fraud."""

    def apply(self, document: Document) -> Drop | None:
        """Return the first rule that fails, the cheapest first."""
        for rule, value in self._values(document):
            limit = getattr(self, rule)
            if limit is not None and (value < limit if rule.startswith("min_") else value > limit):
                return Drop(f"chinese_quality.{rule}", value, limit)
        return None

    def _values(self, document: Document) -> Iterator[tuple[str, float]]:
        """Yield each rule with its value, computed as far as it is asked for."""
        from llmkit.cleaning.features import features
        from llmkit.cleaning.steps import _loops
        from llmkit.text.characters import SCRIPTS, character_table

        found = features(document)
        han, totals, info = found.scripts.get("Han", 0), found.totals, character_table().info
        yield "min_han", han
        yield "max_han", han
        yield "min_han_ratio", han / (totals.words or 1)
        size = len(found.text) - totals.spaces or 1
        yield "max_digit_ratio", totals.digits / size
        sentences, run, symbols, wide, broken = _loops.chinese_profile(found.codes, info, SCRIPTS.index("Han"))
        yield "max_run", run
        yield "max_symbol_ratio", symbols / size
        yield "max_fullwidth_ratio", wide / size
        broken += sum(found.text.count(mark) * len(mark) for mark in _MOJIBAKE)
        yield "max_broken_ratio", broken / size
        yield "min_sentence_chars", han / max(sentences, 1)
        yield "max_sentence_chars", han / max(sentences, 1)
        # A text has no more lines of its author's than of its file, and most texts in chats and reviews have one.
        if len(found.lines.starts) >= _MIN_JUDGED_LINES and len(closed := found.units.closed) >= _MIN_JUDGED_LINES:
            yield "min_terminal_lines_ratio", int(closed.sum()) / len(closed)
        if self.min_function_characters:
            yield "min_function_characters", self._function_characters(found.text)
        if self.max_markers is not None:
            yield "max_markers", sum(found.text.count(marker) for marker in self.markers)

    def _function_characters(self, text: str) -> int:
        """Count them up to what is asked for."""
        number = 0
        for character in self.function_characters:
            number += character in text
            if number == self.min_function_characters:
                break
        return number
