"""A toy: a model that knows the solutions of problems by heart, and draws those that it gets wrong by the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmkit.runtimes import Facts, Generate, Request, Running, Runtime, Written

LOG = Path("asked.txt")
"""One line for each program that was written."""


class Pupil(Runtime):
    """Answer with the solutions of a file."""

    book: str
    """Problems in HumanEval's format."""
    wrong: str = "    return None\n"
    """Written where the seed is odd, and a temperature is set."""

    def load(self, where: str, *, date: str | None = None) -> Running:
        """Load the tokenizer of a model, and the book."""
        return _Pupil(self, where)


class _Pupil(Running):
    def __init__(self, options: Pupil, where: str) -> None:
        from transformers import AutoTokenizer

        self.options, self.tokenizer = options, AutoTokenizer.from_pretrained(where)
        self.facts = Facts(answer="tokens", positions=4096, start=self.tokenizer.eos_token_id)
        self.book = [json.loads(line) for line in Path(options.book).read_text(encoding="utf-8").splitlines()]

    def takes(self, request: Request) -> str | None:
        return None if isinstance(request, Generate) else "it only writes"

    def tokens(self, request: Request) -> int:
        return len(request.prompt) + request.budget

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        return [self._written(one) for one in requests]

    def _written(self, asked: Generate) -> Written:
        text = self.tokenizer.decode(list(asked.prompt))
        with LOG.open("a", encoding="utf-8") as file:
            file.write(f"{asked.seed} {asked.temperature} {len(asked.stop)}\n")
        row = next(row for row in self.book if row["prompt"].strip() in text)
        body = self.options.wrong if asked.temperature and asked.seed % 2 else row["canonical_solution"]
        said = f"Here it is:\n```python\n{row['prompt']}{body}```\n" if "```" in text else body
        return Written(None, said, ended=True)
