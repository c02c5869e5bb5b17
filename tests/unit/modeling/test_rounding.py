"""Weights in a few bits: scales that move them least, errors that later columns make good, and how bits are packed."""

from __future__ import annotations

import pytest
import torch

from llmkit.modeling import calibration, rounding
from llmkit.modeling.calibration import round_layers
from llmkit.modeling.rounding import packed, rounded


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def restored(codes, scales):
    return codes * scales.repeat_interleave(codes.shape[1] // scales.shape[1], 1)


def test_whole_numbers_times_a_scale_stay_as_they_are():
    """A scale of 0.1: the largest, 0.75, is 7.5 of them, and so is the first scale that is tried."""
    weight = torch.tensor([[0.1, -0.3, 0.7, -0.8], [0.0, 0.0, 0.0, 0.0]])
    codes, scales = rounded(weight, 4)
    assert codes.dtype == torch.int8
    assert restored(codes, scales) == pytest.approx(weight, abs=0.02)
    assert codes[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(("bits", "group"), [(8, None), (4, None), (4, 8)])
def test_each_group_is_off_by_no_more_than_with_the_scale_of_its_largest_number(bits, group):
    weight = drawn(6, 32)
    codes, scales = rounded(weight, bits, group)
    assert scales.shape == (6, 1 if group is None else 4)
    assert codes.min() >= -(2 ** (bits - 1))
    assert codes.max() <= 2 ** (bits - 1) - 1
    groups = weight.reshape(6, -1, group or 32)
    scale = groups.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 0.5)
    plain = (groups / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale
    off = (restored(codes, scales).reshape(groups.shape) - groups).square().sum(-1)
    assert (off <= (plain - groups).square().sum(-1) + 1e-7).all()


def test_columns_that_are_read_apart_have_nothing_to_make_good():
    weight = drawn(5, 32)
    for group in (None, 8):
        alone, apart = rounded(weight, 4, group), rounded(weight, 4, group, torch.eye(32) * 3)
        assert torch.equal(alone[0], apart[0])
        assert torch.allclose(alone[1], apart[1])


@pytest.mark.parametrize("group", [None, 8])
def test_what_a_layer_gives_moves_less_than_by_rounding_to_the_nearest(group):
    weight, read = drawn(16, 32), drawn(400, 4, seed=1) @ drawn(4, 32, seed=2) + 0.1 * drawn(400, 32, seed=3)
    off = []
    for hessian in (None, read.T @ read):
        made = restored(*rounded(weight, 4, group, hessian))
        off.append(float((read @ (made - weight).T).square().mean()))
    assert off[1] < 0.5 * off[0]


@pytest.mark.parametrize("group", [None, 8])
def test_blocks_are_an_order_of_the_same_work(monkeypatch, group):
    weight, read = drawn(4, 32), drawn(100, 32, seed=1)
    whole = rounded(weight, 4, group, read.T @ read)
    for size in (1, 5, 8, 12):
        monkeypatch.setattr(rounding, "BLOCK", size)
        codes, scales = rounded(weight, 4, group, read.T @ read)
        assert torch.equal(codes, whole[0])
        assert torch.allclose(scales, whole[1], rtol=1e-4)


def test_eight_numbers_are_one_word_the_first_lowest():
    codes = torch.tensor([[-8, -7, -6, -5, -4, -3, -2, -1], [7, 0, 0, 0, 0, 0, 0, 7]], dtype=torch.int8)
    assert [word & 0xFFFFFFFF for word in packed(codes).flatten().tolist()] == [0x76543210, 0xF888888F]
    assert packed(codes[:, :3]).tolist() == [[0x210], [0x88F]]


class Two(torch.nn.Module):
    """Two layers, the second of which reads what the first gives, and a third that reads the same as the first."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(5, 4)
        self.first, self.beside, self.second = (torch.nn.Linear(4, 4, bias=False) for _ in range(3))
        for number, module in enumerate((self.table, self.first, self.beside, self.second)):
            module.weight.data = drawn(*module.weight.shape, seed=number)

    def forward(self, input_ids, attention_mask):
        hidden = self.table(input_ids)
        self.second(self.first(hidden) + self.beside(hidden))
        raise AssertionError("what is behind the layers is not needed")


@pytest.mark.parametrize("most", [2**30, 1])
def test_layers_are_rounded_by_what_they_read(monkeypatch, most):
    """Where not all fit into memory, the second reads what the rounded ones before it give."""
    monkeypatch.setattr(calibration, "MOST_BYTES", most)
    model, rows = Two(), [[0, 1, 2], [3, 4]]
    hidden = torch.cat([model.table.weight[row] for row in rows])
    before = (hidden @ (model.first.weight + model.beside.weight).T).detach()
    weights = {name: module.weight.detach().clone() for name, module in model.named_modules() if name}
    layers = {name: getattr(model, name) for name in ("first", "beside", "second")}
    made = {name: (codes, scales) for name, codes, scales in round_layers(model, layers, rows, bits=4, group=None)}
    after = (hidden @ (model.first.weight + model.beside.weight).T).detach()
    assert not torch.allclose(before, after)
    for name, read in (("first", hidden), ("beside", hidden), ("second", before if most > 1 else after)):
        codes, scales = rounded(weights[name], 4, None, (read.T @ read).detach())
        assert torch.equal(made[name][0], codes)
        assert torch.equal(layers[name].weight, restored(codes, scales))


def test_without_text_each_number_goes_to_the_nearest():
    model = Two()
    expected = rounded(model.first.weight.detach(), 8)
    ((name, codes, scales),) = round_layers(model, {"first": model.first}, [], bits=8, group=None)
    assert (name, codes.tolist(), scales.tolist()) == ("first", *(each.tolist() for each in expected))
