"""The file systems of the outputs have room for all that the chain writes, and for what its runs need on the way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from llmkit.chain.room import Disk, disk_of
from llmkit.chain.runs import Chain, Finding, Run
from llmkit.core.errors import UserError
from llmkit.core.manifest import MANIFEST
from llmkit.core.page import size

MACHINE = 4


def check(chain: Chain, run: Run) -> Iterator[Finding]:
    """Say what a run takes."""
    found = disk_of(chain, run)
    if found is None:
        if run.stage not in ("eval", "predict", "generate"):  # they are small beside what they are made of
            yield run.found("unknown", "not known before its inputs are there")
        return
    yield run.found("ok", f"{size(found.output)} at most, {size(found.working)} while it runs")


def check_all(chain: Chain) -> Iterator[Finding]:
    """Compare what all runs take with what is free; what is finished already is not counted."""
    needed: dict[int, list[tuple[Run, Disk]]] = {}
    places: dict[int, Path] = {}
    for run in chain.runs:
        disk = _known(chain, run)
        if disk is None or (run.output is not None and (run.output / MANIFEST).exists()):
            continue
        place = _there(run.output or Path())
        device = place.stat().st_dev
        places.setdefault(device, place)
        needed.setdefault(device, []).append((run, disk))
    for device, runs in needed.items():
        # One run at a time: what it needs on the way is gone when the next begins.
        total = sum(disk.output for _, disk in runs) + max(disk.working - disk.output for _, disk in runs)
        free, place = shutil.disk_usage(places[device]).free, places[device]
        largest, most = max(runs, key=lambda item: item[1].working)
        words = f"the chain writes {size(total)} at most, {size(free)} are free in {place}"
        if total > free:
            hint = f"llmkit tidy {place} lists what runs left behind; else choose another disk with -o"
            yield Finding(
                "problem", f"{words}; most of it is {largest.label}'s, {size(most.working)}", hint=hint, code=MACHINE
            )
        else:
            yield Finding("ok", words)


def _known(chain: Chain, run: Run) -> Disk | None:
    """Return what a run takes; None as well where it cannot run, which is told of the run itself."""
    try:
        return disk_of(chain, run)
    except UserError:
        return None


def _there(place: Path) -> Path:
    """Return the nearest folder that is there."""
    return next(path for path in (place, *place.absolute().parents) if path.is_dir())
