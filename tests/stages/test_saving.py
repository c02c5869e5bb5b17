"""What was trained can be saved: found out before the first step, mended where possible; else nothing is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedModel

from llmkit.training.metrics import read_metrics


@pytest.fixture
def base(chain, tmp_path):
    """A copy of the base model, to be changed."""
    return shutil.copytree(chain.base, tmp_path / "base", ignore=shutil.ignore_patterns("llmkit.json", "checkpoints"))


@pytest.fixture
def finetune(cli, chain, training_options, base):
    def run(*more):
        options = [*training_options, "--max-steps", 2, "-s", "validation_fraction=0"]
        return cli("finetune", "--data", chain.pairs, "--model", base, *options, "-o", "out", *more)

    return run


def change(file, **settings):
    old = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(old | settings), encoding="utf-8")


def test_a_generation_config_that_could_not_be_saved_is_mended(finetune, base):
    change(base / "generation_config.json", do_sample=False, temperature=0.7, top_p=0.9, max_new_tokens=50)
    outcome = finetune()
    assert outcome.code == 0
    assert (
        "warning: the model's generation config loses temperature 0.7, top_p 0.9: its other settings leave that unused,"
        " and transformers would not save it" in outcome.err
    )
    saved = json.loads(Path("out/generation_config.json").read_text(encoding="utf-8"))
    assert saved["max_new_tokens"] == 50
    assert not {"temperature", "top_p"} & saved.keys()
    assert not Path("out/trial").exists()


def test_a_generation_config_that_means_nothing_is_refused_before_the_first_step(finetune, base):
    change(base / "generation_config.json", num_return_sequences=3)
    outcome = finetune()
    assert outcome.code == 3
    assert "cannot be loaded: Greedy methods (do_sample != True) without beam search do not support" in outcome.err
    assert not any(Path("out").rglob("*")), "nothing stands in the way of the corrected command"


def test_a_template_that_would_be_written_elsewhere_is_refused(finetune, base):
    (base / "chat_template.jinja").unlink(missing_ok=True)
    templates = [{"name": "default", "template": "{{ 1 }}"}, {"name": "../../x", "template": "{{ 2 }}"}]
    change(base / "tokenizer_config.json", chat_template=templates)
    outcome = finetune()
    assert outcome.code == 3
    assert (
        "error: the tokenizer cannot be saved: its chat template '../../x' would become a file, and that is no name of"
        " one\n  -> rename the template in the model's tokenizer_config.json" in outcome.err
    )
    assert not any(Path("out").rglob("*")), "nothing stands in the way of the corrected command"


def test_a_config_that_cannot_be_saved_is_refused_before_the_first_step(finetune, monkeypatch):
    def refuse(*_, **__):
        raise TypeError("Object of type set is not JSON serializable")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", refuse)
    outcome = finetune()
    assert outcome.code == 3
    assert (
        "error: model: the model could not be saved after training: Object of type set is not JSON serializable\n"
        "  -> put that right in the directory of the model; nothing has been trained yet" in outcome.err
    )
    assert not any(Path("out").rglob("*")), "nothing stands in the way of the corrected command"


def test_a_save_that_fails_in_the_end_loses_nothing(finetune, monkeypatch):
    save = PreTrainedModel.save_pretrained

    def full(self, directory, state_dict=None, **more):
        if state_dict is None:  # the weights, not the trial
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(directory))
        return save(self, directory, state_dict=state_dict, **more)

    with monkeypatch.context() as patched:
        patched.setattr(PreTrainedModel, "save_pretrained", full)
        outcome = finetune()
    assert outcome.code == 4
    checkpoint = next(Path("out/.partial/checkpoints").glob("step-*"))
    assert (
        f"warning: the training itself is done and nothing of it is lost: {checkpoint} holds the weights, and"
        " the same command goes on from there" in outcome.err
    )
    assert "error: the disk is full" in outcome.err
    trained = [row for row in read_metrics(Path("out/.partial")) if "loss" in row]
    again = finetune()
    assert again.code == 0
    assert "resumed at step 2" in again.err
    assert [row for row in read_metrics(Path("out")) if "loss" in row] == trained
