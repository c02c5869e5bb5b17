"""Let contenders take turns on the same input, and keep what they took, what is claimed and what failed."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from _corpus import Pool, write_corpus
from _measure import Measurement, RunError, machine, run

MB, GB = 10**6, 10**9
FILE_BYTES = 16 * MB
Command = Callable[[Path], list[str]]


@dataclass
class Contender:
    """One way to clean one input.

    Attributes:
        name: Shown in the table.
        command: From the output directory to what is run.
        cores: How many cores it may use.
    """

    name: str
    command: Command
    cores: int = 1


@dataclass
class Bench:
    """What all cases share, and what they found.

    Attributes:
        work: Folder for inputs and outputs.
        rounds: Runs per contender.
        rows: Rows of the table.
        claims: Name, measured value, relation and target of each claim.
        failures: What could not be measured, and why.
        growth: Rows of the table of growing inputs, see _growth.py.
    """

    work: Path
    rounds: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    growth: list[dict[str, Any]] = field(default_factory=list)

    def compare(self, case: str, corpus: dict[str, int], contenders: list[Contender]) -> dict[str, dict[str, Any]]:
        """Run the contenders in turn, `rounds` times, and return their rows; one that fails drops out with a message.

        The output of the last round stays in `work/out/NAME`.
        """
        runs: dict[str, list[Measurement]] = {contender.name: [] for contender in contenders}
        for _, contender in itertools.product(range(self.rounds), contenders):
            if contender.name not in runs:
                continue
            out = self.work / "out" / contender.name.replace(" ", "-")
            shutil.rmtree(out, ignore_errors=True)
            cores = sorted(os.sched_getaffinity(0))[-contender.cores :]
            try:
                found = run(contender.command(out), cores=cores, log=self.work / "logs" / f"{out.name}.log")
            except RunError as error:
                self.failures.append(f"{case}: {contender.name}: {error}")
                del runs[contender.name]
                continue
            print(f"  {case}: {contender.name}: {found.seconds:.1f} s", file=sys.stderr)
            runs[contender.name].append(found)
        rows = {name: {"case": case, "who": name, **corpus, **_medians(found, corpus)} for name, found in runs.items()}
        self.rows += rows.values()
        return rows

    def corpus(self, pool: Pool, num_bytes: int) -> tuple[Path, dict[str, int]]:
        """Return a directory with a corpus of the size, and its counts; made once."""
        path = self.work / f"{pool.digest}-{num_bytes}"
        return path, write_corpus(pool, path, num_bytes, file_bytes=FILE_BYTES)

    def claim(self, name: str, value: float, relation: str, target: float) -> None:
        """Note whether a claim holds."""
        holds = value >= target if relation == ">=" else value <= target
        self.claims.append({"claim": name, "value": value, "relation": relation, "target": target, "holds": holds})


def _medians(runs: list[Measurement], corpus: dict[str, int]) -> dict[str, Any]:
    seconds, cpu, peak = (statistics.median(column) for column in zip(*(_columns(run) for run in runs), strict=True))
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_bytes": int(peak),
        "mb_per_s": corpus["bytes"] / MB / seconds,
        "all_seconds": [run.seconds for run in runs],
    }


def _columns(found: Measurement) -> tuple[float, float, int]:
    return found.seconds, found.cpu_seconds, found.peak_bytes


def print_tables(bench: Bench) -> None:
    """Print the rows and the claims."""
    print(
        f"{'case':34} {'who':10} {'MB':>7} {'s':>8} {'CPU s':>8} {'MB/s':>7} {'peak MB':>8} {'kept':>8} {'missed':>7}"
    )
    for row in bench.rows:
        missed = row.get("missed_exact", 0) + row.get("missed_near", 0) if "kept" in row else ""
        sizes = f"{row['bytes'] / MB:7.1f} {row['seconds']:8.2f} {row['cpu_seconds']:8.2f} {row['mb_per_s']:7.2f}"
        ends = f"{row['peak_bytes'] / MB:8.0f} {row.get('kept', ''):>8} {missed:>7}"
        print(f"{row['case']:34} {row['who']:10} {sizes} {ends}")
    print_claims(bench)


def print_claims(bench: Bench) -> None:
    """Print the claims, and what could not be measured."""
    for claim in bench.claims:
        verdict = "" if claim["holds"] else "   MISSED"
        print(f"{claim['claim']:50} {claim['value']:8.2f} {claim['relation']} {claim['target']}{verdict}")
    for failure in bench.failures:
        print(f"not measured: {failure}")


def finish(bench: Bench, path: Path | None, packages: Sequence[str]) -> None:
    """Write the JSON, if it is wanted, and exit: with 1 where a claim is missed or could not be measured."""
    if path:
        found = {"machine": machine(packages), "rows": bench.rows, "claims": bench.claims, "failures": bench.failures}
        found["growth"] = bench.growth
        path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    sys.exit(bool(bench.failures) or not all(claim["holds"] for claim in bench.claims))


def parse_size(text: str) -> int:
    """Turn `10MB` or `1GB` into bytes (decimal units)."""
    for unit, factor in (("GB", GB), ("MB", MB), ("KB", 1000)):
        if text.upper().endswith(unit):
            return int(float(text[: -len(unit)]) * factor)
    raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 10MB or 1GB")
