from __future__ import annotations

import pytest

from llmkit.training.launch import SIZE_VARIABLES, check_launch


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_one_of_several_processes_is_refused_and_touches_nothing(cli, chain, monkeypatch, tmp_path, stage):
    monkeypatch.setenv("WORLD_SIZE", "2")
    model = ["--model", chain.base] if stage == "finetune" else ["-s", "model.arch=llama"]
    data = chain.pairs if stage == "finetune" else chain.tokens
    outcome = cli(stage, "--data", data, *model, "--max-steps", 1, "-o", "out")
    assert outcome.code == 2
    assert "WORLD_SIZE=2" in outcome.err
    assert "several processes is not available in this version" in " ".join(outcome.err.split())
    assert "without a launcher" in " ".join(outcome.err.split())
    assert not (tmp_path / "out").exists()


def test_a_launcher_that_starts_one_process_is_fine(monkeypatch):
    for value in ("1", "", "x"):
        for name in SIZE_VARIABLES:
            monkeypatch.setenv(name, value)
        check_launch()
