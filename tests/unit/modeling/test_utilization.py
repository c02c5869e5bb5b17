from __future__ import annotations

import math

import pytest
import torch

from llmkit.modeling.cost import flops_per_token, matrix_shapes, measure_peak
from tiny import VOCABULARY, model

# One layer of width 16 with 2 heads of 8, one of them for keys and values, and an inner width of 32.
LAYER = {"q": 16 * 16, "k": 16 * 8, "v": 16 * 8, "o": 16 * 16, "gate": 16 * 32, "up": 16 * 32, "down": 32 * 16}


@pytest.mark.parametrize("tied", [True, False])
def test_every_matrix_product_is_counted_and_the_lookup_is_not(tied):
    weights = 2 * sum(LAYER.values()) + VOCABULARY * 16
    built = model(tie_word_embeddings=tied)
    assert sum(rows * columns for rows, columns in matrix_shapes(built)) == weights
    assert flops_per_token(built, 64) == 6 * weights + 12 * 2 * 16 * 64


def test_heads_may_be_wider_than_the_model_together():
    built = model("qwen3", head_dim=32)  # 2 x 32 against a width of 16
    layer = 16 * 64 + 2 * 16 * 32 + 64 * 16 + 3 * 16 * 32
    assert flops_per_token(built, 10) == 6 * (2 * layer + VOCABULARY * 16) + 12 * 2 * 64 * 10


def test_gpt2_with_its_transposed_matrices():
    built = model("gpt2")
    layer = 16 * 48 + 16 * 16 + 2 * 16 * 64
    assert flops_per_token(built, 10) == 6 * (2 * layer + VOCABULARY * 16) + 12 * 2 * 16 * 10


def test_the_peak_is_a_rate():
    peak = measure_peak(model(), torch.float32)
    assert 1e6 < peak < 1e16
    assert math.isnan(measure_peak(torch.nn.Embedding(2, 2), torch.float32))


def test_of_a_large_output_layer_a_part_is_measured(monkeypatch):
    """A product takes a second for every million of its matrix's elements and token: so does the whole."""
    seen = []

    def time_product(left, right):
        seen.append((tuple(left.shape), tuple(right.shape)))
        return len(left) * right.numel() / 1e6

    monkeypatch.setattr("llmkit.modeling.cost._time_product", time_product)
    assert measure_peak(torch.nn.Linear(64, 100_000, bias=False), torch.float32) == pytest.approx(2e6)
    assert seen == [((1907, 64), (64, 8192))], "2e9 FLOPs"
