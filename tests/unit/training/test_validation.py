from __future__ import annotations

import math

import pytest
import torch
from cases import CASES, WORDS

from llmkit.data.feeds import HeldOut
from llmkit.data.packing import StreamPacker
from llmkit.data.unread import Unread
from llmkit.modeling.companions import Models
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.masked_lm import MaskedLM
from llmkit.training.gradients import Gradients, LossModule
from llmkit.training.parallel import ParallelConfig, Plan, build_accelerator
from llmkit.training.validation import validate
from tiny import BOS, CONTEXT, EOS, VOCABULARY, InMemory, documents, model, stream

ALL_READ = Unread()


def scored(built, objective, packer, micro_blocks, *, num_bytes=777, unread=ALL_READ, stopped=lambda: False):
    accelerator = build_accelerator(ParallelConfig(), built)
    module = LossModule(Models(built.train()), objective, torch.float32)
    gradients = Gradients(
        accelerator, module, objective, WORDS, plan=Plan(1, 1, 1, 1), seed=5, micro_blocks=lambda _: micro_blocks
    )
    held = HeldOut(packer, num_bytes, unread)
    found = validate(held, gradients, batch_blocks=8, stopped=stopped)
    return found and found.row(objective, held)


def held_out(count=25):
    return StreamPacker(InMemory(documents(count)), CONTEXT, prefix=[BOS], suffix=[EOS], seed=None)


@pytest.mark.parametrize("micro_blocks", [99, 8, 3, 1])
def test_by_hand(micro_blocks):
    # With a zero head every one of V ids is as likely: ln V nats for each target, and each target is scored once.
    uniform = model(tie_word_embeddings=False)
    torch.nn.init.zeros_(uniform.lm_head.weight)
    num_targets = sum(len(document) + 1 for document in documents(25))  # every id, and EOS; never BOS
    assert held_out().num_blocks(0) % 8 != 0
    row = scored(uniform, CausalLM(), held_out(), micro_blocks)
    assert row == {
        "validation_loss": pytest.approx(math.log(VOCABULARY), rel=1e-6),
        "bits_per_byte": pytest.approx(num_targets * math.log2(VOCABULARY) / 777, rel=1e-6),
    }


def test_bits_are_of_the_bytes_that_were_read_and_none_where_too_few_were():
    whole = scored(model(), CausalLM(), held_out(), 8, num_bytes=1000)
    row = scored(model(), CausalLM(), held_out(), 8, num_bytes=1000, unread=Unread(7, 3))
    assert row["bits_per_byte"] == pytest.approx(whole["bits_per_byte"] * 1000 / 990, rel=1e-12)
    row = scored(model(), CausalLM(), held_out(), 8, num_bytes=1000, unread=Unread(7, 4))
    assert row == {"validation_loss": whole["validation_loss"]}


def test_it_is_transformers_own_loss():
    document = documents(30)[9]
    ids = torch.tensor([[BOS, *document, EOS]])
    packer = StreamPacker(InMemory([document]), 32, prefix=[BOS], suffix=[EOS], seed=None)
    built = model()
    expected = built(input_ids=ids, labels=ids).loss.item()
    row = scored(built, CausalLM(), packer, 1, num_bytes=50)
    assert row["validation_loss"] == pytest.approx(expected, rel=1e-6)
    assert row["bits_per_byte"] == pytest.approx(expected * (len(document) + 1) / 50 / math.log(2), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_it_does_not_depend_on_the_micro_batch_and_repeats(case):
    make_objective, make, packer = CASES[case]
    rows = [scored(make(), make_objective(), packer(), size) for size in (99, 4, 1)]
    for row in rows[1:]:
        assert row == pytest.approx(rows[0], rel=1e-5)
    assert scored(make(), make_objective(), packer(), 4) == rows[1]


def test_every_part_of_several_has_its_column():
    make_objective, make, packer = CASES["pairs: masked tokens and next sentence"]
    row = scored(make(), make_objective(), packer(), 4)
    assert list(row) == ["validation_loss", "validation_loss_tokens", "validation_loss_pairs"]
    assert row["validation_loss"] == pytest.approx(row["validation_loss_tokens"] + row["validation_loss_pairs"])


def test_z_loss_is_measured_but_not_added():
    plain, with_z = (scored(model(), objective, stream(20), 4) for objective in (CausalLM(), CausalLM(z_loss=0.5)))
    assert list(with_z) == ["validation_loss", "validation_loss_tokens", "validation_loss_z", "bits_per_byte"]
    assert with_z["validation_loss_z"] > 1
    assert with_z["validation_loss"] == pytest.approx(plain["validation_loss"], rel=1e-6)
    assert with_z["bits_per_byte"] == pytest.approx(plain["bits_per_byte"], rel=1e-6)


def test_bits_per_byte_only_where_every_token_is_a_target():
    assert not MaskedLM().scores_text
    for case, (objective, make, packer) in CASES.items():
        assert ("bits_per_byte" in scored(make(), objective(), packer(), 4)) == ("pairs" not in case)


def test_dropout_is_off_and_comes_back_and_no_random_number_is_drawn():
    def dropping():
        return model(attention_dropout=0.5)

    built = dropping()
    state = torch.get_rng_state()
    row = scored(built, CausalLM(), stream(20), 4)
    assert row == scored(model(), CausalLM(), stream(20), 4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in built.modules())
    assert all(parameter.grad is None for parameter in built.parameters())


def test_a_signal_ends_it_early():
    calls = iter([False, False, True])
    built = model()
    assert scored(built, CausalLM(), held_out(), 1, stopped=lambda: next(calls)) is None
    assert built.training
    assert list(calls) == []
