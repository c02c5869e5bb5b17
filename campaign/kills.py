"""`kill -9`, SIGTERM and Ctrl-C at random instants of every stage, once or more, then the same command again."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from campaign._cases import Case
from campaign._twice import MORE, Subject, alive, disturbed, subjects, twice

SEED = 20
COUNT = 25
"""Cases of each subject."""
PROMPT_S = 4.0
"""Seconds in which an interrupted command ends: 1.5 for one that does not look, and a busy machine."""
STEPS = "steps=[normalize, length, exact_duplicates, near_duplicates, shuffle]"
START_S = 0.05
"""Seconds in which a process may not yet know what to do with a signal."""
SETTINGS = {
    "clean": ["-i", MORE, "-s", STEPS, "-s", "workers=1"],
    "clean with workers": ["-i", MORE, "-s", STEPS, "-s", "workers=2"],
    "tokenize": ["-s", "workers=1"],
    "tokenize with workers": ["-s", "workers=2", "-s", "tokenizer.type=wordpiece"],
    "pretrain": ["-s", "log_every=1"],
    "finetune": ["-s", "log_every=1"],
    "lora": ["-s", "log_every=1", "-s", "adapter.dropout=0.1"],
    "eval": [],
    "export": [],
    "predict": [],
    "generate": [],
    "index": [],
}


def cases(scratch: Path) -> Iterator[Case]:
    """Yield every case; see `campaign.damage.cases`."""
    choose = random.Random(SEED)
    for subject in list(subjects(scratch, SETTINGS)):
        for _ in range(COUNT):
            strikes = [
                (choose.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]), choose.random() * subject.seconds)
                for _ in range(choose.choice([1, 1, 2, 3]))
            ]
            yield _struck(subject, strikes)


def _struck(subject: Subject, strikes: list[tuple[signal.Signals, float]]) -> Case:
    name = ", ".join(f"{number.name} after {seconds:.3f} s" for number, seconds in strikes)

    def disturb(folder: Path) -> str:
        for number, seconds in strikes:
            if problem := _strike(subject, folder, number, seconds):
                return f"{number.name} after {seconds:.3f} s: {problem}"
        return ""

    return twice(name, subject, disturb)


def _strike(subject: Subject, folder: Path, number: signal.Signals, seconds: float) -> str:
    struck: list[tuple[int, float]] = []

    def meanwhile(child: int) -> None:
        time.sleep(seconds)
        struck.append((child, time.monotonic()))
        with suppress(ProcessLookupError):
            if number == signal.SIGINT:  # as a terminal does
                os.killpg(child, number)
            else:
                os.kill(child, number)

    end = disturbed(subject.command, folder, meanwhile=meanwhile)
    late = time.monotonic() - struck[0][1]
    time.sleep(0.05)
    if left := alive(struck[0][0]):
        return f"processes {left} are left"
    if "Traceback" in end.said:
        return f"a traceback: {end.said.strip().splitlines()[-1]}"
    silent = number == signal.SIGKILL or seconds < START_S
    if end.code not in (0, *([-number] if silent else []), *([] if number == signal.SIGKILL else [75])):
        return f"exit {end.code}: {end.said.strip()}"
    if number != signal.SIGKILL and late > PROMPT_S:
        return f"it took {late:.1f} s to end"
    if end.code == 75 and f"error: interrupted by {number.name}" not in end.said:
        return "exit 75 without words"
    return ""
