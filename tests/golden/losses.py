"""Make the golden files: the first 20 losses of a tiny run per objective, and the versions they came from.

    python tests/golden/losses.py

writes them anew. Do that only for a change that is meant to change the numbers, and say so in its commit.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from llmkit.data.chat import CONVERSATION
from llmkit.data.packing import RowPacker
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.rows.sft import SFT
from llmkit.training.metrics import read_metrics
from tiny import byte_tokenizer, encoded, model, one_thread, stream, trainer

FOLDER = Path(__file__).parent
STEPS, CONTEXT = 20, 128


def _conversations() -> list[dict[str, Any]]:
    names, things = ("fox", "river", "clock", "狐狸"), ("bridge", "letter", "song", "北京", "door")
    return [
        {
            "messages": [
                {"role": "system", "content": "Answer briefly."},
                {"role": "user", "content": f"What does the {names[i % 4]} see?"},
                {"role": "assistant", "content": f"The {things[i % 5]}" + "." * (1 + i % 3)},
            ]
        }
        for i in range(40)
    ]


def _sft() -> dict[str, Any]:
    tokenizer = byte_tokenizer()
    examples = SFT().encode(_conversations(), CONVERSATION, tokenizer, CONTEXT)
    rows = [(example.columns["input_ids"], example.columns["labels"]) for example in examples]
    return {
        "objective": SFT(),
        "start": model("qwen3", vocab_size=len(tokenizer), head_dim=8),
        "packer": RowPacker(encoded(rows), CONTEXT, seed=1, pad_id=tokenizer.pad_token_id),
        "context_length": CONTEXT,
        "batch_tokens": 4 * CONTEXT,
        "micro_batch_tokens": 2 * CONTEXT,
    }


def _causal_lm() -> dict[str, Any]:
    return {"objective": CausalLM(), "start": model("llama"), "packer": stream(seed=1), "micro_batch_tokens": 32}


RUNS = {"causal_lm": _causal_lm, "sft": _sft}


def losses(name: str) -> list[float]:
    """Train and return the loss of each step."""
    with one_thread(), tempfile.TemporaryDirectory() as folder:
        trainer(Path(folder), max_steps=STEPS, **RUNS[name]()).train()
        return [row["loss"] for row in read_metrics(Path(folder))]


def main() -> None:
    versions = {package: importlib.metadata.version(package) for package in ("torch", "transformers", "numpy")}
    made_with = {"python": platform.python_version(), "machine": platform.machine(), **versions}
    for name in RUNS:
        content = {"made_with": made_with, "losses": [round(loss, 6) for loss in losses(name)]}
        (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
