"""Labelled rows for tests: texts that the shipped recipes keep, as raw rows of every kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmkit.core.manifest import Manifest
from llmkit.core.registry import Family
from llmkit.data.corpus import CorpusWriter, Document
from llmkit.data.rows import Row

ENGLISH = (
    "The ferry to the island leaves the old harbour at nine in the morning, and it takes a little over two hours to"
    " cross the bay. Most of the people who travel with it in winter live there, and they know each other by name."
    " In summer there are visitors as well, who bring their bicycles and ask the crew about the weather. When the wind"
    " is strong the captain waits until it calms down, because the passage between the rocks is narrow. Nobody has"
    " ever complained about that, for all of them have seen what the sea can do to a small boat."
)
CHINESE = (
    "去岛上的渡轮每天早上九点从老码头出发，穿过海湾要用两个多小时。冬天坐船的大多是住在岛上的人，他们彼此都很熟悉。"
    "夏天也有不少游客，他们带着自行车上船，向船员打听天气。风大的时候，船长会等到风小了再开船，因为礁石之间的航道很窄。"
    "从来没有人为这件事抱怨过，大家都见过大海是怎样对待一条小船的。"
)
WORDS = (
    "ferry island harbour morning winter summer bicycle captain weather passage rocks boat sailor lantern anchor rope"
    " mountain village market bread cheese butter orchard garden violin teacher library window candle letter stamp"
)
"""Content words without punctuation: what the recipe for bags of words leaves as it is."""
TEXTS = (ENGLISH, CHINESE, WORDS)

MAKERS: dict[str, Callable[[str], dict[str, Any]]] = {
    "alpaca": lambda text: {"instruction": text[:20], "input": text[20:60], "output": text[60:]},
    "messages": lambda text: {
        "messages": [{"role": "user", "content": text[:60]}, {"role": "assistant", "content": text[60:]}]
    },
    "prompt_completion": lambda text: {"prompt": text[:60], "completion": text[60:]},
    "span_answer": lambda text: {"question": text[:60], "context": text[60:], "answers": [], "answer_start": []},
    "source_target": lambda text: {"source_text": text[:60], "targets": [text[60:]]},
    "tags": lambda text: {"words": (words := text.split() if " " in text else list(text)), "tags": ["O"] * len(words)},
    "text_label": lambda text: {"text": text, "label": "good"},
    "text_pair": lambda text: {"text": text[:60], "pair": text[60:], "label": "good"},
    "triplet": lambda text: {"query": text[:60], "positive": text[60:-40], "negatives": [text[-40:-20], text[-20:]]},
}
"""Per kind of row, what makes a raw row of a text."""
KINDS = sorted(MAKERS)


def kind_of(name: str) -> Row:
    """Return the kind as it reads the rows of `MAKERS`."""
    rows = [MAKERS[name](text) for text in TEXTS]
    part: Any = Family("row").load(name)
    kind: Row = part().recognize(list(rows[0]), rows)
    return kind


def write_examples(path: Path, kind: Row, rows: list[dict[str, Any]], *, named: bool = True) -> Path:
    """Write an examples artifact; old ones do not name their kind of rows."""
    path.mkdir()
    writer = CorpusWriter(path, kind)
    for number, row in enumerate(rows):
        meta = {"n": number}
        writer.write(Document(f"{number:032x}", kind.key_text(row), "web", "en", row, kind, meta))
    writer.close()
    manifest = Manifest(
        "clean", 1, "examples", "id", "identity", {}, [], [], {}, None, {}, None, {}, "2024-01-01T00:00:00Z", 1.0
    )
    manifest.details = {"row": kind.spec(mode="json")} if named else {}
    manifest.write(path / "llmkit.json")
    return path
