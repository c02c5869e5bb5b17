from __future__ import annotations

import shutil
from typing import NamedTuple

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

from llmkit.core import doctor
from llmkit.core.errors import MemoryLimitError, SetupError
from llmkit.modeling.companions import Models
from llmkit.training.config import TrainingConfig
from llmkit.training.fits import surely_fits
from llmkit.training.memory import (
    check_disk,
    check_memory,
    checkpoint_bytes,
    disk_needed,
    memory_limit,
    micro_batch_tokens,
    out_of_memory_explained,
    run_memory,
)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def config(**changes):
    return TrainingConfig(**{"context_length": 64, "batch_tokens": 1024, "max_steps": 1} | changes)


def model():
    settings = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", vocab_size=500, **settings))


@pytest.mark.parametrize(
    ("line", "file"),
    [("0::/job/step", "job/memory.max"), ("4:memory:/job", "memory/job/memory.limit_in_bytes")],
)
def test_the_least_limit_of_all_groups_above_holds(tmp_path, line, file):
    own = tmp_path / "cgroup"
    own.write_text(f"1:cpu:/other\n{line}\n")
    assert memory_limit(own, tmp_path / "fs") == doctor.memory_limit()
    limit = tmp_path / "fs" / file
    limit.parent.mkdir(parents=True)
    limit.write_text("12345678\n")
    assert memory_limit(own, tmp_path / "fs") == 12345678
    limit.write_text("max\n")
    assert memory_limit(own, tmp_path / "fs") == doctor.memory_limit()


def test_a_system_without_groups_has_its_own_memory(tmp_path):
    assert memory_limit(tmp_path / "none", tmp_path) == doctor.memory_limit()


def test_tokens_of_a_forward_pass():
    assert micro_batch_tokens(config()) == 1024
    assert micro_batch_tokens(config(batch_tokens=65536)) == 16384
    assert micro_batch_tokens(config(micro_batch_tokens=256)) == 256
    assert micro_batch_tokens(config(), num_processes=4) == 256
    assert micro_batch_tokens(config(micro_batch_tokens=1)) == 64  # a block at least


@pytest.fixture
def no_runtime(monkeypatch):
    """Without the constant part of the estimate, which is far larger than these models."""
    monkeypatch.setattr("llmkit.modeling.cost.CPU_RUNTIME", 0)


@pytest.mark.usefixtures("no_runtime")
def test_a_step_over_the_limit_names_the_knob_and_the_largest_value_that_fits():
    built = model()
    limit = run_memory(built, config(), bf16=True, num_blocks=5).total
    with pytest.raises(MemoryLimitError, match=r"a step needs about \d+\.\d\d MB of memory, ") as caught:
        check_memory(built, config(), bf16=True, limit=limit)
    assert caught.value.exit_code == 5
    assert caught.value.hint == (
        "lower micro_batch_tokens from 1024 to 256, with the same result: --set micro_batch_tokens=256"
    )
    fits = check_memory(built, config(micro_batch_tokens=256), bf16=True, limit=limit)
    assert fits.total <= limit


@pytest.mark.usefixtures("no_runtime")
def test_what_only_seems_too_large_is_let_through():
    built = model()
    total = run_memory(built, config(), bf16=True, num_blocks=16).total
    assert check_memory(built, config(), bf16=True, limit=int(total / 1.24)).total == total
    with pytest.raises(MemoryLimitError):
        check_memory(built, config(), bf16=True, limit=int(total / 1.26))


@pytest.mark.usefixtures("no_runtime")
def test_a_checkpoint_copy_that_is_too_much_need_not_be():
    built, long = model(), config(max_steps=10**6, micro_batch_tokens=64)
    without = run_memory(built, config(), bf16=True, num_blocks=1).total
    with pytest.raises(MemoryLimitError, match="checkpoint copy") as caught:
        check_memory(built, long, bf16=True, limit=without)
    assert caught.value.hint == "write checkpoints without a copy: --set checkpoint.background=false"


def test_an_estimate_that_fails_ends_nothing(monkeypatch):
    monkeypatch.setattr("llmkit.modeling.cost._live_bytes", lambda *_: 1 / 0)
    assert check_memory(model(), config(), bf16=True, limit=1) is None


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
def test_out_of_memory_says_what_to_lower_and_by_how_much(error):
    found = []
    for tokens in (1024, 64):
        with pytest.raises(MemoryLimitError) as caught, out_of_memory_explained(config(micro_batch_tokens=tokens)):
            raise error
        found.append((caught.value.message, caught.value.hint))
    assert found == [
        (
            "out of memory, with 1,024 tokens at a time",
            "lower micro_batch_tokens from 1024 to 512, with the same result: --set micro_batch_tokens=512",
        ),
        ("out of memory, with one block at a time", "lower context_length, or take a smaller model"),
    ]


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_explained(config()):
        raise RuntimeError("shapes differ")


def test_where_even_one_block_is_too_much():
    with pytest.raises(MemoryLimitError) as caught:
        check_memory(model(), config(), bf16=True, limit=1000)
    assert caught.value.hint.startswith("even one block is too much")


@pytest.mark.usefixtures("no_runtime")
def test_processes_on_one_cpu_share_its_memory(monkeypatch):
    built = model()
    needed = run_memory(built, config(), bf16=True, num_blocks=4).total
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: int(4 * needed / 1.26))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MemoryLimitError):
        check_memory(built, config(), bf16=True, num_processes=4)
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 4 * needed)
    assert check_memory(built, config(), bf16=True, num_processes=4).total == needed


def test_disk(tmp_path, monkeypatch):
    built = model()
    size = sum(p.numel() for p in built.parameters())
    assert checkpoint_bytes(built, "adamw") == 12 * size
    kept = {"every": 10, "keep": 2}
    for steps, found, checkpoints in [(30, 0, 3), (99, 0, 3), (11, 0, 2), (10, 0, 1), (99, 2, 1), (99, 3, 1)]:
        planned = config(max_steps=steps, checkpoint=kept)
        assert disk_needed(built, planned, found) == checkpoints * 12 * size + 4 * size
    assert disk_needed(built, config(max_steps=None, max_minutes=1, checkpoint=kept)) == 3 * 12 * size + 4 * size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2_000_000_000))
    check_disk(tmp_path / "not" / "there", 2_000_000_000)
    with pytest.raises(SetupError, match=r"model need 2\.50 GB in .*there, 2\.00 GB are free") as caught:
        check_disk(tmp_path / "not" / "there", 2_500_000_000)
    assert caught.value.exit_code == 4


SAID = ("llama", "bert", "gemma2")
"""Their configs say how wide the layers are inside; of the others the estimate is asked."""
AUTO = {"bert": AutoModelForMaskedLM, "t5": AutoModelForSeq2SeqLM}


def any_model(kind):
    sizes = {"vocab_size": 500, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
    inner = {} if kind in ("gpt2", "t5") else {"intermediate_size": 160}
    with torch.device("meta"):
        return AUTO.get(kind, AutoModelForCausalLM).from_config(AutoConfig.for_model(kind, **sizes, **inner))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "t5", "gemma2"])
@pytest.mark.parametrize("tokens", [64, 1024])
def test_what_surely_fits_is_never_less_than_the_estimate(monkeypatch, kind, tokens):
    built = any_model(kind)
    chosen = config(micro_batch_tokens=tokens)
    total = run_memory(built, chosen, bf16=False, num_blocks=tokens // chosen.context_length).total
    assert not surely_fits(Models(built), chosen, limit=2 * total - 1)
    assert surely_fits(Models(built), chosen, limit=100 * total) == (kind in SAID)


def test_experts_do_not_surely_fit():
    assert not surely_fits(Models(any_model("mixtral")), config(), limit=10**15)
