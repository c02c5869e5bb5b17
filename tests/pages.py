"""Run a page of the documentation: the files it shows are written, its commands typed, and what it shows compared.

A fenced block is a file where the line before it ends with the file's name and a colon. A block of `sh` is typed, and
the block of `text` behind it has lines of what that prints, in their order; `...` stands for others.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1] / "docs"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w./-]+\.\w+)`[^`\n]*:\n+\Z")
VARIES = re.compile(r"\b[0-9a-f]{12}\b|\b\d+:\d\d\b")
"""Ids of artifacts, and how long something took."""


@dataclass
class Typed:
    """Commands of a page, the files that are there before them, and what is shown of their output."""

    lines: list[str]
    files: dict[str, str]
    shown: list[str] = field(default_factory=list)


def typed(page: str) -> Iterator[Typed]:
    """Yield the commands of a page, block by block."""
    text, end = (DOCS / page).read_text(encoding="utf-8"), 0
    files: dict[str, str] = {}
    found: Typed | None = None
    for fence in FENCE.finditer(text):
        name, (language, block) = NAMED.search(text[end : fence.start()]), fence.groups()
        end = fence.end()
        if name is not None:
            files[name[1]] = block
        elif language == "sh":
            if found is not None:
                yield found
            found, files = Typed(block.replace("\\\n", " ").splitlines(), files), {}
        elif language == "text" and found is not None:
            found.shown += [line for line in block.splitlines() if line.strip()]
    if found is not None:
        yield found


def run_page(page: str, cli: Callable[..., Any]) -> int:
    """Run the commands of a page in the current directory; return how many there were."""
    count = 0
    for block in typed(page):
        for name, content in block.files.items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        said, failed = "", False
        for line in (line for line in block.lines if line.startswith("llmkit ")):
            outcome = cli(*shlex.split(line, comments=True)[1:])
            said += f"{outcome.err}\n{outcome.out}\n"
            failed |= outcome.code != 0
            count += 1
        assert failed == any(line.startswith("error:") for line in block.shown), said
        place, told = 0, _same(said)
        for line in block.shown:
            if line.strip() != "...":
                at = told.find(_same(line), place)
                assert at >= 0, f"{page}: not printed behind what is above it: {line}\n{said}"
                place = at + len(_same(line))
    return count


def _same(text: str) -> str:
    return VARIES.sub("#", " ".join(text.split()))
