from __future__ import annotations

import pytest

from llmkit.tokenization.estimate import estimate
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.tokenization.trainers.existing import Existing

SIZES = {"num_files": 2, "num_bytes": 40_000_000, "text_bytes": 50_000_000, "num_rows": 1000}


@pytest.mark.parametrize(("vocab_size", "id_bytes"), [(65536, 2), (65537, 4)])
def test_figures_by_hand(vocab_size, id_bytes):
    found = estimate(Bpe(vocab_size=vocab_size), **SIZES, raw_disk=0)
    output = 50_000_000 * id_bytes + 1000 * 200
    assert (found.values["output"], found.values["disk"]) == (output, 2 * output)
    assert (found.values["tasks"], found.values["task_bytes"]) == (3, 16 * 2**20)
    assert found.values["passes"] == ["train the tokenizer", "encode"]
    assert ("tokens", f"50,000,000 at most, one a byte; ids of {id_bytes} bytes") in found.facts


def test_raw_text_is_read_first_and_a_tokenizer_that_is_there_needs_no_text():
    found = estimate(Existing(path="somewhere"), **SIZES, raw_disk=7)
    assert found.values["passes"] == ["read raw text", "encode"]
    assert found.values["disk"] == 7 + 2 * (50_000_000 * 4 + 1000 * 200), "its size is not known, so ids are wide"
