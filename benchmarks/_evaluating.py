"""What benchmarks/evaluate.py measures: one `llmkit eval` in a process that has loaded everything before it starts.

python benchmarks/_evaluating.py OUT ARGUMENTS...
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main() -> None:
    """Run `llmkit eval ARGUMENTS -o OUT/eval`; note in `OUT/found.json` what it took."""
    import evaluate  # noqa: F401 - loading it is no part of the work
    import transformers

    from llmkit.cli.main import run
    from llmkit.core.progress import Progress
    from llmkit.metrics.chrf import ChrF
    from llmkit.metrics.rouge import Rouge

    for metric in (Rouge(), ChrF()):
        metric.load()
    transformers.LlamaForCausalLM  # noqa: B018 - as this
    out, arguments = Path(sys.argv[1]), sys.argv[2:]
    advance, firsts, counts = Progress.advance, [], [0.0]

    def noted(self: Progress, amount: float = 1, note: str | None = None) -> None:
        firsts.append(time.perf_counter())
        counts[0] += amount
        advance(self, amount, note)

    Progress.advance = noted  # type: ignore[method-assign]
    start, cpu = time.perf_counter(), time.process_time()
    code = run(["eval", *arguments, "-o", str(out / "eval"), "--quiet"])
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    if code:
        sys.exit(code)
    results = json.loads((out / "eval" / "results.json").read_text())["tasks"]
    scores = {
        f"{task} {name}": value
        for task, found in results.items()
        for name, value in found["results"]["model"]["scores"].items()
    }
    found = {
        "seconds": seconds, "work_cpu_seconds": cpu_seconds, "first_s": firsts[0] - start, "samples": counts[0],
        "scores": scores,
    }  # fmt: skip
    (out / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
