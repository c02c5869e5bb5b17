"""How the processor time of every reader and every cleaning step grows with inputs that were made to be slow."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from _adversary import INPUTS
from _compare import Bench
from _hard_files import HARD_FILES
from pydantic import ValidationError

from llmkit.cleaning.run import clean_inputs
from llmkit.cleaning.steps import Step
from llmkit.core.console import Console
from llmkit.core.context import Context
from llmkit.core.errors import UserError
from llmkit.core.registry import Family
from llmkit.data.sources._formats import formats
from llmkit.data.sources.files import Files
from llmkit.work.engine import Engine

FACTORS = (1, 2, 4)
SLACK_S = 0.1
"""Below, the clock and what a run costs without any input decide."""
LIMIT_S = 60.0
"""What takes longer is not tried at the next size."""
LINEAR = 6.0
"""Times as long for four times as much, with room for caches."""
_HELD_OUT = "held-out.jsonl"
_SETTINGS: dict[str, list[dict[str, Any]]] = {
    "cap": [{"limit": 10**9}],
    "decontaminate": [{"sets": [_HELD_OUT]}],
    "html": [{"all_documents": True, "quality": quality} for quality in ("fast", "high")],
    "markup": [{"format": name} for name in ("markdown", "wiki", "roff", "rst")],
    "mixture": [{"weights": {"input": 1}}],
    "word_list": [{"words": ["committee", "road", "aa"]}],
}
"""Settings of the steps that do nothing without; each is measured by itself."""


def growth(bench: Bench, size: int, only: set[str]) -> None:
    """Measure 1, 2 and 4 times a quarter of `size`, and claim that nothing takes more than six times as long."""
    folder = bench.work / "growth"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    _measure("", "nothing", lambda _: b'{"text":"x"}\n', ".jsonl", [], folder, size)  # loads what is loaded once
    for suffix in _readers(bench):
        if not only or suffix in only:
            rows += [
                _measure(f"reader {suffix}", name, make, suffix, [], folder, size)
                for name, make in HARD_FILES[suffix].items()
            ]
    for who, step in _steps(folder, bench):
        if not only or step.type_name in only:
            _measure("", "", _lines(lambda _: iter(["Some words."])), ".jsonl", [step], folder, size)
            rows += [_measure(who, name, _lines(make), ".jsonl", [step], folder, size) for name, make in INPUTS.items()]
    print_growth(rows)
    bench.growth = rows
    bench.claim("times as long for four times as much, worst", max(row["growth"] for row in rows), "<=", LINEAR)


def _measure(
    who: str, name: str, make: Callable[[int], bytes], suffix: str, steps: list[Step], folder: Path, size: int
) -> dict[str, Any]:
    """Return the seconds at each size; those that were not tried are infinite."""
    seconds: list[float] = []
    for factor in FACTORS:
        if seconds and seconds[-1] > LIMIT_S:
            seconds.append(float("inf"))
            continue
        path = folder / f"input{suffix}"
        path.write_bytes(make(size * factor // FACTORS[-1]))
        seconds.append(_seconds(path, steps, folder / "run"))
    if who:
        print(f"  {who}: {name}: {seconds[-1]:.2f} s", file=sys.stderr, flush=True)
    steep = (seconds[-1] + SLACK_S) / (seconds[0] + SLACK_S)
    return {"who": who, "input": name, "seconds": seconds, "growth": steep}


def _seconds(path: Path, steps: list[Step], folder: Path) -> float:
    """Return the processor time of reading a file, of the steps, of what they compare and of writing."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    source = Files(path=str(path))
    context = Context(folder, Console(quiet=True))
    start = _clock()
    with Engine("local", 1) as engine, suppress(UserError):  # nothing readable, nothing left: measured all the same
        clean_inputs([(source, source.files())], steps, None, folder / "out", folder / "scratch", engine, context)
    return _clock() - start


def _clock() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _lines(make: Callable[[int], Iterator[str]]) -> Callable[[int], bytes]:
    """Turn a maker of texts into one of JSON Lines that say what language they are in."""
    return lambda size: "".join(
        json.dumps({"text": text, "language": "en"}, ensure_ascii=False) + "\n" for text in make(size)
    ).encode()


def _readers(bench: Bench) -> list[str]:
    """Return the suffixes to measure; a format of which none has hard files is a failure."""
    for form in set(formats().values()):
        if not set(form.suffixes) & set(HARD_FILES):
            bench.failures.append(f"reader of {form.suffixes[0]}: no hard files in _hard_files.py")
    return list(HARD_FILES)


def _steps(folder: Path, bench: Bench) -> Iterator[tuple[str, Step]]:
    """Yield every cleaning step and how to name it."""
    (folder / _HELD_OUT).write_bytes(_lines(lambda _: iter(["This is a text of some words. " * 20]))(0))
    family = Family("step")
    for name in family.members():
        for settings in _SETTINGS.get(name, [{}]):
            if "sets" in settings:
                settings = {"sets": [str(folder / _HELD_OUT)]}  # noqa: PLW2901
            try:
                step = family.load(name)(**settings)
            except ValidationError as error:
                bench.failures.append(f"step {name}: {error}")
                continue
            assert isinstance(step, Step)
            said = [str(value) for key, value in settings.items() if key in ("format", "quality")]
            yield " ".join(["step", name, *said]), step


def print_growth(rows: list[dict[str, Any]]) -> None:
    """Print of every reader and step the input whose time grows most steeply."""
    print(f"{'reader or step':26} {'1x s':>7} {'2x s':>7} {'4x s':>7} {'growth':>7}  input")
    for who in dict.fromkeys(row["who"] for row in rows):
        worst = max((row for row in rows if row["who"] == who), key=lambda row: row["growth"])
        times = " ".join(f"{value:7.2f}" for value in worst["seconds"])
        print(f"{who:26} {times} {worst['growth']:7.1f}  {worst['input']}")
