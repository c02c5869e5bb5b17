from __future__ import annotations

import shutil
from typing import NamedTuple

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from llmkit.core import doctor
from llmkit.core.errors import MemoryLimitError, SetupError
from llmkit.training.config import TrainingConfig
from llmkit.training.memory import (
    check_disk,
    check_memory,
    checkpoint_bytes,
    disk_needed,
    memory_limit,
    micro_batch_tokens,
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


def test_a_step_over_the_limit_names_the_knob_and_the_largest_value_that_fits():
    built = model()
    limit = run_memory(built, config(), bf16=True, num_blocks=5).total
    with pytest.raises(MemoryLimitError, match="a step needs about") as caught:
        check_memory(built, config(), bf16=True, limit=limit)
    assert caught.value.exit_code == 5
    assert caught.value.hint == (
        "lower micro_batch_tokens from 1024 to 256, with the same result: --set micro_batch_tokens=256"
    )
    fits = check_memory(built, config(micro_batch_tokens=256), bf16=True, limit=limit)
    assert fits.total <= limit


def test_where_even_one_block_is_too_much():
    with pytest.raises(MemoryLimitError) as caught:
        check_memory(model(), config(), bf16=True, limit=1000)
    assert caught.value.hint.startswith("even one block is too much")


def test_processes_on_one_cpu_share_its_memory(monkeypatch):
    built = model()
    needed = run_memory(built, config(), bf16=True, num_blocks=4).total
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 4 * needed - 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MemoryLimitError):
        check_memory(built, config(), bf16=True, num_processes=4)
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 4 * needed)
    assert check_memory(built, config(), bf16=True, num_processes=4).total == needed


def test_disk(tmp_path, monkeypatch):
    built = model()
    size = sum(p.numel() for p in built.parameters())
    assert checkpoint_bytes(built, "adamw") == 12 * size
    assert disk_needed(built, "adamw", keep=2) == 3 * 12 * size + 4 * size
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 2_000_000_000))
    check_disk(tmp_path / "not" / "there", 2_000_000_000)
    with pytest.raises(SetupError, match=r"need 2\.50 GB of disk, 2\.00 GB are free") as caught:
        check_disk(tmp_path / "not" / "there", 2_500_000_000)
    assert caught.value.exit_code == 4
