"""LoRA against plain peft: the same parameters are trained, the directory loads there, and merging changes nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from llmkit.core.adapter import base_digest
from llmkit.core.errors import ConfigError
from llmkit.modeling.adapters import Base
from llmkit.modeling.adapters._peft import TUNER
from llmkit.modeling.adapters.lora import LoRA
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import grow_embeddings, load_model
from small_models import IDS, MODELS, PEFT_OWN, logits, made, stirred, trained_names


@pytest.fixture
def saved(tmp_path):
    """Save a base, and an adapter on it that was stirred; return the adapter's folder and its logits."""

    def save(name: str, lora: LoRA, grown: int = 0) -> tuple[Path, torch.Tensor]:
        base, folder = tmp_path / "base", tmp_path / "adapter"
        model = made(name)
        model.save_pretrained(base)
        rows = model.get_input_embeddings().weight.shape[0]
        grow_embeddings(model, rows + grown)
        lora.wrap(model, head_of(model.config), seed=0, grown=range(rows, rows + grown))
        lora.save(folder, stirred(model), Base(str(base), base_digest(base)))
        return folder, logits(model)

    return save


@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_and_merged_answers_as_what_was_trained(saved, name):
    folder, wanted = saved(name, LoRA(r=4))
    base = logits(load_model(folder.parent / "base"))
    loaded = load_model(folder)
    assert type(loaded) is type(made(name))
    assert not hasattr(loaded, "peft_config")
    assert TUNER not in vars(loaded)
    torch.testing.assert_close(logits(loaded), wanted, atol=1e-5, rtol=0)
    assert (wanted - base).abs().max() > 1e-2


@PEFT_OWN
@pytest.mark.parametrize("name", ["tied", "untied", "mixture", "labels", "decoder labels"])
def test_peft_loads_the_directory(saved, name):
    from peft import PeftModel

    folder, wanted = saved(name, LoRA(r=4))
    model = PeftModel.from_pretrained(made(name), folder).eval()  # the base, built anew
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)


@PEFT_OWN
@pytest.mark.parametrize("name", ["tied", "untied"])
def test_rows_of_added_tokens_are_trained_and_replayed(saved, name):
    from peft import PeftModel

    folder, wanted = saved(name, LoRA(r=4), grown=3)
    assert wanted.shape[-1] == 43
    loaded = load_model(folder)
    assert loaded.config.vocab_size == 43
    torch.testing.assert_close(logits(loaded), wanted, atol=1e-5, rtol=0)
    base = made(name)
    rows = base.get_input_embeddings().weight[:40].clone()
    base.resize_token_embeddings(43)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(base, folder).eval()), wanted, atol=1e-5, rtol=0)
    assert torch.equal(loaded.get_input_embeddings().weight[:40], rows), "the rows there were are as they were"
    assert (loaded.get_input_embeddings().weight is loaded.get_output_embeddings().weight) == (name == "tied")


@PEFT_OWN
def test_the_same_parameters_are_trained_as_by_peft():
    from peft import LoraConfig, get_peft_model

    for name, targets, whole, task in (
        ("tied", "all-linear", None, "CAUSAL_LM"),
        ("untied", ["q_proj", "v_proj"], None, "CAUSAL_LM"),
        ("labels", ["query", "value"], ["bert.pooler", "classifier"], "SEQ_CLS"),
        ("decoder labels", "all-linear", ["score"], "SEQ_CLS"),
    ):
        lora, model = LoRA(r=4, targets=targets), made(name)
        lora.wrap(model, head_of(model.config))
        config = LoraConfig(r=4, target_modules=targets, modules_to_save=whole, task_type=task)
        assert trained_names(model) == trained_names(get_peft_model(made(name), config)), name


def test_a_mixtures_experts_are_adapted_and_its_routers_left_alone():
    model = made("mixture")
    lora = LoRA(r=2)
    lora.wrap(model, head_of(model.config))
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters() if p.requires_grad}
    assert not [name for name in shapes if ".gate." in name or "lm_head" in name or "embed" in name]
    experts = {name: shape for name, shape in shapes.items() if "experts" in name and "layers.0" in name}
    assert sorted(experts.values()) == [(8, 8), (8, 16), (16, 8), (16, 8)]  # rank 2 for each of the 4 experts
    assert (
        lora.describe(model).what
        == "LoRA of rank 2 on q_proj, k_proj, v_proj, o_proj, gate_up_proj, down_proj (2 of each)"
    )


def test_an_adapter_stands_beside_no_matrix_that_a_scan_takes_past_its_layer():
    """Mamba multiplies by `dt_proj.weight` itself: what stood beside it would have no gradient, and be merged."""
    model = made("recurrent")
    LoRA(r=2).wrap(model, head_of(model.config))
    stirred(model)
    model(input_ids=IDS, labels=IDS).loss.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(p.grad is not None and p.grad.any() for p in trained.values())
    with pytest.raises(ConfigError, match="'dt_proj' is no matrix that LoRA adapts"):
        LoRA(targets=["dt_proj"]).wrap(made("recurrent"), head_of(model.config))


def test_the_model_answers_as_its_base_until_it_is_trained_and_while_it_is_off():
    model, lora = made("decoder labels"), LoRA(r=4)
    base = logits(model)
    lora.wrap(model, head_of(model.config))
    torch.testing.assert_close(logits(model), base, atol=1e-6, rtol=0)
    changed = logits(stirred(model))
    trained = trained_names(model)
    assert (changed - base).abs().max() > 1e-2
    with lora.off(model):
        torch.testing.assert_close(logits(model), base, atol=1e-6, rtol=0)
    assert torch.equal(logits(model), changed)
    assert trained_names(model) == trained


def test_the_same_seed_draws_the_same_matrices_and_leaves_the_global_state():
    state, found = torch.random.get_rng_state(), []
    for seed in (1, 1, 2):
        model = made("tied")
        LoRA(r=4).wrap(model, head_of(model.config), seed=seed)
        found.append(model.model.layers[0].mlp.up_proj.lora_A.default.weight)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


@pytest.mark.parametrize(("options", "same"), [({"rslora": True}, 4 / 2), ({}, 4 / 4)])
def test_alpha_scales_by_the_rank_or_its_root(options, same):
    model = made("tied")
    LoRA(r=4, alpha=4, **options).wrap(model, head_of(model.config))
    assert model.model.layers[0].mlp.up_proj.scaling["default"] == same


@pytest.mark.parametrize("name", ["tied", "untied", "conv1d"])
@pytest.mark.parametrize("options", [{"dora": True}, {"rslora": True}, {"dora": True, "rslora": True}], ids=str)
def test_dora_and_rslora_merge(saved, name, options):
    folder, wanted = saved(name, LoRA(r=4, **options))
    torch.testing.assert_close(logits(load_model(folder)), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("options", [{"dora": True}, {"rslora": True}], ids=str)
def test_dora_and_rslora_merge_with_rows_of_added_tokens(saved, options):
    folder, wanted = saved("tied", LoRA(r=4, **options), grown=3)
    torch.testing.assert_close(logits(load_model(folder)), wanted, atol=1e-5, rtol=0)


def test_auto_is_all_linear_as_peft_calls_it():
    found = []
    for targets in ("auto", "all-linear"):
        model = made("mixture")
        LoRA(r=2, targets=targets).wrap(model, head_of(model.config))
        found.append(trained_names(model))
    assert found[0] == found[1] != set()


def gradients(name, *, fused, bf16=False):
    """The logits of a stirred model, and the gradients of all that is trained, by the fused layer or by peft's own."""
    from peft.tuners.lora.layer import Linear

    from llmkit.modeling.adapters._fused import FusedLinear

    model = made(name)
    LoRA(r=4).wrap(model, head_of(model.config))
    stirred(model)
    layers = [module for module in model.modules() if type(module) is FusedLinear]
    assert layers
    for layer in layers:
        layer.__class__ = FusedLinear if fused else Linear
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        output = model(input_ids=IDS).logits
    output.float().square().sum().backward()
    assert all(p.grad is None for p in model.parameters() if not p.requires_grad)
    return [output.detach().float(), *(p.grad for p in model.parameters() if p.requires_grad)]


@pytest.mark.parametrize("name", ["tied", "labels"])
def test_the_fused_layer_computes_what_pefts_own_does(name):
    for one, other in zip(gradients(name, fused=True), gradients(name, fused=False), strict=True):
        torch.testing.assert_close(one / other.abs().max(), other / other.abs().max(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["tied", "labels"])
def test_in_bf16_the_fused_layer_is_no_farther_from_float32_than_pefts_own(name):
    exact = gradients(name, fused=False)

    def error(fused):
        found = gradients(name, fused=fused, bf16=True)
        return sum(float((one - other).norm() / other.norm()) for one, other in zip(found, exact, strict=True))

    assert error(fused=True) < 1.1 * error(fused=False)


def kept_bytes(model) -> int:
    """Return the bytes that a forward pass keeps for the way back, weights left out."""
    own, found = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no other gets its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(input_ids=IDS).logits.sum()
    assert output.requires_grad
    return sum(size for size, _ in found.values())


def test_a_gated_layer_keeps_neither_the_activation_nor_the_product():
    model = made("tied").train()
    LoRA(r=4).wrap(model, head_of(model.config))
    layers = [layer.mlp for layer in model.model.layers]
    assert {type(layer).__name__ for layer in layers} == {"LlamaMLP"}
    fused = kept_bytes(model)
    for layer in layers:
        layer.__class__ = type(layer).__mro__[2]
    assert kept_bytes(model) - fused == 2 * 2 * IDS.numel() * 24 * 4, "two of four tensors, in each of two layers"


def test_in_bf16_layers_that_read_the_same_keep_it_once(monkeypatch):
    model = made("tied").train()
    LoRA(r=4).wrap(model, head_of(model.config))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        shared = kept_bytes(model)
        monkeypatch.setattr("llmkit.modeling.frozen._rows", lambda x, dtype: x.reshape(-1, x.shape[-1]).to(dtype))
        apart = kept_bytes(model)
    assert apart - shared == 2 * (2 + 1) * IDS.numel() * 16 * 2, "two of q, k, v and one of gate and up, in two layers"


def test_inputs_that_change_in_place_are_cast_anew():
    from llmkit.modeling.frozen import frozen_linear

    layer, inputs = torch.nn.Linear(3, 3, bias=False).requires_grad_(False), torch.ones(2, 3)
    layer.weight.copy_(torch.eye(3))
    down, up = torch.zeros(1, 3, requires_grad=True), torch.zeros(3, 1, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        first = frozen_linear(inputs, layer, down, up)  # held, and with it what was cast
        inputs += 1
        second = frozen_linear(inputs, layer, down, up)
    assert first.tolist() == [[1, 1, 1]] * 2
    assert second.tolist() == [[2, 2, 2]] * 2


def test_peft_does_not_import_bitsandbytes_beside_whole_weights(monkeypatch):
    """A second of the first step; it is still there for whoever asks for it afterwards."""
    from peft import import_utils

    asked = []

    class Finder:
        @staticmethod
        def find_spec(name, *_):
            if name == "bitsandbytes":
                asked.append(name)

    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    model = made("tied")
    LoRA(r=2).wrap(model, head_of(model.config))
    assert not asked
    assert "bitsandbytes" not in sys.modules
    import_utils.is_bnb_available()
    assert asked == ["bitsandbytes"], "nothing is remembered"


@pytest.mark.parametrize("name", ["conv1d", "labels", "encoder"])
def test_other_feed_forward_layers_stay_as_they_are(name):
    model = made(name)
    LoRA(r=4).wrap(model, head_of(model.config))
    assert not [module for module in model.modules() if "_Gated" in {kind.__name__ for kind in type(module).__mro__}]


def test_frozen_projections_below_a_gated_layer_get_their_gradients_through_it():
    """With LoRA on the last matrix alone nothing below the first of them needs a gradient."""
    model = made("tied")
    LoRA(r=4, targets=["down_proj"]).wrap(model, head_of(model.config))
    stirred(model)
    model(input_ids=IDS).logits.square().sum().backward()
    found = [p.grad for p in model.parameters() if p.requires_grad]
    for layer in model.model.layers:
        layer.mlp.__class__ = type(layer.mlp).__mro__[2]
    model.zero_grad()
    model(input_ids=IDS).logits.square().sum().backward()
    for one, other in zip(found, (p.grad for p in model.parameters() if p.requires_grad), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * float(other.abs().max()))


def test_dropout_and_dora_keep_pefts_own_layer():
    from llmkit.modeling.adapters._fused import FusedLinear

    for options in ({"dropout": 0.1}, {"dora": True}):
        model = made("tied")
        LoRA(r=4, **options).wrap(model, head_of(model.config))
        assert not [module for module in model.modules() if isinstance(module, FusedLinear)]


def test_targets_are_counted_by_hand():
    model, lora = made("tied"), LoRA(r=4, targets=["q_proj", "down_proj"])
    lora.wrap(model, head_of(model.config))
    targets = lora.describe(model)
    assert targets.trained == 2 * (4 * (16 + 16) + 4 * (24 + 16))
    assert targets.total == sum(p.numel() for p in made("tied").parameters())
    assert targets.what == "LoRA of rank 4 on q_proj, down_proj (2 of each)"


@pytest.mark.parametrize(("name", "lora", "words", "hint"), [
    ("tied", LoRA(targets=["q_porj"]), "the model has no matrix 'q_porj'; did you mean 'q_proj'?", None),
    ("untied", LoRA(targets=["lm_head"]), "'lm_head' is no matrix that LoRA adapts: heads, embeddings and routers",
     "adapter=head trains the head"),
    ("mixture", LoRA(targets=["gate"]), "'gate' is no matrix that LoRA adapts", "name others, such as q_proj"),
    ("mixture", LoRA(dropout=0.1), "adapter.dropout: the experts of this model are matrices in one tensor"
     " (gate_up_proj, down_proj), and peft has no dropout for those", "-s adapter.dropout=0"),
    ("mixture", LoRA(dora=True), "adapter.dora: the experts", "-s adapter.dora=false"),
])  # fmt: skip
def test_what_cannot_be_adapted_is_refused(name, lora, words, hint):
    model = made(name)
    with pytest.raises(ConfigError) as raised:
        lora.wrap(model, head_of(model.config))
    assert words in raised.value.message
    assert hint is None or hint in (raised.value.hint or "")


def test_single_rows_of_a_head_with_a_bias_are_refused():
    model = made("encoder")
    with pytest.raises(ConfigError, match="the tokenizer has 2 tokens that the model has no rows for"):
        LoRA().wrap(model, head_of(model.config), grown=range(40, 42))


def test_names_are_written_in_one_order_and_config_json_is_not(saved):
    folder, _ = saved("tied", LoRA(r=4))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["target_modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert config["base_model_name_or_path"] == str(folder.parent / "base")
    assert not (folder / "config.json").exists(), "transformers would take the adapter for a whole model"
