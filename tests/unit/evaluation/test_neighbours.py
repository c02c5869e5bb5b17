from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llmkit.evaluation.model import EvalModel
from llmkit.evaluation.neighbours import scores_alike, writes_alike
from tiny import byte_tokenizer, model

RECURRENT = {"block_types": ["recurrent", "attention"], "head_dim": 8, "lru_width": 16, "attention_window_size": 32}
ROWS = [([1, 2, 3], [4, 5]), ([7] * 9, [8, 9, 10]), ([5], [6])]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_attention_knows_no_neighbours(arch):
    assert scores_alike(model(arch), 64)
    assert writes_alike(model(arch, max_position_embeddings=8), 8)


def test_a_recurrent_state_reads_the_padding_and_rows_are_run_alone():
    built = model("recurrent_gemma", **RECURRENT)
    evaluated = EvalModel(Path(), built, byte_tokenizer(), 0, 64)
    assert not evaluated.writes_in_batches
    for row, together in zip(ROWS, evaluated.log_likelihoods(ROWS), strict=True):
        assert evaluated.log_likelihoods([row]) == pytest.approx([together], rel=1e-5)
    prompts = [context for context, _ in ROWS]
    together = evaluated.generate(prompts, max_new_tokens=4)
    assert together == [evaluated.generate([prompt], max_new_tokens=4)[0] for prompt in prompts]


def test_batches_stay_where_they_change_nothing(monkeypatch):
    evaluated = EvalModel(Path(), model(), byte_tokenizer(), 0, 64)
    widths = []
    whole = EvalModel._score
    monkeypatch.setattr(EvalModel, "_score", lambda self, rows: widths.append(len(rows)) or whole(self, rows))
    state = torch.get_rng_state()
    evaluated.log_likelihoods(ROWS)
    assert widths == [3]
    assert evaluated.writes_in_batches
    assert torch.equal(state, torch.get_rng_state())
