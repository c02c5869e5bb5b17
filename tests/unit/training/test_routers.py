"""The losses of routers in a training: parts of what is differentiated, logged and compared."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from cases import BLOCKS, gradients, mixture, taken
from torch.nn import functional as F  # noqa: N812

from llmkit.data.feeds import HeldOut
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.fill_in_the_middle import FillInTheMiddle
from llmkit.training.metrics import read_metrics
from tiny import model, rows, stream, trainer


def test_the_loss_and_its_gradient_are_those_of_transformers():
    built, reference = mixture().train(), mixture().train()
    batch = stream().blocks(0, [3])
    loss = gradients(built, CausalLM(), 1).accumulate(batch, step=0, signals=[])
    ids, positions, labels = (torch.from_numpy(getattr(batch, n)) for n in ("input_ids", "position_ids", "labels"))
    outputs = reference(input_ids=ids, position_ids=positions, use_cache=False, output_router_logits=True)
    entropy = F.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
    (entropy + 0.5 * outputs.aux_loss).backward()
    assert loss.parts == pytest.approx({"tokens": entropy.item(), "router": outputs.aux_loss.item()}, rel=1e-5)
    assert loss.total == pytest.approx(entropy.item() + 0.5 * outputs.aux_loss.item(), rel=1e-5)
    expected = taken(reference)
    for name, grad in taken(built).items():
        torch.testing.assert_close(grad, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_rearranged_blocks_know_their_padding():
    objective = FillInTheMiddle(fim_rate=1.0, prefix_token="[M]", suffix_token="[C]", middle_token="[S]")
    tensors, counts = gradients(mixture(), objective, 4).collate(stream().blocks(0, range(4)))
    assert counts["router"] == 4
    padding = torch.arange(tensors["input_ids"].shape[1]) >= tensors["num_tokens"][:, None]
    assert padding.any()
    assert (tensors["labels"][padding] == -100).all()
    assert (tensors["position_ids"].gather(1, tensors["num_tokens"][:, None]) == 0).all()


class Near(CausalLM):
    """The means of the rows' logits are to be one another's: every row hangs on all others."""

    couples: ClassVar = True

    def outputs(self, models, batch):
        logits = models.main(input_ids=batch["input_ids"], use_cache=False).logits
        return {"means": logits.mean(1)}

    def loss_of(self, outputs):
        means = outputs["means"]
        return {"tokens": ((means - means.mean(0)).square().sum(), 1.0)}


def test_a_loss_that_couples_rows_has_them_too():
    batch, found = stream().blocks(0, range(BLOCKS)), {}
    for size in (8, 3):
        built = mixture().train()
        found[size] = (gradients(built, Near(), size).accumulate(batch, step=0, signals=[]), taken(built))
    whole, parts = found[8][0], found[3][0]
    assert parts.parts == pytest.approx(whole.parts, rel=1e-5)
    assert whole.total == pytest.approx(whole.parts["tokens"] + 0.5 * whole.parts["router"], rel=1e-5)
    alone = gradients(mixture().train(), CausalLM(), 8).accumulate(batch, step=0, signals=[])
    assert whole.parts["router"] == pytest.approx(alone.parts["router"], rel=0.05)  # that one restarts positions
    for name, grad in found[3][1].items():
        torch.testing.assert_close(grad, found[8][1][name], rtol=1e-4, atol=1e-6, msg=name)


def lopsided(weight):
    """A mixture that sends nearly every token to the same two of four experts."""
    built = model("mixtral", num_local_experts=4, router_aux_loss_coef=weight)
    with torch.no_grad():
        built.model.embed_tokens.weight += 0.05
        for layer in built.model.layers:
            layer.mlp.gate.weight[:2] += 0.15
    return built


def test_more_weight_evens_out_the_load_and_the_parts_are_logged(tmp_path):
    held_out, last = HeldOut(rows(seed=None), 1000), {}
    for weight in (1e-4, 1.0):
        place = tmp_path / str(weight)
        place.mkdir()
        trainer(place, start=lopsided(weight), max_steps=20, validation=held_out).train()
        logged = [row for row in read_metrics(place) if "loss" in row]
        for row in logged:
            assert row["loss"] == pytest.approx(row["loss_tokens"] + weight * row["loss_router"])
        assert logged[0]["loss_router"] > 3.5  # 4 where only two are used, 2 where all are alike
        last[weight] = logged[-1]["loss_router"]
        for row in (row for row in read_metrics(place) if "validation_loss" in row):
            assert row["validation_loss"] == row["validation_loss_tokens"]
            assert 1.9 < row["validation_loss_router"] < 4
    assert last[1.0] < 2.1
    assert last[1e-4] > 2.3


def test_a_dense_model_logs_no_parts(tmp_path):
    trainer(tmp_path, max_steps=1).train()
    assert [name for name in read_metrics(tmp_path)[-1] if name.startswith("loss")] == ["loss"]
