"""Try what goes wrong on real machines, class by class: `python -m campaign [CLASS ...]`, or `make campaign`.

Prints what was tried and what held, and fails when something did not. Some minutes a class on 2 cores.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

CLASSES = ("damage", "models", "recipes", "rows", "kills", "limits")
SHOWN = 12
WIDTH = 200


def main() -> int:
    """Run the classes asked for."""
    parser = argparse.ArgumentParser(prog="python -m campaign", description="Try what goes wrong on real machines.")
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=f"of {', '.join(CLASSES)}; all by default")
    parser.add_argument("--only", default="", metavar="WORDS", help="cases whose name holds these words")
    parser.add_argument("--sample", type=int, default=1, metavar="N", help="every N-th case")
    parser.add_argument("--verbose", action="store_true", help="print every case")
    options = parser.parse_args()
    if unknown := set(options.classes) - set(CLASSES):
        parser.error(f"unknown class {sorted(unknown)[0]!r}; classes: {', '.join(CLASSES)}")
    _alone()
    from campaign._cases import Verdict, load_everything, run_all

    load_everything()

    def show(verdict: Verdict) -> None:
        if verdict.problem or options.verbose:
            print(f"{'FELL' if verdict.problem else 'held'} {verdict.case.name}: "
                  f"{verdict.problem or verdict.code} ({verdict.seconds:.1f} s)", flush=True)  # fmt: skip
            print("\n".join("     " + line[:WIDTH] for line in verdict.said.strip().splitlines()[-SHOWN:]), flush=True)

    fell = 0
    for name in options.classes or CLASSES:
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
            cases = importlib.import_module(f"campaign.{name}").cases(Path(scratch))
            chosen = [case for case in cases if options.only in case.name][:: options.sample]
            verdicts = run_all(chosen, show=show)
        held = sum(not verdict.problem for verdict in verdicts)
        fell += len(verdicts) - held
        print(f"{name}: {len(verdicts):,} tried, {held:,} held, in {time.monotonic() - start:,.0f} s", flush=True)
    return int(fell > 0)


def _alone() -> None:
    """One thread and no network, before anything heavy is imported."""
    os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "XDG_CACHE_HOME": tempfile.mkdtemp(prefix="campaign-cache-")}


if __name__ == "__main__":
    sys.exit(main())
