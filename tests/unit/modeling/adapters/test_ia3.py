"""(IA)^3 against plain peft: the same vectors are trained, the directory loads there, and merging changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llmkit.core.adapter import base_digest
from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Base
from llmkit.modeling.adapters.ia3 import IA3
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import load_model
from small_models import PEFT_OWN, logits, made, stirred, trained_names


@pytest.fixture
def saved(tmp_path):
    def save(name: str, adapter: IA3) -> tuple[Path, torch.Tensor]:
        base, folder = tmp_path / "base", tmp_path / "adapter"
        model = made(name)
        model.save_pretrained(base)
        adapter.wrap(model, head_of(model.config))
        adapter.save(folder, stirred(model), Base(str(base), base_digest(base)))
        return folder, logits(model)

    return save


@pytest.mark.parametrize("name", ["tied", "untied", "conv1d", "encoder", "labels", "decoder labels"])
def test_what_is_loaded_and_merged_answers_as_what_was_trained(saved, name):
    folder, wanted = saved(name, IA3())
    loaded = load_model(folder)
    assert type(loaded) is type(made(name))
    torch.testing.assert_close(logits(loaded), wanted, atol=1e-5, rtol=0)
    assert (wanted - logits(load_model(folder.parent / "base"))).abs().max() > 1e-5


@PEFT_OWN
@pytest.mark.parametrize("name", ["tied", "labels", "decoder labels"])
def test_peft_loads_the_directory(saved, name):
    from peft import PeftModel

    folder, wanted = saved(name, IA3())
    model = PeftModel.from_pretrained(made(name), folder).eval()
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)


@PEFT_OWN
def test_auto_trains_what_peft_does_for_architectures_that_both_know():
    from peft import IA3Config, get_peft_model

    for name, task in (("tied", "CAUSAL_LM"), ("conv1d", "CAUSAL_LM"), ("labels", "SEQ_CLS")):
        model = made(name)
        IA3().wrap(model, head_of(model.config))
        own = {found for found in trained_names(model) if "ia3_" in found}
        config = IA3Config(task_type=task, fan_in_fan_out=name == "conv1d")
        theirs = {found for found in trained_names(get_peft_model(made(name), config)) if "ia3_" in found}
        if name == "labels":  # peft takes `attention.output.dense` for a feed-forward layer's as well
            theirs = {found for found in theirs if ".attention.output." not in found}
        assert own == theirs, name


def test_factors_are_counted_by_hand_and_begin_at_one():
    model = made("tied")
    before = logits(model)
    adapter = IA3()
    adapter.wrap(model, head_of(model.config))
    targets = adapter.describe(model)
    # Keys and values of one head of 8, and 24 inner units, in 2 layers.
    assert targets.trained == 2 * (8 + 8 + 24)
    assert targets.total == sum(p.numel() for p in made("tied").parameters())
    assert targets.what == "(IA)^3 on k_proj, v_proj, down_proj (2 of each)"
    assert torch.equal(logits(model), before)
    changed = logits(stirred(model))
    with adapter.off(model):
        torch.testing.assert_close(logits(model), before, atol=1e-6, rtol=0)
    assert not torch.equal(changed, before)


@pytest.mark.parametrize(("name", "adapter", "words"), [
    ("tied", IA3(targets=["k_porj"]), "adapter.targets: the model has no matrix 'k_porj'; did you mean 'k_proj'?"),
    ("tied", IA3(targets=["k_proj"], feedforward=["k_proj"]), "k_proj is among the targets as well"),
    ("recurrent", IA3(), "which matrices of a MambaForCausalLM are keys, values"),
    ("mixture", IA3(), "are keys, values and the feed-forward layers' second is not known"),
])  # fmt: skip
def test_what_cannot_be_adapted_is_refused(name, adapter, words):
    model = made(name)
    with pytest.raises(ConfigError) as raised:
        adapter.wrap(model, head_of(model.config))
    assert words in raised.value.message


def test_named_matrices_alone_are_scaled():
    model = made("tied")
    IA3(targets=["q_proj"]).wrap(model, head_of(model.config))
    assert {name.split(".")[4] for name in trained_names(model)} == {"q_proj"}


def test_new_rows_are_left_to_lora():
    model = made("tied")
    with pytest.raises(ConfigError, match="2 tokens that the model has no rows for, and ia3 trains none"):
        IA3().wrap(model, head_of(model.config), grown=range(40, 42))
