from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from blocks import BOS, EOS, MID, PAD, PRE, SUF, VOCABULARY, block, model, packed

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.packing import IGNORED
from llmkit.modeling.companions import Models
from llmkit.objectives.documents.causal_lm import CausalLM
from llmkit.objectives.documents.fill_in_the_middle import FillInTheMiddle


def documents_of(tensors, row):
    starts = np.flatnonzero(tensors["position_ids"][row].numpy() == 0)
    ids = tensors["input_ids"][row]
    found = [ids[a:b].tolist() for a, b in zip(starts, [*starts[1:], len(ids)], strict=True)]
    return [document for document in found if document[0] != PAD]


def test_the_layouts_by_hand():
    document = [BOS, *range(11, 31), EOS]
    kinds = set()
    for number in range(40):
        batch = block([document], length=30).replace(numbers=np.array([number]))
        tensors, counts = FillInTheMiddle(fim_rate=1.0).collate(batch, VOCABULARY, 0)
        (ids,) = documents_of(tensors, 0)
        assert len(ids) == len(document) + 3
        assert (ids[0], ids[1], ids[-1]) == (BOS, PRE, EOS)
        suf, mid = ids.index(SUF), ids.index(MID)
        if suf == 2:
            suffix, rest = ids[3:mid], ids[mid + 1 : -1]
            assert rest + suffix == document[1:-1]  # prefix and middle stand together
            kinds.add("spm")
        else:
            prefix, suffix, middle = ids[2:suf], ids[suf + 1 : mid], ids[mid + 1 : -1]
            assert prefix + middle + suffix == document[1:-1]
            kinds.add("psm")
        assert tensors["labels"][0, : len(ids)].tolist() == [*ids[1:], IGNORED]
        assert counts == {"tokens": len(ids) - 1}
    assert kinds == {"spm", "psm"}


@pytest.mark.parametrize(("spm", "expected"), [(0.0, False), (1.0, True)])
def test_suffix_first(spm, expected):
    tensors, _ = FillInTheMiddle(fim_rate=1.0, spm_rate=spm).collate(packed(FillInTheMiddle()), VOCABULARY, 0)
    rearranged = [document for row in range(4) for document in documents_of(tensors, row)]
    # Without a prefix PSM, too, has the suffix first.
    found = [document[2] == SUF for document in rearranged]
    assert all(found) if expected else sum(found) < 6 < len(found)


def test_a_document_cut_by_its_block_gets_an_end():
    batch = block([[BOS, *range(11, 20)]], length=10)  # goes on in the next block
    batch.labels[0, -1] = 20
    tensors, _ = FillInTheMiddle(fim_rate=1.0).collate(batch, VOCABULARY, 0)
    ids = documents_of(tensors, 0)[0]
    assert ids[-1] == EOS
    assert sorted(ids) == sorted([BOS, PRE, SUF, MID, EOS, *range(11, 20)])
    assert 20 not in tensors["labels"]  # what follows the block follows its suffix, not its middle
    plain, _ = FillInTheMiddle(fim_rate=0.0).collate(batch, VOCABULARY, 0)
    assert plain["labels"][0, :10].tolist() == batch.labels[0].tolist()


def test_room_is_left_and_no_token_is_lost():
    objective = FillInTheMiddle(fim_rate=1.0, max_per_block=2)
    assert objective.raw_length(64) == 64 - 3 * 2 - 1
    with pytest.raises(ConfigError, match="context_length: 7 leaves no room for text"):
        objective.raw_length(7)
    batch = packed(objective, rows=30)
    tensors, _ = objective.collate(batch, VOCABULARY, 0)
    assert tensors["input_ids"].shape == (30, 66 + 7)
    for row in range(30):
        documents = documents_of(tensors, row)
        assert sum(PRE in document for document in documents) == 2
        text = [token for document in documents for token in document if token not in (PRE, SUF, MID)]
        assert sorted(text) == sorted(batch.input_ids[row, : batch.num_tokens[row]].tolist())


@pytest.mark.parametrize("bos", [BOS, EOS])
def test_an_end_that_stands_alone_takes_no_room(bos):
    batch = block([[EOS], [bos, *range(11, 20)]], length=11)  # one that the block before had no room for; one cut
    objective = FillInTheMiddle(fim_rate=1.0, max_per_block=2)
    tensors, _ = objective.collate(batch, replace(VOCABULARY, bos=bos), 0)
    first, second = documents_of(tensors, 0)
    assert first == [EOS]
    assert sorted(second) == sorted([bos, PRE, SUF, MID, EOS, *range(11, 20)])


def test_the_rate():
    tensors, _ = FillInTheMiddle().collate(packed(FillInTheMiddle(), rows=100), VOCABULARY, 0)
    share = np.mean([PRE in document for row in range(100) for document in documents_of(tensors, row)])
    assert share == pytest.approx(0.5, abs=0.1)  # 3.5 standard deviations
    again, _ = FillInTheMiddle().collate(packed(FillInTheMiddle(), rows=100).slice(7, 8), VOCABULARY, 0)
    assert torch.equal(again["input_ids"][0], tensors["input_ids"][7])


@torch.no_grad()
def test_the_loss_is_that_of_transformers():
    built = model("llama", "causal_lm")
    tensors, counts = FillInTheMiddle(fim_rate=1.0).collate(packed(FillInTheMiddle()), VOCABULARY, 0)
    alone = 0.0
    for row in range(4):
        for ids in documents_of(tensors, row):
            alone += built(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.item() * (len(ids) - 1)
    assert FillInTheMiddle().loss(Models(built), tensors)["tokens"][0].item() == pytest.approx(alone, rel=1e-5)
    assert counts["tokens"] == int((tensors["labels"] >= 0).sum())


def test_without_rearranging_it_is_causal_language_modelling():
    batch = packed(CausalLM())
    ours, counts = FillInTheMiddle(fim_rate=0.0).collate(batch, VOCABULARY, 0)
    theirs, expected = CausalLM().collate(batch, VOCABULARY, 0)
    assert counts == expected
    for name, tensor in theirs.items():
        assert torch.equal(ours[name][:, : tensor.shape[1]], tensor), name


def test_missing_sentinels_are_named():
    FillInTheMiddle().check(VOCABULARY)
    with pytest.raises(DataError) as caught:
        FillInTheMiddle(prefix_token="<fim_prefix>").check(replace(VOCABULARY, where="t"))
    assert caught.value.message == (
        "the tokenizer in 't' has no token '<fim_prefix>', which fill_in_the_middle needs; "
        "did you mean '<|fim_prefix|>'?"
    )
    assert caught.value.hint == "tokenize with --set 'tokenizer.special_tokens=[\"<fim_prefix>\"]'"
    with pytest.raises(DataError, match="no EOS token"):
        FillInTheMiddle().check(replace(VOCABULARY, eos=None))
