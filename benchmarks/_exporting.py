"""One step of an export, in a process of its own: writing, or running what was written; prints a JSON object.

python _exporting.py write MODEL OUT EXPORTER       load a model and write it, without the comparison
python _exporting.py run WHERE RUNTIME NEW_TOKENS    greedy tokens behind a prompt, and how many a second
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

PROMPT = tuple(range(100, 164))
"""Any ids: the time of a token does not depend on which."""


def write(model: str, out: str, exporter: str) -> dict[str, Any]:
    """Load and write; how long each took."""
    from llmkit.core.registry import Family
    from llmkit.runtimes.transformers import Transformers

    begun = perf_counter()
    running = Transformers().load(model)
    loaded = perf_counter()
    part: Any = Family("exporter").parse(json.loads(exporter))
    assert part.supports(running.model.config, running.tokenizer) is None
    Path(out).mkdir(parents=True)
    notes = part.write(running.model, running.tokenizer, Path(out))
    written = perf_counter()
    size = sum(file.stat().st_size for file in Path(out).rglob("*") if file.is_file())
    return {"load_s": loaded - begun, "write_s": written - loaded, "bytes": size, "notes": list(notes or ())}


def speed(where: str, runtime: str, new_tokens: str) -> dict[str, Any]:
    """Load and write tokens; how long each took."""
    from llmkit.core.registry import Family
    from llmkit.runtimes import Generate

    part: Any = Family("runtime").parse(json.loads(runtime))
    begun = perf_counter()
    running = part.load(where)
    loaded = perf_counter()
    running.answer([Generate(PROMPT, 2, exact=True)])  # what is made at the first time is not a token's time
    started = perf_counter()
    running.answer([Generate(PROMPT, int(new_tokens), exact=True)])
    return {"load_s": loaded - begun, "tokens_per_s": int(new_tokens) / (perf_counter() - started)}


if __name__ == "__main__":
    print(json.dumps({"write": write, "run": speed}[sys.argv[1]](*sys.argv[2:])))
