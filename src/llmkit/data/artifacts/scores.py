"""What an evaluation has found: scores by task and model, and the samples behind them.

DIR/results.json  samples-TASK.jsonl ...  report.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from llmkit.core.durable import write_json
from llmkit.core.json import dumps
from llmkit.core.reading import reading
from llmkit.data.artifacts._folder import Folder


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
        with (self.path / f"samples-{task}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(dumps(sample) + "\n" for sample in samples)

    def samples(self, task: str) -> Iterator[dict[str, Any]]:
        """Yield the samples of the tasks of a name, `generation` and `generation-2`, in order."""
        for path in sorted(self.path.glob(f"samples-{task}*.jsonl"), key=lambda path: (len(path.name), path.name)):
            with reading(path), path.open(encoding="utf-8") as file:
                yield from map(json.loads, file)
