"""Put what was found before a question, so that the answer can say where it is from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from llmkit.text.characters import has_script

if TYPE_CHECKING:
    from llmkit.retrieval.retriever import Passage

ENGLISH = (
    "Answer from the numbered passages below, and name those that you use by their numbers, such as [1]. If the answer"
    " is not in them, say so."
)
CHINESE = "请根据下面带编号的段落回答，并用编号（例如 [1]）注明所用的段落。如果段落中没有答案，请直接说明。"


def prompt(turns: Sequence[Mapping[str, Any]], passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """Return a conversation with passages before it, in what the system says; as it was, where there are none.

    The words are Chinese where the last question is.

    Args:
        turns: Messages with `role` and `content`; a system message of their own comes first.
        passages: What was found, in the order of their numbers: the first is [1].
    """
    found = [dict(turn) for turn in turns]
    if not passages:
        return found
    asked = next((str(turn["content"]) for turn in reversed(found) if turn["role"] == "user"), "")
    words = CHINESE if has_script(asked, "Han") else ENGLISH
    known = "\n\n".join([words, *(f"[{number}] {one.text}" for number, one in enumerate(passages, 1))])
    if found and found[0]["role"] == "system":
        own = str(found[0]["content"])
        return [{**found[0], "content": f"{own}\n\n{known}" if own else known}, *found[1:]]
    return [{"role": "system", "content": known}, *found]
