"""Weights in bf16 and int8: near what they were, not the same, and whatever stands beside a row."""

from __future__ import annotations

import sys

import pytest
import torch

from llmkit.core.errors import ConfigError, SetupError
from llmkit.runtimes import Generate, Score
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._rounding import round_weights
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()
ROWS = [Score(tuple(range(5, 5 + n)), tuple(range(60, 60 + n))) for n in (3, 9, 14)]


def running(precision="float32", arch="llama"):
    one = InMemory(model(arch, vocab_size=len(TOKENIZER), initializer_range=0.2), TOKENIZER, where="here")
    round_weights(one, precision)
    return one


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_scores_are_near_those_of_float32_and_differ(precision):
    rounded, whole = running(precision), running()
    found, wanted = rounded.answer(ROWS), whole.answer(ROWS)
    assert found != wanted
    assert found == pytest.approx(wanted, rel=0.02)
    assert found == pytest.approx([rounded.answer([row])[0] for row in ROWS], rel=1e-3)
    assert (rounded.conditions()["precision"], whole.conditions()["precision"]) == (
        {"bf16": "bfloat16", "int8": "int8"}[precision], "float32",
    )  # fmt: skip
    (written,) = rounded.answer([Generate((5, 6, 7), 4, exact=True)])
    assert len(written.ids) == 4


def test_integers_are_those_of_the_formula():
    """Weights have a scale a row, inputs one a token: the largest number is 127."""
    one = running("int8")
    layer, before = (each.model.model.layers[0].mlp.up_proj for each in (one, running()))
    inputs = torch.randn(5, layer.in_features, generator=torch.Generator().manual_seed(0))

    def integers(rows):
        scales = rows.abs().amax(1, keepdim=True) / 127
        return (rows / scales).round(), scales

    (weights, outside), (tokens, inside) = integers(before.weight.detach()), integers(inputs)
    with torch.inference_mode():
        found = layer(inputs)
    torch.testing.assert_close(found, (tokens @ weights.T) * inside * outside.T, atol=0.02, rtol=0.01)
    assert not torch.allclose(found, inputs @ before.weight.T, atol=1e-5)
    assert type(one.model.get_output_embeddings().weight) is torch.nn.Parameter, "the output layer is as it was"


def test_a_model_in_which_nothing_would_be_rounded_is_refused():
    with pytest.raises(ConfigError, match=r"runtime\.precision: int8 rounds .* a GPT2LMHeadModel has none") as error:
        running("int8", "gpt2")
    assert error.value.hint == "-s runtime.precision=bf16"
    assert running("bf16", "gpt2").answer(ROWS) == pytest.approx(running(arch="gpt2").answer(ROWS), rel=0.02)


def test_what_rounds_is_named_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(SetupError) as error:
        running("int8")
    assert error.value.hint == 'pip install "llmkit[quantized]"'
