"""What the cases of benchmarks/finetune.py on real data share: commands of llmkit, rows, and what is held out."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from _compare import Bench
from _measure import RunError


def real_data(args: Namespace, name: str) -> Path:
    """Return a file of `--data`, the folder with the real data."""
    if args.data is None or not (path := args.data / name).exists():
        raise SystemExit(f"--data: no folder with {name}; say where the real data is")
    return path


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a gzipped file of JSON Lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Write JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def is_held_out(text: str, share: int) -> bool:
    """Tell whether a text is among one in `share` that are held out, by a hash of it."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16) % share == 0


def llmkit(bench: Bench, log: str, *arguments: object) -> dict[str, Any]:
    """Run a command of llmkit, its output in a log, and return the manifest of what it made, where it made any.

    Raises:
        RunError: It failed; the message ends with what it said last.
    """
    command = [sys.executable, "-m", "llmkit", *map(str, arguments)]
    path = bench.work / "logs" / f"{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    print(f"  llmkit {' '.join(command[3:])}", file=sys.stderr, flush=True)
    with path.open("wb") as out:
        code = subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        ).returncode
    if code:
        tail = "\n".join(path.read_text(errors="replace").splitlines()[-6:])
        raise RunError(f"exit code {code}: llmkit {arguments[0]}\n{tail}")
    out_dir = next((Path(str(value)) for name, value in pairwise(arguments) if name == "-o"), None)
    if out_dir is None or not (manifest := out_dir / "llmkit.json").exists():
        return {}
    found: dict[str, Any] = json.loads(manifest.read_text())
    return found


def settings(**values: object) -> list[str]:
    """Return `-s` options; a double underscore in a name is a dot."""
    pairs = (f"{name.replace('__', '.')}={json.dumps(value)}" for name, value in values.items())
    return [part for pair in pairs for part in ("-s", pair)]
