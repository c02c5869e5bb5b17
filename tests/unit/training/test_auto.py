from __future__ import annotations

import math
import os
import subprocess
import sys

import pytest
import torch

from llmkit.training import auto
from llmkit.training.auto import compile_bodies, resolve
from llmkit.training.config import TrainingConfig
from tiny import model


@pytest.mark.parametrize(("minutes", "compiled"), [(0.01, False), (14.9, False), (15, True), (600, True)])
def test_not_compiled_where_the_time_is_too_short(minutes, compiled):
    config = TrainingConfig(context_length=16, batch_tokens=16, max_minutes=minutes, precision="float32")
    assert resolve(config, device="cpu", flops=math.inf)["compile"] is compiled
    assert resolve(config, device="cpu", flops=1e12)["compile"] is False


# What torch says of itself when its compiler is loaded.
COMPILING = pytest.mark.filterwarnings(r"ignore:.*torch\.jit\.script_method.* is deprecated:DeprecationWarning")


def choose(device="cpu", flops=0.0, **fields):
    config = TrainingConfig(max_steps=1, **{"context_length": 1024, "batch_tokens": 65536, **fields})
    return resolve(config, device=device, flops=flops)


def test_what_is_given_is_taken():
    given = {"precision": "bf16", "micro_batch_tokens": 100, "compile": True}
    assert choose(**given) == given
    given = {"precision": "float32", "micro_batch_tokens": 1, "compile": False}
    assert choose(flops=math.inf, **given) == given


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "float32")])
def test_bf16_where_the_hardware_multiplies_it(monkeypatch, has, precision):
    monkeypatch.setattr(auto, "has_bf16", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has and not including_emulation)
    assert choose("cpu")["precision"] == precision
    assert choose("cuda")["precision"] == precision


@pytest.mark.parametrize(
    ("context_length", "batch_tokens", "micro"),
    [
        (1024, 65536, 16384),  # at most 16,384 tokens
        (1024, 8192, 8192),  # at most the batch
        (32768, 65536, 32768),  # at least one block
    ],
)
def test_tokens_of_a_forward_pass(context_length, batch_tokens, micro):
    found = choose(context_length=context_length, batch_tokens=batch_tokens)
    assert found["micro_batch_tokens"] == micro


@pytest.mark.parametrize(("device", "enough"), [("cpu", 3e14), ("cuda", 3e16)])
def test_compiled_where_the_run_is_long_enough(device, enough):
    config = TrainingConfig(context_length=16, batch_tokens=16, max_steps=1, precision="float32")
    assert resolve(config, device=device, flops=0.99 * enough)["compile"] is False
    assert resolve(config, device=device, flops=enough)["compile"] is True


def compiled(built):
    return {name for name, module in built.named_modules() if module._compiled_call_impl is not None}


@COMPILING
def test_the_stack_is_compiled_and_names_and_head_stay():
    built = model()
    before = list(built.state_dict())
    compile_bodies(built)
    assert compiled(built) == {"model"}
    assert list(built.state_dict()) == before


@COMPILING
def test_both_stacks_of_a_sequence_to_sequence_model_are_compiled():
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"vocab_size": 20, "d_model": 8, "d_ff": 8, "d_kv": 4, "num_heads": 2, "num_layers": 1}
    built = T5ForConditionalGeneration(T5Config(**sizes))
    compile_bodies(built)
    assert compiled(built) == {"encoder", "decoder"}


@COMPILING
def test_the_encoder_of_a_masked_model_is_compiled():
    from transformers import BertConfig, BertForMaskedLM

    sizes = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    built = BertForMaskedLM(BertConfig(**sizes, num_hidden_layers=1))
    compile_bodies(built)
    assert compiled(built) == {"bert"}


@COMPILING
@pytest.mark.parametrize(("same", "dynamic"), [(True, False), (False, True)])
def test_rows_of_many_widths_are_not_compiled_for_each(monkeypatch, same, dynamic):
    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: asked.append(options))
    compile_bodies(model(), same_width=same)
    assert asked == [{"dynamic": dynamic}]


@COMPILING
@pytest.mark.slow  # 20 s of the compiler
def test_three_widths_take_one_compilation():
    from torch._dynamo.utils import counters

    torch.compiler.reset()
    counters.clear()
    built = model().train()
    compile_bodies(built, same_width=False)
    for width in (5, 9, 13):
        built(input_ids=torch.ones(3, width, dtype=torch.int64)).logits.sum().backward()
    assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(
    ("name", "value", "has"),
    [
        ("ATEN_CPU_CAPABILITY", "avx2", False),
        ("ATEN_CPU_CAPABILITY", "avx512", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE", False),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", True),
    ],
)
def test_torch_held_to_less_multiplies_no_bf16(monkeypatch, name, value, has):
    for held in ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"):
        monkeypatch.delenv(held, raising=False)
    monkeypatch.setattr("llmkit.core.doctor.cpu_features", lambda: ["avx512_bf16"])
    assert auto.has_bf16()
    monkeypatch.setenv(name, value)
    assert auto.has_bf16() == has


def test_bf16_that_was_asked_for_runs_where_torch_is_held_to_less():
    code = """
import torch
from llmkit.training.auto import resolve
from llmkit.training.config import TrainingConfig
resolve(TrainingConfig(max_steps=1, precision="bf16"), device="cpu", flops=0)
rows = torch.randn(1, 2, 64, 32, requires_grad=True, generator=torch.Generator().manual_seed(0))
attend = torch.nn.functional.scaled_dot_product_attention
exact, found = attend(rows, rows, rows), attend(*[rows.bfloat16()] * 3)
found.sum().backward()
print((exact - found).abs().max().item() < 0.03)
"""
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2"}
    environment.pop("ONEDNN_MAX_CPU_ISA", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("True\n", 0), done.stderr
