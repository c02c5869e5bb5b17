"""Texts in which a number is hidden: so many tokens long, at such a depth, in English and Chinese.

After the passkey retrieval of Mohtashami and Jaggi, Landmark Attention, 2023, in words of our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

_HARBOUR = (
    "The harbour is quiet in the early morning.", "Two boats lie at the pier with their sails down.",
    "A woman mends a net and hums a tune.", "The water smells of salt and old wood.",
    "Behind the market hall a baker opens his door.", "He sets out loaves that are still warm.",
    "A cat waits on the wall and watches the gulls.", "Clouds move slowly over the hills.",
    "Somebody has left a bicycle beside the fountain.", "Children walk to school along the river.",
    "The bells ring, and the ferry leaves.", "By noon the square is full of people.",
    "They talk about the weather and the harvest.", "In the evening lamps are lit in the windows.",
    "Then the wind turns, and it begins to rain.", "At night only the lighthouse is awake.",
)  # fmt: skip
_VILLAGE = (
    "清晨的村子很安静。", "河边停着两只小船，船上没有人。", "一位老人坐在门口修补渔网。",
    "风从山上吹下来，带着松树的气味。", "面包店的门开了，热气冒了出来。", "一只猫趴在墙头看着麻雀。",
    "云慢慢地飘过田野。", "有人把自行车忘在了井边。",
    "孩子们沿着小路去上学。", "钟声响了，渡船离开了岸。", "到了中午，集市上挤满了人。", "大家谈论着天气和收成。",
    "傍晚时分，窗户里亮起了灯。", "后来起了风，下起了小雨。", "夜里只有看门的狗还醒着。", "第二天，一切又重新开始。",
)  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What is written around a number.

    Attributes:
        filler: Sentences without a digit.
        between: What stands between two of them.
        before: The beginning of the text.
        needle: The sentence with the number, `{}`.
        goes_on: The end of a text that a model is to go on with.
        behind: What stands between that and the number.
        question: The end where a chat model is to answer.
    """

    filler: tuple[str, ...]
    between: str
    before: str
    needle: str
    goes_on: str
    behind: str
    question: str


LANGUAGES = {
    "en": Words(
        _HARBOUR, " ",
        "A number is hidden in the text below. Remember it: you are asked for it at the end.\n\n",
        "The number to remember is {}. Once more, it is {}.",
        "\n\nWhich number was to be remembered? The number to remember is", " ",
        "\n\nWhich number was to be remembered? Answer with the number alone.",
    ),
    "zh": Words(
        _VILLAGE, "",
        "下面的文字里藏着一个数字。请记住它，最后会问到。\n\n",
        "要记住的数字是{}。再说一遍，是{}。",
        "\n\n要记住的是哪个数字？要记住的数字是", "",
        "\n\n要记住的是哪个数字？请只回答这个数字。",
    ),
}  # fmt: skip


def hidden(words: Words, sentences: Sequence[str], depth: float, key: str, end: str) -> str:
    """Return a text with a number in it.

    Args:
        words: Of its language.
        sentences: The filler.
        depth: How much of the filler stands before the number, as a share of its characters; to the nearest sentence.
        key: The number.
        end: How the text ends.
    """
    reached = [0, *accumulate(map(len, sentences))]
    place = min(range(len(reached)), key=lambda i: abs(reached[i] - depth * reached[-1]))
    body = [*sentences[:place], words.needle.replace("{}", key), *sentences[place:]]
    return words.before + words.between.join(body) + end
