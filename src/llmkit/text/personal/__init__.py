"""What personal data and secrets look like in a text: mail and IP addresses, identity and card numbers, keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from llmkit.text.personal.identity import find_cards, find_chinese_ids
from llmkit.text.personal.keys import find_secrets
from llmkit.text.personal.network import find_emails, find_ips

# Any seven digits that are no date may be a phone number: a message can do without more of them than the step `pii`,
# which asks the numbering plans, would take out of a text.
_NUMBER = re.compile(
    r"(?<![0-9])(?!(?:19|20)[0-9]{2}([-./]?)[0-9]{2}\1[0-9]{2}(?![0-9]))"
    r"\+?[0-9](?:[ ./()\u2010-\u2015-]{0,2}[0-9]){6,60}"
)
_FINDERS: tuple[tuple[str, Callable[[str], Iterable[tuple[int, int]]]], ...] = (
    ("SECRET", lambda text: find_secrets(text, text.encode("utf-8", "surrogatepass"))),
    ("EMAIL", find_emails),
    ("CHINESE_ID", lambda text: find_chinese_ids(text, [(0, len(text))], old=True)),
    ("CARD", lambda text: find_cards(text, [(0, len(text))])),
    ("IP", lambda text: find_ips(text, private=True)),
    ("NUMBER", lambda text: (match.span() for match in _NUMBER.finditer(text))),
)


def redact(text: str) -> tuple[str, list[str]]:
    """Return a text for a message with placeholders for what may be personal, and which kinds there were."""
    kinds = []
    for kind, find in _FINDERS:
        parts, position = [], 0
        for start, end in sorted(find(text)):
            if start >= position:
                parts += [text[position:start], f"<{kind}>"]
                position = end
        if parts:
            kinds.append(kind)
            text = "".join([*parts, text[position:]])
    return text, kinds
