from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from blocks import BOS, CLS, EOS, FIRST, MASK, PAD, SEP, SIZE, VOCABULARY, block, model, packed

from llmkit.core.errors import DataError
from llmkit.data.packing import IGNORED
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary
from llmkit.objectives.documents.masked_lm import MaskedLM


def test_documents_stand_between_cls_and_sep():
    assert MaskedLM().around(VOCABULARY) == ([CLS], [SEP])
    assert MaskedLM().around(replace(VOCABULARY, cls=None, sep=None)) == ([BOS], [EOS])  # RoBERTa's


def test_a_tokenizer_without_mask_is_refused():
    with pytest.raises(DataError) as caught:
        MaskedLM().check(Vocabulary(300, bos=1, eos=2, where="build/tokens"))
    assert caught.value.message == "the tokenizer in 'build/tokens' has no MASK token, which masked_lm needs"
    assert caught.value.hint == "tokenize with -r bert-wordpiece, or with --set 'tokenizer.special_tokens=[\"[MASK]\"]'"
    MaskedLM().check(VOCABULARY)


@pytest.mark.parametrize(("tokens", "fraction", "count"), [(20, 0.15, 3), (10, 0.15, 2), (3, 0.15, 1), (40, 0.5, 20)])
def test_the_number_of_masked_tokens_by_hand(tokens, fraction, count):
    batch = block([[CLS, *[FIRST] * tokens, SEP]], length=50)
    tensors, counts = MaskedLM(mask_fraction=fraction).collate(batch, VOCABULARY, 0)
    labels = tensors["labels"][0]
    assert counts == {"tokens": count}
    assert (labels >= 0).sum() == count
    assert set(labels.tolist()) <= {FIRST, IGNORED}
    assert labels[0] == labels[tokens + 1] == IGNORED  # CLS and SEP
    assert (labels[tokens + 2 :] == IGNORED).all()
    untouched = labels == IGNORED
    assert torch.equal(tensors["input_ids"][0][untouched], torch.from_numpy(batch.input_ids[0])[untouched])


def test_no_ordinary_token_no_target():
    tensors, counts = MaskedLM().collate(block([[CLS, SEP]], length=4), VOCABULARY, 0)
    assert counts == {"tokens": 0}
    assert tensors["input_ids"].tolist() == [[CLS, SEP, PAD, PAD]]
    loss = MaskedLM().loss(Models(model("bert", "masked_lm")), tensors)["tokens"][0]
    assert loss.item() == 0


def test_80_become_mask_10_another_10_stay():
    tokens = np.full((40, 1000), FIRST)
    batch = block(*([row.tolist()] for row in tokens), length=1000)
    tensors, counts = MaskedLM(mask_fraction=0.5).collate(batch, VOCABULARY, 3)
    assert counts == {"tokens": 40 * 500}
    seen = tensors["input_ids"][tensors["labels"] >= 0]
    shares = [(seen == MASK).float().mean(), (seen == FIRST).float().mean()]
    # 10% stay; of the other 10% one in 50 ordinary tokens is the same. Standard deviations: 0.003, 0.002.
    assert shares == pytest.approx([0.8, 0.1 + 0.1 / VOCABULARY.ordinary.size], abs=0.012)
    others = seen[(seen != MASK) & (seen != FIRST)]
    assert set(others.tolist()) <= set(VOCABULARY.ordinary.tolist())
    assert len(set(others.tolist())) == VOCABULARY.ordinary.size - 1


def test_masks_hang_on_seed_and_block_number_alone():
    batch = packed(MaskedLM(), rows=4)
    whole = MaskedLM().collate(batch, VOCABULARY, 5)[0]["labels"]
    parts = [MaskedLM().collate(batch.slice(i, i + 1), VOCABULARY, 5)[0]["labels"] for i in range(4)]
    assert torch.equal(whole, torch.cat(parts))
    later = batch.replace(numbers=batch.numbers + 100)  # the same block in another epoch
    assert not torch.equal(whole, MaskedLM().collate(later, VOCABULARY, 5)[0]["labels"])
    assert not torch.equal(whole, MaskedLM().collate(batch, VOCABULARY, 6)[0]["labels"])


def test_whole_words_are_masked_together():
    starts = np.ones(SIZE, bool)
    starts[20:40] = False  # these go on with a word
    vocabulary = replace(VOCABULARY)
    vocabulary.__dict__["starts_word"] = starts
    words = [[12], [13, 20, 21], [14], [15, 22], [16, 23, 24, 25]]
    document = [CLS, *[token for word in words for token in word], SEP]
    objective = MaskedLM(mask_fraction=0.4, whole_word=True)
    sizes = set()
    for number in range(60):
        batch = block([document], length=16).replace(numbers=np.array([number]))
        labels = objective.collate(batch, vocabulary, 0)[0]["labels"][0]
        found = [token for token in labels.tolist() if token >= 0]
        masked = [word for word in words if word[0] in found]
        assert found == [token for word in masked for token in word]
        assert 0 < len(found) <= 4  # 40% of 11
        sizes.add(len(found))
    assert 4 in sizes


def test_a_word_ends_with_its_document():
    vocabulary = replace(VOCABULARY)
    vocabulary.__dict__["starts_word"] = np.zeros(SIZE, bool)  # without borders each document would be one word
    batch = block([[11, 12], [13, 14]], length=4)
    for number in range(20):
        labels = MaskedLM(mask_fraction=0.5, whole_word=True).collate(
            batch.replace(numbers=np.array([number])), vocabulary, 0
        )[0]["labels"]
        assert labels[0].tolist() in ([11, 12, -100, -100], [-100, -100, 13, 14])


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("arch", ["bert", "roberta", "albert", "modernbert"])
@torch.no_grad()
def test_packed_documents_cost_what_transformers_says_they_cost_alone(arch, attention):
    objective = MaskedLM(mask_fraction=0.4)
    built = model(arch, objective.head, attention)
    batch = packed(objective)
    tensors, counts = objective.collate(batch, VOCABULARY, 1)
    alone = 0.0
    for row in range(4):
        starts = np.flatnonzero(batch.position_ids[row] == 0)
        for start, stop in pairwise(starts):  # the last is the padding
            ids, labels = (tensors[name][row : row + 1, start:stop] for name in ("input_ids", "labels"))
            if (labels >= 0).any():
                alone += built(input_ids=ids, labels=labels).loss.item() * int((labels >= 0).sum())
    total, weight = objective.loss(Models(built), tensors)["tokens"]
    assert (weight, counts["tokens"]) == (1.0, int((tensors["labels"] >= 0).sum()))
    assert total.item() == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("arch", ["bert", "roberta", "albert", "modernbert"])
def test_gradients_are_those_of_transformers(arch):
    objective = MaskedLM(mask_fraction=0.4)
    document = packed(objective, rows=2, documents=1)
    short = int(document.num_tokens.min())
    batch = document.replace(
        **{name: getattr(document, name)[:, :short] for name in ("input_ids", "labels", "position_ids")},
        num_tokens=np.array([short, short]),
    )
    tensors, counts = objective.collate(batch, VOCABULARY, 1)
    ours, theirs = (model(arch, objective.head) for _ in range(2))
    (objective.loss(Models(ours), tensors)["tokens"][0] / counts["tokens"]).backward()
    theirs(input_ids=tensors["input_ids"], labels=tensors["labels"]).loss.backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_logits_are_only_made_for_masked_tokens():
    objective = MaskedLM()
    built = model("bert", objective.head)
    tensors, counts = objective.collate(packed(objective), VOCABULARY, 0)
    seen = []
    transform = built.cls.predictions.transform
    transform.register_forward_hook(lambda *call: seen.append(call[2].shape))
    built.cls.predictions.decoder.register_forward_hook(lambda *call: seen.append(call[2].shape))
    objective.loss(Models(built), tensors)
    assert seen == [(1, counts["tokens"], 16), (1, 1, SIZE)]


def test_a_model_that_does_more_than_its_output_layer_pays_for_its_logits():
    objective = MaskedLM()
    tensors, counts = objective.collate(packed(objective), VOCABULARY, 0)
    built = model("bert", objective.head)
    plain = objective.loss(Models(built), tensors)["tokens"][0]
    scaled = model("bert", objective.head)
    scaled.cls.register_forward_hook(lambda *call: call[2] * 0.0)
    for _ in range(2):  # found out once, known then
        assert objective.loss(Models(scaled), tensors)["tokens"][0].item() == pytest.approx(
            counts["tokens"] * np.log(SIZE)
        )
    assert plain.item() != pytest.approx(counts["tokens"] * np.log(SIZE))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bf16_autocast(attention):
    objective = MaskedLM()
    built = model("bert", objective.head, attention)
    tensors, _ = objective.collate(packed(objective), VOCABULARY, 0)
    exact = objective.loss(Models(built), tensors)["tokens"][0].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective.loss(Models(built), tensors)["tokens"][0]
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.03)
    assert all(torch.isfinite(p.grad).all() for p in built.parameters() if p.grad is not None)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo asks for it
def test_a_compiled_body_gives_the_same_losses():
    objective = MaskedLM()
    plain, compiled = (model("bert", objective.head) for _ in range(2))
    compiled.base_model.compile(backend="aot_eager")
    for seed in range(3):  # other places and numbers of targets: what the first batch had must not be kept
        tensors, _ = objective.collate(packed(objective, rows=2, seed=seed), VOCABULARY, 0)
        expected, found = (objective.loss(Models(built), tensors)["tokens"][0].item() for built in (plain, compiled))
        assert found == pytest.approx(expected, rel=1e-5)
