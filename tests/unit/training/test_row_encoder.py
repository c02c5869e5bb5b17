from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from llmkit.data.chat import CONVERSATION
from llmkit.data.packing import Column
from llmkit.objectives.rows.sft import SFT
from llmkit.training.rows import Encoder
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
