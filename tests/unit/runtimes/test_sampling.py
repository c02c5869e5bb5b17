"""Which tokens may be drawn: by hand, as transformers has it, and that runtimes draw no others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from llmkit.runtimes import Generate
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._sampling import chances, leaves_out
from tiny import byte_tokenizer, model

LOGITS = np.log(np.array([0.1, 0.4, 0.3, 0.2], np.float32))


def drawn(**settings):
    return [round(float(one), 6) for one in chances(LOGITS, Generate((0,), 1, **{"temperature": 1.0, **settings}))]


def test_by_hand():
    assert drawn() == pytest.approx([0.1, 0.4, 0.3, 0.2])
    assert drawn(top_k=2) == pytest.approx([0, 4 / 7, 3 / 7, 0], abs=1e-6)
    assert drawn(top_k=9) == drawn()
    assert drawn(top_p=0.69) == pytest.approx([0, 4 / 7, 3 / 7, 0], abs=1e-6)
    assert drawn(top_p=0.71) == pytest.approx([0, 4 / 9, 3 / 9, 2 / 9], abs=1e-6)
    assert drawn(top_p=1e-9) == [0, 1, 0, 0]
    assert drawn(min_p=0.6) == pytest.approx([0, 4 / 7, 3 / 7, 0], abs=1e-6)
    assert drawn(top_k=2, top_p=0.5) == [0, 1, 0, 0]  # 4/7 of what top_k leaves
    assert drawn(temperature=0.5) == pytest.approx([1 / 30, 16 / 30, 9 / 30, 4 / 30], abs=1e-6)
    assert [leaves_out(Generate((0,), 1, **one)) for one in ({}, {"top_k": 1}, {"top_p": 0.9}, {"min_p": 0.1})] == [
        False, True, True, True,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{}, {"top_k": 7}, {"top_p": 0.8}, {"min_p": 0.05}, {"top_k": 20, "top_p": 0.9, "min_p": 0.02}],
    ids=str,
)
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.7])
def test_chances_are_those_of_transformers(settings, temperature):
    logits = np.random.default_rng(7).normal(0, 2, 500).astype(np.float32)
    logits[11] = -math.inf  # an unused id
    expected = TemperatureLogitsWarper(temperature)(None, torch.from_numpy(logits.copy()).double()[None])
    warpers = {"top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper, "min_p": MinPLogitsWarper}
    for name, value in settings.items():
        expected = warpers[name](value)(None, expected)
    found = chances(logits, Generate((0,), 1, temperature=temperature, **settings))
    np.testing.assert_allclose(found, expected[0].softmax(-1).numpy(), atol=1e-9)
    assert found.sum() == pytest.approx(1)


def test_a_model_here_draws_no_other_token():
    tokenizer = byte_tokenizer()
    running = InMemory(model("llama", vocab_size=len(tokenizer)), tokenizer, ends=(), where="here")
    prompt = (5, 6, 7)
    greedy, *drawn = running.answer(
        [
            Generate(prompt, 8),
            Generate(prompt, 8, temperature=5.0, top_k=1, seed=3),
            Generate(prompt, 8, temperature=5.0, top_p=1e-6, seed=3),
            Generate(prompt, 8, temperature=5.0, min_p=1.0, seed=3),
            *(Generate(prompt, 1, temperature=5.0, top_k=4, seed=seed) for seed in range(60)),
        ]
    )
    assert drawn[:3] == [greedy] * 3
    with torch.inference_mode():
        logits = running.model(torch.tensor([prompt])).logits[0, -1]
    assert {one.ids[0] for one in drawn[3:]} == set(logits.topk(4).indices.tolist())
