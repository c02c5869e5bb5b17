from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from llmkit.core.errors import ConfigError
from llmkit.modeling.build import ModelConfig, build_model
from llmkit.modeling.heads import heads
from llmkit.modeling.heads.sequence_to_sequence import SequenceToSequence
from llmkit.modeling.routing import ACROSS, BALANCE, CHOSEN, FIXED, WEIGHTS, Z, listen, of_blocks
from tiny import VOCABULARY, model

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
MIXTURES = {
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 8},
    "qwen3_moe": {**EXPERTS, "head_dim": 8},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "jetmoe": {"num_local_experts": 4, "kv_channels": 8},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
    "granitemoe": {"num_local_experts": 4},
    "phimoe": {"num_local_experts": 4},
}


def test_by_hand():
    """Two blocks of three tokens, two experts, one layer: probabilities 3/4 and 1/4, or the other way round."""
    left, right = [math.log(3), 0.0], [0.0, math.log(3)]
    logits = torch.tensor([left, left, left, left, right, right])
    every = of_blocks([logits], torch.ones(2, 3), 1)
    # Block 1: all to expert 1, 2 x (1 x 3/4). Block 2: a third to expert 1, whose mean probability is 5/12.
    assert every[BALANCE].tolist() == pytest.approx([1.5, 2 * (1 / 3 * 5 / 12 + 2 / 3 * 7 / 12)])
    assert every[Z].tolist() == pytest.approx([math.log(4) ** 2] * 2)
    padded = of_blocks([logits], torch.tensor([[1.0, 1, 1], [1, 1, 0]]), 1)
    assert padded[BALANCE].tolist() == pytest.approx([1.5, 2 * (1 / 2 * 1 / 2 + 1 / 2 * 1 / 2)])
    # Layers are looked at together: what one sends left another may send right.
    both = of_blocks([logits[:3], torch.tensor([right] * 3)], torch.ones(1, 3), 1)
    assert both[BALANCE].tolist() == pytest.approx([1.0])
    assert of_blocks([logits], torch.zeros(2, 3), 1)[BALANCE].tolist() == [0, 0]


def test_stretches_of_a_block_add_up_to_it(monkeypatch):
    logits, real = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.ones(2, 6)
    whole = of_blocks([logits], real, 2)[BALANCE]
    halves = [half.flatten(0, 1) for half in logits.view(2, 6, 4).split(3, 1)]
    shared = [torch.zeros(2, 4), torch.zeros(2)]
    for half in halves:  # what every process would get of all_reduce
        seen = iter(shared)
        monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor, group, seen=seen: next(seen).add_(tensor))
        of_blocks([half], real[:, :3], 2, "group")
    found = []
    for half in halves:
        seen = iter(shared)
        monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor, group, seen=seen: tensor.copy_(next(seen)))
        found.append(of_blocks([half], real[:, :3], 2, "group")[BALANCE])
    torch.testing.assert_close(found[0] + found[1], whole)


@pytest.mark.parametrize("arch", MIXTURES)
def test_one_block_has_the_loss_of_transformers(arch):
    built = model(arch, **MIXTURES[arch])
    routers = listen(built)
    ids = torch.arange(2, 14)[None] * 5 % VOCABULARY
    seen = torch.tensor([[1] * 9 + [0] * 3])
    for mask, lengths in ((None, {}), (seen, {}), (None, {"num_tokens": torch.tensor([9])})):
        with routers.heard():
            built.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
            found = routers.losses({"input_ids": ids, **lengths})[BALANCE]
        shown = seen if lengths else mask
        expected = built(input_ids=ids, attention_mask=shown, output_router_logits=True, use_cache=False).aux_loss
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert built(input_ids=ids, use_cache=False).router_logits is None, "it only speaks while it is listened to"


def nllb(sparse):
    settings = {
        "d_model": 16, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "encoder_sparse_step": sparse,
        "decoder_sparse_step": 1, "num_experts": 4, "router_z_loss_coef": 0.5, "expert_capacity": 16,
    }  # fmt: skip
    spec = ModelConfig(arch="nllb-moe", config=settings)
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return build_model(spec, head=SequenceToSequence(), vocab_size=40, max_positions=16, seed=0, **ids)


def test_encoder_and_decoder_are_both_heard():
    built = nllb(sparse=1)
    routers = listen(built)
    inputs = torch.tensor([[7, 8, 9, 10, 1, 2], [11, 12, 13, 14, 15, 1]])
    labels = torch.tensor([[20, 21, 1, -100], [22, 23, 24, 1]])
    found = []
    for rows in ([0, 1], [0], [1]):
        given = {"input_ids": inputs[rows], "labels": labels[rows]}
        mask = (given["input_ids"] != 2).long()
        with routers.heard():
            # As the objective calls it: masks of documents are no masks of padding.
            encoded = built.get_encoder()(given["input_ids"], attention_mask=mask[:, None, None].bool())
            before = given["labels"].roll(1, 1).clamp_min(0)
            built.get_decoder()(before, encoder_hidden_states=encoded[0], use_cache=False)
            found.append(routers.losses(given))
        if len(rows) == 1:
            reference = built(
                input_ids=given["input_ids"], attention_mask=mask, labels=given["labels"], decoder_input_ids=before,
                decoder_attention_mask=(given["labels"] >= 0).long(), output_router_logits=True,
            )  # fmt: skip
            expected = reference.encoder_aux_loss + reference.decoder_aux_loss
            assert found[-1][BALANCE].item() == pytest.approx(expected.item(), rel=1e-3)
    for part in (BALANCE, Z):
        assert found[0][part].item() == pytest.approx((found[1][part] + found[2][part]).item(), rel=1e-5)
    assert routers.weights == {BALANCE: 0.001, Z: 0.5}


def test_an_encoder_without_routers_adds_nothing():
    built = nllb(sparse=0)
    routers, ids = listen(built), torch.tensor([[7, 8, 9, 1]])
    with routers.heard():
        built(input_ids=ids, decoder_input_ids=ids, use_cache=False)
        found = routers.losses({"input_ids": ids, "labels": ids})
    logits = built(input_ids=ids, decoder_input_ids=ids, output_router_logits=True).decoder_router_logits
    assert found[BALANCE].item() == pytest.approx(of_blocks(logits, torch.ones(1, 4), 2)[BALANCE].item())


def test_a_model_without_experts_or_with_weight_0_has_none():
    assert listen(model()) is None
    assert listen(model("mixtral", num_local_experts=4, router_aux_loss_coef=0.0)) is None
    dense = model("qwen3_moe", **EXPERTS, head_dim=8, mlp_only_layers=[0, 1])
    assert dense.config.router_aux_loss_coef == 0.001
    assert listen(dense) is None


def test_a_negative_weight_is_refused():
    with pytest.raises(ConfigError, match=r"router_aux_loss_coef -0.1 would reward what it is to prevent"):
        listen(model("mixtral", num_local_experts=4, router_aux_loss_coef=-0.1))


def test_routers_that_look_at_other_rows_are_refused():
    built = model("doge", is_moe=True, num_experts=16, num_experts_per_tok=2, head_dim=8)
    with pytest.raises(ConfigError) as caught:
        listen(built)
    assert caught.value.message == (
        "model: router_aux_loss_coef 0.001 cannot be a part of the loss, since doge routes tokens of different rows"
        " together"
    )
    assert caught.value.hint == "train without it: 0 in the recipe's model.config, or in the config.json of the model"


def test_every_architecture_with_such_a_weight_says_how_many_experts_are_chosen():
    """Those without any would be refused, whatever their recipe says: a new name of a field is to be found here."""
    found = {}
    for head in heads():
        for arch in head.architectures():
            if arch not in CONFIG_MAPPING:
                continue
            cls = CONFIG_MAPPING[arch]
            classes = [cls, *(sub for sub in cls.sub_configs.values() if dataclasses.is_dataclass(sub))]
            names = {field.name for one in classes for field in dataclasses.fields(one)}
            names |= {name for one in classes for name in one.attribute_map}
            balances = {name for name in names if name.endswith(("aux_loss_coef", "moe_loss_weight"))}
            if balances:
                found[arch] = balances <= set(WEIGHTS[BALANCE]) and (
                    arch in FIXED or arch in ACROSS or bool(names & set(CHOSEN))
                )
    assert {"mixtral", "qwen3_moe", "olmoe", "jetmoe", "dbrx", "llama4_text", "nllb-moe", "doge"} <= found.keys()
    assert len(found) >= 30
    assert [arch for arch, known in found.items() if not known] == []


def test_a_weight_that_nothing_can_be_computed_from_is_refused(monkeypatch):
    built = model("mixtral", num_local_experts=4)
    monkeypatch.setattr("llmkit.modeling.routing._router_logits", lambda _: None)
    with pytest.raises(ConfigError, match="mixtral gives no router logits") as caught:
        listen(built)
    assert caught.value.exit_code == 2
