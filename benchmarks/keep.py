"""Which good texts do the recipes keep, and which junk do they drop? Kinds of both, English and Chinese, in one run.

python benchmarks/keep.py [--data FOLDER] [--count 60] [--peer] [--more NAME=FILE ...] [--json FILE]

The good kinds are real text in the layouts it is found in, out of the JSON Lines files in FOLDER (by default
../shared/data beside the repository; without them what Python itself carries); junk is made by rule. All kinds of a
language go through its recipe together, `english` or `chinese`, with `--peer` through datatrove as well. Exit code 1
where a good kind loses over 10%, the good ones over 3% on average, or junk under 95% (shuffled words aside).
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import _keep_chinese
import _keep_english
import _keep_junk
from _keep_sources import Sources

HERE = Path(__file__).parent
RECIPES = {"en": "english", "zh": "chinese"}
LEAST_KEPT, MEAN_KEPT, LEAST_DROPPED = 0.90, 0.97, 0.95


@dataclass
class Kind:
    """One kind of text and what became of it.

    Attributes:
        language: `en` or `zh`.
        name: What the table calls it.
        good: Whether it should be kept.
        total: Documents.
        ours: Kept by llmkit.
        theirs: Kept by datatrove; None where it did not run.
        rule: The rule of llmkit's that took most of those that fell.
    """

    language: str
    name: str
    good: bool
    total: int
    ours: int = 0
    theirs: int | None = None
    rule: str = ""

    def right(self, kept: int) -> float:
        """Return the share that was decided rightly."""
        return (kept if self.good else self.total - kept) / self.total


def texts(language: str, sources: Sources, count: int) -> Iterator[tuple[str, bool, list[str]]]:
    """Yield the kinds of a language: name, whether it is good, documents."""
    good, junk = (_keep_english.GOOD, _keep_junk.junk) if language == "en" else (_keep_chinese.GOOD, _keep_chinese.junk)
    for make in good:
        yield make.__name__, True, [text for text in make(sources, count) if text.strip()]
    for name, made in junk(sources, count):
        yield name, False, made


def more(arguments: list[str], language: str) -> Iterator[tuple[str, bool, list[str]]]:
    """Yield kinds of the user's own, `en:good:NAME=FILE` with JSON Lines of a `text`."""
    for argument in arguments:
        label, _, path = argument.partition("=")
        tag, verdict, name = label.split(":")
        if tag == language:
            with gzip.open(path, "rt") if path.endswith(".gz") else Path(path).open() as lines:
                yield name, verdict == "good", [json.loads(line)["text"] for line in lines]


def write(folder: Path, name: str, documents: list[str]) -> None:
    """Write a kind as a file of its own: its name is the source."""
    rows = (json.dumps({"id": f"{name}-{i}", "text": text, "kind": name}) for i, text in enumerate(documents))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")


def ours(folder: Path, recipe: str, out: Path) -> tuple[Counter[str], dict[str, str]]:
    """Return how many documents of each kind llmkit keeps, and the rule that took most of the others."""
    import pyarrow.parquet as pq

    command = [sys.executable, "-m", "llmkit", "clean", "-q", "-r", recipe, "-i", str(folder), "-o", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    kept = json.loads((out / "report.json").read_text())["sources"]
    fell: dict[str, Counter[str]] = {}
    for row in pq.read_table(out / "rejected" / "sample.parquet").to_pylist():  # at most 100 per rule
        fell.setdefault(row["source"], Counter())[row["rule"]] += 1
    rules = {name: count.most_common(1)[0][0] for name, count in fell.items()}
    return Counter({name: row["kept"] for name, row in kept.items()}), rules


def theirs(folder: Path, language: str, out: Path) -> Counter[str]:
    """Return how many documents of each kind datatrove keeps."""
    command = [sys.executable, str(HERE / "_datatrove.py"), str(folder), str(out), language]
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"datatrove failed: {done.stderr.strip()[-500:]}\nfor Chinese it needs: pip install jieba")
    files = (out / "kept").glob("*.jsonl")
    return Counter(json.loads(line)["metadata"]["kind"] for file in files for line in file.open())


def measure(args: argparse.Namespace, work: Path) -> list[Kind]:
    """Clean everything with everyone."""
    found: list[Kind] = []
    for language in args.languages:
        sources, folder = Sources(args.data), work / language
        kinds = []
        for name, good, documents in (*texts(language, sources, args.count), *more(args.more, language)):
            if documents:
                write(folder, name, documents)
                kinds.append(Kind(language, name, good, len(documents)))
        kept, rules = ours(folder, args.recipe or RECIPES[language], work / f"{language}-ours")
        peer = theirs(folder, language, work / f"{language}-theirs") if args.peer else None
        for kind in kinds:
            kind.ours, kind.rule = kept[kind.name], rules.get(kind.name, "")
            kind.theirs = None if peer is None else peer[kind.name]
        found += kinds
    return found


def print_table(kinds: list[Kind]) -> list[str]:
    """Print a line a kind, then the means; return what misses its target."""
    print(f"{'':3} {'kind':22} {'docs':>5} {'llmkit kept':>12} {'datatrove':>10}   fell mostly by")
    missed = []
    for language in dict.fromkeys(kind.language for kind in kinds):
        for good in (True, False):
            group = [kind for kind in kinds if (kind.language, kind.good) == (language, good)]
            for kind in group:
                least = LEAST_KEPT if good else LEAST_DROPPED
                worse = kind.theirs is not None and kind.right(kind.ours) < kind.right(kind.theirs)
                bad = "shuffled" not in kind.name and (kind.right(kind.ours) < least or worse)
                missed += [f"{language} {kind.name}"] if bad else []
                peer = "" if kind.theirs is None else f"{kind.theirs / kind.total:.1%}"
                flag = "  MISSED" * bad
                numbers = f"{kind.total:5} {kind.ours / kind.total:12.1%} {peer:>10}"
                print(f"{language:3} {kind.name:22} {numbers}   {kind.rule}{flag}")
            mean = sum(kind.right(kind.ours) for kind in group) / len(group)
            peers = [kind.right(kind.theirs) for kind in group if kind.theirs is not None]
            note = f"{sum(peers) / len(peers):.1%}" if peers else ""
            print(f"{language:3} {'good kept' if good else 'junk dropped':22} {'mean':>5} {mean:12.1%} {note:>10}\n")
            missed += [f"{language} mean of the good kinds"] if good and mean < MEAN_KEPT else []
    return missed


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data", help="folder of real text")
    parser.add_argument("--count", type=int, default=60, help="documents per kind")
    parser.add_argument("--peer", action="store_true", help="run datatrove as well; for Chinese it needs jieba")
    parser.add_argument("--recipe", help="clean everything with this recipe, a name or a path")
    parser.add_argument("--more", action="append", default=[], metavar="en:good:NAME=FILE", help="a kind of your own")
    parser.add_argument("--languages", type=lambda text: text.split(","), default=["en", "zh"])
    parser.add_argument("--work", type=Path, help="keep inputs and outputs here (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="llmkit-keep-") as folder:
        kinds = measure(args, args.work or Path(folder))
    missed = print_table(kinds)
    if args.json:
        args.json.write_text(json.dumps([asdict(kind) for kind in kinds], indent=1) + "\n")
    if missed:
        sys.exit(f"below target: {', '.join(missed)}")


if __name__ == "__main__":
    main()
