"""What each cleaning step costs: on ordinary documents, and on texts made to be slow (see _adversary.py).

python benchmarks/steps.py [--input FILE|DIR ...] [--steps pii,language ...] [--size 1MB] [--json FILE]

A step is run alone, its defaults as they are; of one that needs settings nothing is shown. An ordinary document costs
what it costs the first step that asks about it, splitting into words included. Texts of a quarter of `--size` and of
all of it tell whether the time grows faster than the text: 4 times is linear.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
from itertools import chain, islice
from pathlib import Path
from time import process_time
from typing import Any

from _adversary import INPUTS
from _compare import MB, parse_size
from _corpus import make_pool, make_rows, python_docs, read_texts
from _measure import machine
from pydantic import ValidationError

from llmkit.cleaning.steps import GlobalStep, Step
from llmkit.core.registry import Family
from llmkit.data.corpus import UNKNOWN_LANGUAGE, Document

NUM_DOCUMENTS = 500
LIMIT_S = 60
FAMILY = Family("step")


def seconds(step: Step, texts: list[str]) -> float:
    """Return the processor time that the step takes for the texts, each a new document.

    Raises:
        TimeoutError: It is longer than a minute.
    """
    # The others look at the language; the one that finds it out would have nothing to do.
    language = UNKNOWN_LANGUAGE if step.type_name == "language" else "en"
    documents = [Document(f"{i:032x}", text, "benchmark", language) for i, text in enumerate(texts)]
    recorder = step.recorder() if isinstance(step, GlobalStep) else None
    signal.alarm(LIMIT_S)
    try:
        start = process_time()
        for row, document in enumerate(documents):
            if recorder is None:
                step.apply(document)
            else:
                recorder.add(row, document)
        return process_time() - start
    finally:
        signal.alarm(0)


def build(name: str) -> Step | None:
    """Return the step with its defaults, None where it needs settings."""
    try:
        step = FAMILY.load(name)()
    except ValidationError:
        return None
    assert isinstance(step, Step)
    return step


def measure(step: Step, ordinary: list[str], size: int) -> dict[str, Any]:
    """Return microseconds per ordinary document, and the slowest and the most steeply growing of the hard texts."""
    seconds(step, ordinary[:20])  # loads what is loaded once
    cost = statistics.median(seconds(step, ordinary) for _ in range(3)) / len(ordinary)
    slowest, steepest = ("", float("inf")), ("", 0.0)
    for name in sorted(INPUTS.keys() - {"tiny documents"}):  # a matter of the calls, not of the text
        make = INPUTS[name]
        quarter, whole = list(make(size // 4)), list(make(size))
        try:
            before = min(seconds(step, quarter) for _ in range(2))
            after = min(seconds(step, whole) for _ in range(2))
        except TimeoutError:
            before, after = 0.0, float("inf")
        slowest = min(slowest, (name, size / MB / after), key=lambda found: found[1])
        if after > 0.05:  # below, the clock and the memory allocator decide
            steepest = max(steepest, (name, after / before), key=lambda found: found[1])
    return {"us_per_document": cost * 1e6, "slowest": slowest, "steepest": steepest}


def main() -> None:
    """Print a table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="text to make the ordinary documents of")
    parser.add_argument("--steps", type=lambda text: text.split(","), default=FAMILY.members())
    parser.add_argument("--size", type=parse_size, default="1MB", help="size of the hard texts")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()

    def stop(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, stop)
    pool = make_pool(chain.from_iterable(map(read_texts, args.input)) if args.input else python_docs())
    ordinary = [row["text"] for row in islice(make_rows(pool, 100 * MB), NUM_DOCUMENTS)]
    mean = sum(len(text.encode()) for text in ordinary) / len(ordinary)
    print(
        f"{'step':18} {'us/document':>11} {'MB/s':>7}   {'slowest text, MB/s':34} steepest growth for 4 times the text"
    )
    found = {}
    for name in args.steps:
        step = build(name)
        if step is None:
            print(f"{name:18} needs settings")
            continue
        row = found[name] = measure(step, ordinary, args.size)
        slow, steep = (f"{value:8.2f} {text}" for text, value in (row["slowest"], row["steepest"]))
        cost = f"{row['us_per_document']:11.1f} {mean / row['us_per_document']:7.0f}"
        print(f"{name:18} {cost}   {slow:34} {steep}", flush=True)
    if args.json:
        result = {"machine": machine(["llmkit", "numba", "numpy"]), "mean_bytes": mean, "steps": found}
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
