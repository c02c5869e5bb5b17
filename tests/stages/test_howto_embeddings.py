"""Every command of docs/howto-embeddings.md does what the page says, on a small model and rows like those shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from headed import BODY, save_headed
from llmkit.core.manifest import read_manifest
from texts import sentences

PAGE = (Path(__file__).parents[2] / "docs/howto-embeddings.md").read_text(encoding="utf-8")
SHELL = "".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
COMMANDS = [shlex.split(line)[1:] for line in SHELL.splitlines()]
SIZE = ["-s", "context_length=32", "-s", "overlength=truncate", "-s", "validate.every=100"]
"""The model of the test has 48 positions."""


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_the_page_runs_from_top_to_bottom(cli, jsonl, tmp_path, reload_here):
    save_headed(tmp_path / "minilm", BODY, hidden_size=128, max_position_embeddings=48)
    first, second = sentences(80, seed=1), sentences(80, seed=2)
    jsonl("pairs.jsonl", [{"query": a[:30], "positive": b[:40]} for a, b in zip(first, second, strict=True)])
    jsonl("similar.jsonl", [{"sentence1": a[:30], "sentence2": b[:30], "score": i % 11 / 2}
                            for i, (a, b) in enumerate(zip(first, second, strict=True))])  # fmt: skip
    jsonl("passages.jsonl", second[:4])
    jsonl("questions.jsonl", first[:4])
    assert len(COMMANDS) == 8
    for command in COMMANDS:
        outcome = cli(*command, *(SIZE if command[0] == "finetune" else []))
        assert outcome.code == 0, (command, outcome.err)
        if command[0] == "finetune":
            shown = outcome.out.replace(" ", "_")
            assert ("spearman" if "scored" in command else "recall_at_1") in shown
    assert read_manifest(Path("whole")).kind == "export"
    assert read_manifest(Path("harder")).config["resolved"]["objective"]["negatives"]["most"] == 4
