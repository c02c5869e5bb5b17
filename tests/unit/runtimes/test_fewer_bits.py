"""Weights in bf16 and int8: near what they were, not the same, and whatever stands beside a row."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import transformers

from headed import SENTIMENT, save_headed
from llmkit.core.errors import ConfigError, SetupError
from llmkit.runtimes import Fill, Generate, Label, Score
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes._rounding import round_weights
from llmkit.runtimes.transformers import Transformers
from tiny import byte_tokenizer, model
from whole_integers import need_exact_products

TOKENIZER = byte_tokenizer()
ROWS = [Score(tuple(range(5, 5 + n)), tuple(range(60, 60 + n))) for n in (3, 9, 14)]


def running(precision="float32", arch="llama"):
    one = InMemory(model(arch, vocab_size=len(TOKENIZER), initializer_range=0.2), TOKENIZER, where="here")
    round_weights(one, precision)
    return one


@pytest.fixture
def integers(request):
    given = getattr(request.node, "callspec", None)
    if given is None or given.params.get("precision") == "int8":
        need_exact_products()


def test_products_that_are_not_exact_are_refused(monkeypatch):
    monkeypatch.setattr("llmkit.runtimes._rounding._is_exact", lambda _: False)
    with pytest.raises(ConfigError, match=r"runtime\.precision: int8 needs sums of integer products that are exact"):
        running("int8")


@pytest.mark.usefixtures("integers")
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


@pytest.mark.usefixtures("integers")
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


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_models_with_other_heads_are_rounded_too(precision, tmp_path):
    folder = str(save_headed(tmp_path, SENTIMENT))
    asked = [Label("a good day"), Label("it is not so bad, and not so good either")]
    found, wanted = (Transformers(precision=how).load(folder).answer(asked) for how in (precision, "float32"))
    for one, other in zip(found, wanted, strict=True):
        assert not np.array_equal(one, other)
        np.testing.assert_allclose(one, other, atol=0.2 * np.abs(other).max())


@pytest.mark.usefixtures("integers")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_an_encoder_decoder_writes_and_a_masked_model_fills(precision, tmp_path):
    sizes = {"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "d_model": 16}
    ends = {"decoder_start_token_id": 0, "eos_token_id": TOKENIZER.eos_token_id, "tie_word_embeddings": False}
    config = transformers.T5Config(vocab_size=len(TOKENIZER), **ends, **sizes)
    one = InMemory(transformers.T5ForConditionalGeneration(config).eval(), TOKENIZER)
    round_weights(one, precision)
    assert one.answer([Generate((5, 6, 7), 3)])[0].ids
    if precision == "int8":
        head, layer = one.model.get_output_embeddings(), one.model.encoder.block[0].layer[0].SelfAttention.q
        assert (type(head.weight), type(layer.weight) is torch.nn.Parameter) == (torch.nn.Parameter, False)
    masked = Transformers(precision=precision).load(str(save_headed(tmp_path, {"type": "masked_lm"})))
    assert np.isfinite(masked.answer([Fill((5, 6, 7, 8), (1, 2), (9, 10))])[0]).all()
