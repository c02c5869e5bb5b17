"""How many made keys does `pii` find, and does it take other random text for keys? Recall per kind, and precision.

python benchmarks/keys.py [--count 10000] [--seed 0] [--data DIRECTORY]

A key counts as found if the finding is the key itself, no more and no less, in a sentence of English, Chinese or code.
Precision is that of a text with as many look-alikes as keys, of each kind equally many. With `--data` the texts of a
folder that holds no keys are searched besides; each hit is printed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from _planted_keys import ISSUED, LOOKALIKES, NAMED, SENTENCES, Make

from llmkit.cleaning.steps.pii import Pii

STEP = Pii(types=["secret"])


def found(text: str) -> list[str]:
    """Return the secrets that are found in a text."""
    return [text[start:end] for start, end, _ in STEP.find(text)]


def recall(frame: str | None, make: Make, count: int, rng: random.Random) -> float:
    """Return the share of planted keys that are found, exactly as they are.

    Args:
        frame: The name that goes with the key; None for keys that stand alone.
        make: Makes a key.
        count: Keys to plant.
        rng: Where they come from.
    """
    right = 0
    for _ in range(count):
        key = make(rng)
        right += found(rng.choice(SENTENCES).format((frame or "{}").format(key))) == [key]
    return right / count


def false_hits(make: Make, count: int, rng: random.Random) -> int:
    """Return how many look-alikes are taken for keys."""
    return sum(bool(found(rng.choice(SENTENCES).format(make(rng)))) for _ in range(count))


def texts(folder: Path) -> Iterator[str]:
    """Yield all strings of a folder's files, whatever columns they stand in."""
    from llmkit.data.sources import Record
    from llmkit.data.sources.files import Files

    source = Files(path=str(folder))
    for file in source.files():
        for record in source.raw(file):
            if isinstance(record, Record):
                yield "\n".join(str(value) for value in record.fields.values())


def main() -> None:
    """Print the table, and what was found in the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="keys and look-alikes of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="a folder of texts without keys")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    print(f"| key ({args.count:,} of each) | recall |\n|---|---|")
    shares = []
    for kind, make in ISSUED.items():
        shares.append(recall(None, make, args.count, rng))
        print(f"| {kind} | {shares[-1]:.4f} |", flush=True)
    for kind, (frame, make) in NAMED.items():
        shares.append(recall(frame, make, args.count, rng))
        print(f"| `{frame.format('...')}`, {kind} | {shares[-1]:.4f} |", flush=True)
    print(f"\n| look-alike ({args.count:,} of each) | taken for a key |\n|---|---|")
    wrong = 0
    for kind, make in LOOKALIKES.items():
        hits = false_hits(make, args.count, rng)
        wrong += hits
        print(f"| {kind} | {hits} |", flush=True)
    right = sum(shares) / len(shares)
    print(f"\nrecall {right:.4f}, precision {right / (right + wrong / args.count / len(LOOKALIKES)):.5f}")
    if args.data:
        hits = [value for text in texts(args.data) for value in found(text)]
        print(f"{len(hits)} found in {args.data}", *hits, sep="\n")


if __name__ == "__main__":
    main()
