"""One side of benchmarks/eval.py: a process that answers the requests of a case with a model, and notes what it took.

python benchmarks/_eval_side.py SIDE REQUESTS MODEL FOUND [BATCH] with SIDE `llmkit` or `lm-eval`
"""

from __future__ import annotations

import time

START = time.time()  # before anything is imported: that is part of what is measured

import json  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402


def with_llmkit(kind: str, rows: list[Any], where: str, note: Callable[[], None]) -> list[Any]:
    """Answer with a runtime of llmkit behind its engine."""
    from llmkit.evaluation.asked import positions_of, rolling_requests, tokenizer_of
    from llmkit.evaluation.engine import Asked, Engine
    from llmkit.modeling.tokenizer import special_ids
    from llmkit.runtimes import Generate, Score
    from llmkit.runtimes.transformers import Transformers

    model = Transformers().load(where)
    tokenizer = tokenizer_of(model)
    start = special_ids(tokenizer).bos

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer(text)["input_ids"])

    def asked(row: Any) -> Asked:
        if kind == "rolling":
            own = tokenizer(row, add_special_tokens=False)["input_ids"]
            return Asked(rolling_requests(own, start=start, max_length=positions_of(model)))
        if kind == "generate":
            return Asked([Generate(ids(row["prompt"]), row["budget"], stop=tuple(row["stop"]))])
        context = ids(row["context"])
        return Asked([Score(context, ids(row["context"] + choice)[len(context) :]) for choice in row["choices"]])

    found = list(Engine(model).ask((asked(row) for row in rows), done=lambda _: note()))
    if kind == "rolling":
        return [sum(answers) for answers in found]
    return [answers[0].text if kind == "generate" else answers for answers in found]


def with_lm_eval(kind: str, rows: list[Any], where: str, batch: str, note: Callable[[], None]) -> list[Any]:
    """Answer with `HFLM` of lm-evaluation-harness in float32."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    size = batch if batch == "auto" else int(batch)
    model = HFLM(pretrained=where, dtype="float32", device="cpu", batch_size=size)
    model.cache_hook.add_partial = lambda *_: note()  # called with each answer
    if kind == "rolling":
        return list(model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (row,), 0) for row in rows]))
    if kind == "generate":
        settings = [{"until": row["stop"], "max_gen_toks": row["budget"], "do_sample": False} for row in rows]
        pairs = zip(rows, settings, strict=True)
        return model.generate_until([Instance("generate_until", {}, (row["prompt"], how), 0) for row, how in pairs])
    requests = [
        Instance("loglikelihood", {}, (row["context"], choice), number)
        for row in rows
        for number, choice in enumerate(row["choices"])
    ]
    found = iter(model.loglikelihood(requests))
    return [[next(found)[0] for _ in row["choices"]] for row in rows]


def main() -> None:
    """Answer, and write answers and times."""
    side, requests, where, out = sys.argv[1:5]
    asked = json.loads(Path(requests).read_text())
    firsts: list[float] = []

    def note() -> None:
        if not firsts:
            firsts.extend([time.time() - START, time.process_time()])

    if side == "llmkit":
        answers = with_llmkit(asked["kind"], asked["rows"], where, note)
    else:
        answers = with_lm_eval(asked["kind"], asked["rows"], where, sys.argv[5], note)
    found = {"answers": answers, "first_s": firsts[0], "first_cpu_s": firsts[1], "seconds": time.time() - START}
    Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
