from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from labelled import write_examples
from llmkit.core.console import Console
from llmkit.data.chat import CONVERSATION
from llmkit.data.packing import Column, EncodedRows
from llmkit.modeling.fast import FastEncoder
from llmkit.modeling.templated import templated_encoder
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows.sft import SFT
from llmkit.training.rows import Encoder, encode
from llmkit.work.engine import Engine
from tiny import byte_tokenizer

WORKER = """
import pickle, sys
from pathlib import Path
encoder, rows = pickle.loads(Path("job").read_bytes())
(example,) = encoder.encode(rows)
assert encoder.plain == (sys.argv[1] == "plain")
assert "torch" not in sys.modules or not encoder.plain, "torch costs a worker 200 MB and two seconds"
Path("ids").write_bytes(pickle.dumps({name: array.tolist() for name, array in example.columns.items()}))
"""


@pytest.mark.parametrize("kind", ["plain", "own"])
def test_a_worker_encodes_as_the_process_that_made_the_encoder(tmp_path, kind):
    tokenizer = byte_tokenizer()
    if kind == "own":
        tokenizer.__class__ = type("Own", (type(tokenizer),), {})
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    encoder = Encoder(SFT(), CONVERSATION, {"input_ids": Column()}, 64, tmp_path / "tokenizer", tokenizer)
    rows = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello, 你好!"}]}]
    (example,) = encoder.encode(rows)
    (tmp_path / "job").write_bytes(pickle.dumps((encoder, rows)))
    subprocess.run([sys.executable, "-c", WORKER, kind], cwd=tmp_path, check=True)
    found = pickle.loads((tmp_path / "ids").read_bytes())
    assert found == {name: array.tolist() for name, array in example.columns.items()}


def test_rows_are_encoded_anew_where_gigatoken_differs_late(tmp_path, monkeypatch):
    """What it has found before the difference is not kept either."""
    encode_fast = FastEncoder.encode

    def wrong(self, document):
        ids = encode_fast(self, document)
        return ids[::-1].copy() if b"wrong" in document else ids

    monkeypatch.setattr(FastEncoder, "encode", wrong)
    answers = [f"It is {i}." if i < 600 else f"wrong 春 {i}" for i in range(700)]
    answers[10] = "wrong, and not checked"
    rows = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": a}]} for a in answers]
    tokenizer = byte_tokenizer()
    assert templated_encoder(tokenizer).is_fast
    corpus = write_examples(tmp_path / "corpus", CONVERSATION, rows)
    columns = SFT().columns(vocabulary_of(tokenizer))
    encoder = Encoder(SFT(), CONVERSATION, columns, 64, tmp_path / "tokenizer", tokenizer)
    console = Console()
    with Engine(workers=1) as engine:
        counts = encode([corpus], encoder, tmp_path / "rows", engine, console, 0)
    assert counts["train"].rows == 700
    found = EncodedRows.open(tmp_path / "rows/train")
    for i in (0, 10, 599, 600, 699):
        expected = tokenizer.apply_chat_template(rows[i]["messages"], tokenize=True)["input_ids"][:64]
        assert found.flat("input_ids", *(np.array([n]) for n in (i, 0, len(expected)))).tolist() == expected
