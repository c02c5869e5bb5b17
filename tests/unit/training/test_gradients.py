from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import BLOCKS, CASES, WORDS, bert, gradients, pairs, taken
from torch.nn import functional as F  # noqa: N812

from llmkit.core.errors import DataError
from llmkit.data.packing import IGNORED, Batch
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.next_sentence import NextSentence
from tiny import model, stream


@pytest.mark.parametrize("case", CASES)
def test_one_batch_or_parts_of_it_give_the_same_gradients(case):
    objective, make, packer = (part() if part is not CASES[case][1] else part for part in CASES[case])
    batch = packer.blocks(0, range(BLOCKS))
    counts = [objective.collate(batch.slice(i, i + 1), WORDS, 5)[1]["tokens"] for i in range(BLOCKS)]
    assert len(set(counts)) >= 3, "blocks must differ in their targets, or a mean of means would pass"
    found = {}
    for micro_blocks in (8, 4, 3, 2, 1):
        built = make().train()
        found[micro_blocks] = (
            gradients(built, objective, micro_blocks).accumulate(batch, step=0, signals=[7, 9]),
            taken(built),
        )
    whole, expected = found[8]
    assert whole.num_tokens == batch.num_tokens.sum()
    for loss, grads in found.values():
        assert loss.parts == pytest.approx(whole.parts, rel=1e-5)
        assert loss.total == pytest.approx(whole.total, rel=1e-5)
        assert (loss.num_tokens, loss.signals) == (whole.num_tokens, [7, 9])
        assert grads.keys() == expected.keys()
        for name, grad in grads.items():
            torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_the_parts_of_next_sentence_are_those_of_transformers():
    objective, batch = NextSentence(), pairs().blocks(0, range(BLOCKS))
    built, reference = bert().train(), bert().train()
    loss = gradients(built, objective, 2).accumulate(batch, step=0, signals=[])
    tensors, counts = objective.collate(batch, WORDS, 5)
    labels, answers = tensors.pop("labels"), tensors.pop("pair_labels")
    outputs = reference(**tensors)
    tokens = F.cross_entropy(outputs.prediction_logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    following = F.cross_entropy(outputs.seq_relationship_logits, answers)
    (tokens + following).backward()
    assert set(answers.tolist()) == {0, 1}
    assert (counts["pairs"], counts["tokens"]) == (BLOCKS, int((labels != IGNORED).sum()))
    assert loss.parts == pytest.approx({"tokens": tokens.item(), "pairs": following.item()}, rel=1e-5)
    assert loss.total == pytest.approx((tokens + following).item(), rel=1e-5)
    expected = taken(reference)
    for name, grad in taken(built).items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_z_loss_is_that_of_all_logits():
    batch = stream().blocks(0, range(BLOCKS))
    built, reference = model().train(), model().train()
    loss = gradients(built, CausalLM(z_loss=0.1), 2).accumulate(batch, step=0, signals=[])
    ids, positions, labels = (torch.from_numpy(getattr(batch, n)) for n in ("input_ids", "position_ids", "labels"))
    logits = reference(input_ids=ids, position_ids=positions, use_cache=False).logits.flatten(0, 1)
    learned = labels.flatten() != IGNORED
    entropy = F.cross_entropy(logits[learned], labels.flatten()[learned])
    squares = logits[learned].logsumexp(-1).square().mean()
    (entropy + 0.1 * squares).backward()
    assert loss.parts == pytest.approx({"tokens": entropy.item(), "z": squares.item()}, rel=1e-5)
    assert loss.total == pytest.approx((entropy + 0.1 * squares).item(), rel=1e-5)
    expected = taken(reference)
    for name, grad in taken(built).items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def nothing_learned(batch: Batch) -> Batch:
    return batch.replace(labels=np.full_like(batch.labels, IGNORED))


def test_micro_batches_without_targets_are_fine_as_long_as_one_has_some():
    packer = stream()
    some, none = packer.blocks(0, [0, 1]), nothing_learned(packer.blocks(0, [2, 3]))
    alone, mixed = model(), model()
    expected = gradients(alone, CausalLM(), 1).accumulate(some, step=0, signals=[])
    found = gradients(mixed, CausalLM(), 1).accumulate(Batch.join([none, some, none]), step=0, signals=[])
    assert found.total == pytest.approx(expected.total, rel=1e-6)
    torch.testing.assert_close(taken(mixed), taken(alone))


def test_a_batch_without_targets_is_an_error():
    batch = nothing_learned(stream().blocks(0, [0, 1]))
    with pytest.raises(DataError, match="step 5 has nothing to learn from: no tokens with a target") as error:
        gradients(model(), CausalLM(), 1).accumulate(batch, step=4, signals=[])
    assert error.value.exit_code == 3
    assert error.value.hint == "raise batch_tokens, or check what the data holds"


def test_the_dry_run_leaves_no_trace():
    built = model("gpt2").train()  # it has dropout
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    random_state = torch.get_rng_state()
    found = gradients(built, CausalLM(), 2)
    seen = []
    built.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs["input_ids"].shape), with_kwargs=True)
    built.transformer.register_forward_hook(lambda *_: seen.append("forward"))
    built.transformer.wte.weight.register_hook(lambda _: seen.append("backward"))
    found.dry_run(stream().blocks(0, range(4)))
    assert {"forward", "backward"} <= set(seen)
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())
    assert all(parameter.grad is None for parameter in built.parameters())
    found.dry_run(nothing_learned(stream().blocks(0, range(2))))  # padding alone, by chance, is no reason to fail


def test_bf16_multiplies_in_bf16_and_keeps_float32_weights_and_gradients():
    batch = stream().blocks(0, range(BLOCKS))
    exact, rounded = model(), model()
    one = gradients(exact, CausalLM(), 4).accumulate(batch, step=0, signals=[])
    other = gradients(rounded, CausalLM(), 4, torch.bfloat16).accumulate(batch, step=0, signals=[])
    assert other.total != one.total
    assert other.total == pytest.approx(one.total, rel=2**-8)
    expected = taken(exact)
    for name, grad in taken(rounded).items():
        assert grad.dtype == torch.float32
        assert (grad - expected[name]).norm() < 0.03 * expected[name].norm(), name
