"""finetune on conversations that become several examples: counts, splits and previews."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from styles import QWEN3


@pytest.fixture
def finetune(cli, chain, training_options, jsonl):
    """Fine-tune the chain's base, with a template that writes an empty thought before the last answer alone."""

    def run(rows, *more):
        if not Path("base").exists():
            shutil.copytree(chain.base, "base", ignore=shutil.ignore_patterns("checkpoints"))
            Path("base/chat_template.jinja").write_text(QWEN3)
            Path("base/llmkit.json").unlink()  # it is no artifact any more
            config = json.loads(Path("base/config.json").read_text())
            Path("base/config.json").write_text(json.dumps({**config, "max_position_embeddings": 128}))
        path = jsonl("talks.jsonl", [{"messages": row} for row in rows])
        return cli("finetune", "--data", path, "--model", "base", *training_options, "--max-steps", 1, "-o", "tuned",
                   *more)  # fmt: skip

    return run


def talk(number, answers):
    pairs = [("user", f"{number}?"), ("assistant", f"{number}!")]
    return [{"role": role, "content": text} for _ in range(answers) for role, text in pairs]


def test_rows_and_examples_are_counted_apart(finetune):
    rows = [talk(i, 1 + i % 3) for i in range(30)]
    outcome = finetune(rows, "-s", "validation_fraction=0.3", "-s", "context_length=128", "--json")
    assert outcome.code == 0, outcome.err
    metrics = outcome.json["metrics"]
    assert metrics["rows"] + metrics["validation_rows"] == 30
    assert metrics["examples"] > metrics["rows"]
    told = " ".join(outcome.err.split())
    words = f"{metrics['rows']} rows become {metrics['examples']} examples: the chat template writes earlier turns"
    assert words in told
    assert "answers_" not in json.dumps(metrics)


def test_examples_of_a_row_stay_on_its_side(tmp_path):
    from labelled import kind_of, write_examples
    from llmkit.core.console import Console
    from llmkit.data.encoding import encode_rows
    from llmkit.data.packing import Column, EncodedRows, Example, LeftOut
    from llmkit.work.engine import Engine

    kind = kind_of("prompt_completion")
    rows = [{"prompt": f"p{i}", "completion": f"c{i}"} for i in range(40)]
    data = write_examples(tmp_path / "data", kind, rows)

    class Thrice:
        columns = {"input_ids": Column()}

        def split_text(self, row):
            return row["text"]

        def encode(self, rows):
            whole = [int(row["completion"][1:]) for row in rows]
            return [
                LeftOut("odd", "odd") if i % 4 == 3 else [Example({"input_ids": [i] * n}, n, notes={}) for n in (1, 2)]
                for i in whole
            ]

    with Engine(workers=1) as engine:
        counts = encode_rows(
            [data], Thrice(), tmp_path / "out", engine=engine, console=Console(quiet=True), validation_fraction=0.3
        )
    sides = {side: EncodedRows.open(tmp_path / "out" / side) for side in ("train", "validation")}
    assert not set(sides["train"].positions.tolist()) & set(sides["validation"].positions.tolist())
    for side, found in sides.items():
        assert (counts[side].examples, counts[side].targets) == (2 * counts[side].rows, 3 * counts[side].rows)
        assert found.positions.tolist() == np.repeat(np.unique(found.positions), 2).tolist()
        assert len(found) == counts[side].examples
    assert sum(one.rows for one in counts.values()) == 30
    assert sum(one.left_out["odd"] for one in counts.values()) == 10


def test_the_preview_shows_every_example_of_a_row(finetune):
    outcome = finetune([talk(7, 2)], "--preview", 1, "--json")
    assert outcome.code == 0, outcome.err
    (row,) = outcome.json["rows"]
    (more,) = row["more"]
    said = [text for seen in (row["seen"], more["seen"]) for text, mark in seen["input_ids"] if mark]
    assert said == ["<think>\n\n</think>\n\n7!<|im_end|>"] * 2
    outcome = finetune([talk(7, 2)], "--preview", 1)
    assert outcome.out.count("model: ") == 2
