"""What an evaluation has found: scores by task and model, and the samples behind them.

DIR/results.json  samples-TASK.jsonl ...  report.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmkit.core.durable import NEW, write_json
from llmkit.core.json import dumps
from llmkit.core.reading import reading
from llmkit.data.artifacts._folder import Folder

_ODD = re.compile(r"[^\w.:+=-]")


class Scores(Folder):
    """Kind `eval`."""

    KIND = "eval"
    RESULTS = "results.json"
    PAYLOAD = (RESULTS, "samples-*.jsonl")

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write the scores."""
        write_json(self.path / self.RESULTS, results)

    def results(self) -> dict[str, Any]:
        """Return what was written."""
        found: dict[str, Any] = json.loads((self.path / self.RESULTS).read_text(encoding="utf-8"))
        return found

    def write_samples(self, task: str, samples: Iterable[Mapping[str, Any]]) -> None:
        """Write a task's samples, one object a line."""
        path = self.samples_of(task)
        with path.with_name(path.name + NEW).open("w", encoding="utf-8") as file:
            file.writelines(dumps(sample) + "\n" for sample in samples)
        path.with_name(path.name + NEW).replace(path)

    def samples_of(self, task: str) -> Path:
        """Return the file of a task's samples; what a file system may not take in its name becomes `_`."""
        return self.path / f"samples-{_ODD.sub('_', task)}.jsonl"

    def samples(self, task: str) -> Iterator[dict[str, Any]]:
        """Yield the samples of a task, in order; none of one that is not there."""
        path = self.samples_of(task)
        if path.is_file():
            with reading(path), path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)
