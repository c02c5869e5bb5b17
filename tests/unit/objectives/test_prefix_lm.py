from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from blocks import BOS, EOS, VOCABULARY, block, model, packed

from llmkit.data.packing import IGNORED
from llmkit.modeling.companions import Models
from llmkit.objectives.documents.prefix_lm import PrefixLM

CAUSAL = ["llama", "qwen3", "mistral", "gpt2"]


def test_targets_are_what_follows_the_prefix():
    batch = packed(PrefixLM(), rows=40)
    tensors, counts = PrefixLM().collate(batch, VOCABULARY, 0)
    lengths = set()
    for row in range(40):
        starts = np.flatnonzero(batch.position_ids[row] == 0)
        for start, stop in pairwise(starts):
            prefix = tensors["prefix"][row, start:stop]
            cut = int(prefix.sum())
            assert 1 <= cut < stop - start
            assert prefix[:cut].all()
            expected = [IGNORED] * (cut - 1) + batch.labels[row, start + cut - 1 : stop].tolist()
            assert tensors["labels"][row, start:stop].tolist() == expected
            lengths.add(cut)
        assert not tensors["prefix"][row, starts[-1] :].any()
    assert len(lengths) > 15
    assert counts == {"tokens": int((tensors["labels"] >= 0).sum())}
    assert np.array_equal(tensors["input_ids"], batch.input_ids)


def test_a_document_of_two_by_hand():
    tensors, counts = PrefixLM().collate(block([[11, 12], [13]], length=4), VOCABULARY, 0)
    assert tensors["prefix"].tolist() == [[True, False, False, False]]
    assert tensors["labels"].tolist() == [[12, IGNORED, IGNORED, IGNORED]]
    assert counts == {"tokens": 1}
    assert PrefixLM().around(VOCABULARY) == ([BOS], [EOS])
    assert not PrefixLM.scores_text


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("arch", CAUSAL)
@torch.no_grad()
def test_packed_documents_cost_what_they_cost_alone(arch, attention):
    # transformers has no loss of this kind: the reference is each document alone, under a mask made here.
    built = model(arch, "causal_lm", attention)
    batch = packed(PrefixLM())
    tensors, _ = PrefixLM().collate(batch, VOCABULARY, 2)
    alone = 0.0
    for row in range(4):
        starts = np.flatnonzero(batch.position_ids[row] == 0)
        for start, stop in pairwise(starts):
            ids, labels, prefix = (tensors[name][row, start:stop] for name in ("input_ids", "labels", "prefix"))
            hidden = torch.triu(torch.ones(len(ids), len(ids), dtype=torch.bool), 1)
            hidden[:, : int(prefix.sum())] = False
            mask = torch.zeros(1, 1, len(ids), len(ids)).masked_fill(hidden, -1e9)
            logits = built(input_ids=ids[None], attention_mask=mask, use_cache=False).logits[0]
            alone += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    assert PrefixLM().loss(Models(built), tensors)["tokens"][0].item() == pytest.approx(alone, rel=1e-5)


@torch.no_grad()
def test_the_prefix_is_read_from_both_sides():
    built = model("llama", "causal_lm")
    document = [BOS, *range(11, 30), EOS]
    tensors, _ = PrefixLM().collate(block([document], length=21), VOCABULARY, 1)
    cut = int(tensors["prefix"].sum())
    assert 2 < cut < 20
    states = []
    for last in (0, 1):
        ids = tensors["input_ids"].clone()
        ids[0, cut - 1] += last
        kept = []
        hook = built.model.norm.register_forward_hook(lambda *call, kept=kept: kept.append(call[2][0]))
        PrefixLM().loss(Models(built), {**tensors, "input_ids": ids})
        hook.remove()
        states.append(kept[-1])
    assert (states[0][0] - states[1][0]).abs().max() > 1e-3  # the first sees the last of the prefix
    later = dict(tensors)
    later["input_ids"] = tensors["input_ids"].clone()
    later["input_ids"][0, cut] += 1
    kept = []
    hook = built.model.norm.register_forward_hook(lambda *call: kept.append(call[2][0]))
    PrefixLM().loss(Models(built), later)
    hook.remove()
    assert torch.equal(kept[-1][:cut], states[0][:cut])  # but nothing after it


def test_bf16_autocast():
    built = model("llama", "causal_lm")
    tensors, _ = PrefixLM().collate(packed(PrefixLM()), VOCABULARY, 0)
    exact = PrefixLM().loss(Models(built), tensors)["tokens"][0].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = PrefixLM().loss(Models(built), tensors)["tokens"][0]
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.03)
