"""What a training would not survive is said before its first step: too little memory, too small a disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_too_little_memory(cli, stage_commands, monkeypatch, stage):
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 200_000_000)
    outcome = cli(*stage_commands[stage], "-o", "out", "--json")
    assert outcome.code == outcome.json["exit_code"] == 5
    assert outcome.json["kind"] == "memory"
    assert "of memory, 200.00 MB are there (weights " in outcome.json["message"]
    assert outcome.json["hint"] == "even one block is too much: lower context_length, or take a smaller model"
    assert not list(Path("out").rglob("step-*"))


def test_a_margin_is_left(cli, stage_commands, monkeypatch):
    monkeypatch.setattr("llmkit.training.memory.device_limit", lambda: 600_000_000)  # the estimate says 650 MB
    assert cli(*stage_commands["pretrain"], "--max-steps", "1", "-o", "out").code == 0


def test_memory_that_runs_out_on_the_way(cli, stage_commands, monkeypatch):
    def run_out(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes")

    with monkeypatch.context() as patch:
        patch.setattr("llmkit.training.gradients.Gradients.backward", run_out)
        outcome = cli(*stage_commands["pretrain"], "-o", "out")
    assert outcome.code == 5
    assert "error: out of memory, with 256 tokens at a time" in outcome.err
    assert "--set micro_batch_tokens=128" in outcome.err
    assert "Traceback" not in outcome.err
    told = cli(*stage_commands["pretrain"], "-s", "micro_batch_tokens=128", "-o", "out")
    assert told.code == 0, "the corrected command needs no --force"


def test_no_room_for_the_next_checkpoint(cli, stage_commands, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
        outcome = cli(*stage_commands["pretrain"], "-o", "out")
    assert outcome.code == 4
    assert "error: the disk is full: checkpoints and the model need " in outcome.err
    assert "1.0 kB are free" in outcome.err
    assert not list(Path("out").rglob("step-*"))
    assert cli(*stage_commands["pretrain"], "-o", "out").code == 0
