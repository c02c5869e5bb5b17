"""Little texts for tests, the same every time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SUBJECTS = ("the fox", "a river", "my neighbour", "the old clock", "rain", "the editor", "a small dog", "the train")
VERBS = ("crosses", "remembers", "follows", "paints", "repairs", "misses", "watches", "answers")
OBJECTS = ("the bridge", "a letter", "two apples", "the evening", "her garden", "a song", "the question", "the door")
CHINESE = ("春天来了，花开了。", "他在看书，不说话。", "我们明天去北京吗？", "火车开得很快！")


def sentences(count: int, seed: int = 0) -> list[str]:
    """Distinct little texts in English and Chinese, the same every time."""
    texts = []
    for i in range(seed, seed + count):
        parts = [
            f"{SUBJECTS[(i * k + k) % 8]} {VERBS[(i + 3 * k) % 8]} {OBJECTS[(i * 5 + k) % 8]}."
            for k in range(1, 2 + i % 5)
        ]
        texts.append(f"Story {i}. " + " ".join(parts) + (CHINESE[i % 4] if i % 3 == 0 else ""))
    return texts


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
