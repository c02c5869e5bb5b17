"""The page of what each format holds, architecture by architecture, from what the tests of exports have found.

`reference/matrix.json` is written by those tests (`--cells`, see tests/cells.py): nothing here is a claim of its own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]
FOUND = Path(__file__).resolve().parent / "reference" / "matrix.json"
SAID = {"green": "yes", "fails": "**no**", "not run": "not run"}
NUMBERS = (
    "float32", "float16", "bfloat16", "int8", "w8a8", "w4a16", "q8_0", "q6_k", "q5_k", "q5_0", "q4_k", "q4_0",
)  # fmt: skip
"""Number formats in the order of the columns."""
INTRO = """\
# Which format holds which model

% Written by docs/generate.py from reference/matrix.json, which tests write; edit neither.

Every cell is a test: a small model with random weights was exported, loaded by the runtime that the table names, and
compared with the model in transformers (logits, tokens written, labels, vectors). This page is made of what those tests
have found, versions included. `yes` has passed; an empty cell has no test, and such an export is compared with its own
model all the same before it counts, as every export is. What a format has no place for is refused, in the words
[below](#refused).

The tests are run, and the page is made, by

```sh
python -m pytest -m "slow or not slow" {files} \\
  --cells docs/reference/matrix.json
python docs/generate.py
```

A test that was skipped (no Node, no Chromium) leaves what an earlier run has found, and `--missing` runs those alone
that have not passed yet. So far: {counts}.
"""


def matrix_page() -> str:
    """Return the page."""
    cells: list[Cell] = json.loads(FOUND.read_text(encoding="utf-8"))
    run = [cell for cell in cells if cell["result"] != "refused"]
    files = sorted({cell["test"].partition("::")[0] for cell in cells})
    tally = Counter(SAID[cell["result"]].strip("*") for cell in run)
    counts = ", ".join(f"{count} {word}" for word, count in tally.most_common())
    parts = [INTRO.format(files=" \\\n  ".join(files), counts=counts)]
    for (name, runtime), group in groupby(sorted(run, key=_place), key=_place):
        parts.append(f"## {name} in {runtime}\n\n" + "\n".join(_tables(list(group))))
    parts += [*_failing(run), _refused([cell for cell in cells if cell["result"] == "refused"])]
    return "\n".join(parts)


def _place(cell: Cell) -> tuple[str, str]:
    return cell["format"], cell["runtime"]


def _tables(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a table of models that write, by number formats, one of all others, by what they answer, and versions."""
    text = [cell for cell in cells if cell["head"] == "text"]
    heads = [cell for cell in cells if cell["head"] != "text"]
    if text:
        columns = sorted({cell["dtype"] for cell in text}, key=NUMBERS.index)
        rows = sorted({cell["model"] for cell in text})
        yield _table("writes text", columns, [([row], {"model": row}) for row in rows], "dtype", text)
    if heads:
        columns = sorted({cell["head"] for cell in heads})
        pairs = sorted({(cell["model"], cell["dtype"]) for cell in heads}, key=lambda p: (p[0], NUMBERS.index(p[1])))
        named = [([f"{model}`, `{dtype}"], {"model": model, "dtype": dtype}) for model, dtype in pairs]
        yield _table("reads text", columns, named, "head", heads)
    for versions in sorted({cell["with"] for cell in cells if cell["result"] != "not run"}):
        yield f"With {versions}.\n"


def _table(
    title: str, columns: Sequence[str], rows: Sequence[tuple[list[str], Cell]], key: str, cells: Sequence[Cell]
) -> str:
    from generate import table

    lines = []
    for (name,), wanted in rows:
        own = [cell for cell in cells if all(cell[field] == value for field, value in wanted.items())]
        found = ([cell["result"] for cell in own if cell[key] == column] for column in columns)
        lines.append([f"`{name}`", *(_worst(results) for results in found)])
    return table([title, *(f"`{column}`" if key == "dtype" else column for column in columns)], lines)


def _worst(results: Sequence[str]) -> str:
    """Return what a cell of several tests says."""
    return next((SAID[result] for result in ("fails", "not run", "green") if result in results), "")


def _failing(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the cells that fail, each with the command that shows it."""
    failing = [f"* `python -m pytest '{cell['test']}'`" for cell in cells if cell["result"] == "fails"]
    if failing:
        yield "\n".join(["## What fails", "", "Each by the command that shows it:", "", *failing, ""])


def _refused(cells: Sequence[Cell]) -> str:
    """Return the list of refusals, architectures with the same words together."""
    lines = ["(refused)=", "## Refused", ""]
    for name, group in groupby(cells, key=lambda cell: cell["format"]):
        words: dict[str, list[str]] = {}
        for cell in group:
            said = re.sub(r"; did you mean '.*?'\?", "", cell["words"])
            said = re.sub(rf"\b{cell['model']}\b", "NAME", said, count=1)
            words.setdefault(said, []).append(cell["model"])
        lines += [f"**{name}**", ""]
        lines += [f"* {', '.join(f'`{model}`' for model in models)}: {said}" for said, models in words.items()]
        lines.append("")
    return "\n".join(lines)
