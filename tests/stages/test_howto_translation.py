"""docs/howto-translation.md, typed as it stands, with small models in the places of those it names."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from texts import sentences
from texts_of_texts import save_two_sided
from translators import save_translator

PAGE = Path(__file__).parents[2] / "docs" / "howto-translation.md"
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SMALL = {
    "tokenize": ["--vocab-size", "430", "-s", "tokenizer.sentinels=10", "-s", "validation_fraction=0.1"],
    "pretrain": ["--max-steps", "1", "-s", "context_length=32", "-s", "batch_tokens=64", "-s",
                 "model={arch: t5, config: {d_model: 16, d_kv: 8, d_ff: 32, num_layers: 1, num_heads: 2}}"],
    "finetune": ["--max-steps", "2", "-s", "batch_rows=8", "-s", "validation_fraction=0.3", "-s",
                 "objective.writing.rows=2"],
}  # fmt: skip
"""What is added to a command of a stage: sizes alone."""


def test_every_command_does_what_the_page_says(cli, chain, tmp_path):
    texts = sentences(40)
    rows = [{"source": text[:40], "target": text[40:80]} for text in texts]
    rows[1]["target"] = [texts[1][:9], texts[1][9:]]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "new.jsonl").write_text('{"source": "Open it."}\n{"source": "Close it."}\n', encoding="utf-8")
    (tmp_path / "more.txt").write_text("\n\n".join(sentences(60, seed=5)), encoding="utf-8")
    save_two_sided(tmp_path / "t5", "t5")
    save_translator(tmp_path / "nllb", "nllb", texts, texts[::-1])
    shutil.copytree(chain.base, tmp_path / "llama")
    assert len(COMMANDS) == 9
    for line in COMMANDS:
        stage, *arguments = shlex.split(line)[1:]
        longest = ["-s", "context_length=64"] if {"llama", "nllb"} & {*arguments} else []
        outcome = cli(stage, *arguments, *SMALL.get(stage, []), *longest)
        assert outcome.code == 0, f"{line}\n{outcome.err}"
        if "--preview" in arguments:
            assert "target: [[" in outcome.out
        if stage == "predict":
            assert 'asked by "translate English to Chinese: {source}", for at most 128 tokens' in outcome.err
    said = pq.read_table(sorted((tmp_path / "said").glob("data-*.parquet"))).to_pylist()
    assert [row["text"] for row in said] == ["Open it.", "Close it."]
