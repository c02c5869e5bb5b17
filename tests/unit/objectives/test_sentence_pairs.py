from __future__ import annotations

import pytest
import torch
from blocks import CLS, PAD, SEP, VOCABULARY, block, model, texts

from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary
from llmkit.objectives.documents.next_sentence import NextSentence
from llmkit.objectives.documents.sentence_order import SentenceOrder

ARCHITECTURES = [(NextSentence(), "bert", "next_sentence_label"), (SentenceOrder(), "albert", "sentence_order_label")]


def pairs(count=4, length=40):
    made = texts(2 * count)
    rows = [made[2 * i : 2 * i + 2] for i in range(count)]
    return rows, block(*rows, length=length, follows=[i % 2 for i in range(count)])


def unmasked(tensors):
    return torch.where(tensors["labels"] >= 0, tensors["labels"], tensors["input_ids"])


def test_a_pair_by_hand():
    tensors, counts = NextSentence(mask_fraction=0.2).collate(
        block([[11, 12, 13], [14, 15]], length=7, follows=[0]), VOCABULARY, 0
    )
    assert unmasked(tensors).tolist() == [[CLS, 11, 12, 13, SEP, 14, 15, SEP, PAD, PAD]]
    assert tensors["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 0, 0]]
    assert tensors["attention_mask"].tolist() == [[1] * 8 + [0] * 2]
    assert tensors["pair_labels"].tolist() == [1]  # it does not follow
    assert counts == {"tokens": 1, "pairs": 1}
    assert {tensor.dtype for tensor in tensors.values()} == {torch.int64}


def test_what_the_packer_is_told():
    for objective in (NextSentence(), SentenceOrder()):
        assert (objective.layout, objective.head) == ("pair", "pretraining")
        assert objective.raw_length(512) == 509
        assert objective.around(VOCABULARY) == ([], [])
    assert NextSentence.random_second
    assert not SentenceOrder.random_second


def test_next_sentence_labels_say_whether_the_second_part_follows():
    rows, batch = pairs()
    tensors, _ = NextSentence().collate(batch, VOCABULARY, 0)
    assert tensors["pair_labels"].tolist() == [1, 0, 1, 0]
    for row, (first, second) in enumerate(rows):
        expected = [CLS, *first, SEP, *second, SEP]
        assert unmasked(tensors)[row, : len(expected)].tolist() == expected


def test_half_of_the_pairs_are_swapped():
    rows, batch = pairs(200, 45)
    tensors, _ = SentenceOrder().collate(batch, VOCABULARY, 0)
    for row, (first, second) in enumerate(rows):
        swapped = bool(tensors["pair_labels"][row])
        one, two = (second, first) if swapped else (first, second)
        expected = [CLS, *one, SEP, *two, SEP]
        assert unmasked(tensors)[row, : len(expected)].tolist() == expected
        assert tensors["token_type_ids"][row].sum() == len(two) + 1
    assert 75 <= tensors["pair_labels"].sum() <= 125  # 3.5 standard deviations
    again = torch.cat([SentenceOrder().collate(batch.slice(i, i + 1), VOCABULARY, 0)[0]["input_ids"] for i in range(9)])
    assert torch.equal(again, tensors["input_ids"][:9])


@pytest.mark.parametrize(("objective", "arch", "label"), ARCHITECTURES)
def test_the_loss_is_that_of_transformers(objective, arch, label):
    tensors, counts = objective.collate(pairs()[1], VOCABULARY, 0)
    ours, theirs = (model(arch, objective.head) for _ in range(2))
    parts = objective.loss(Models(ours), tensors)
    assert list(parts) == list(counts) == ["tokens", "pairs"]
    loss = sum(weight * total / counts[name] for name, (total, weight) in parts.items())
    names = ("input_ids", "token_type_ids", "attention_mask", "labels")
    expected = theirs(**{name: tensors[name] for name in names}, **{label: tensors["pair_labels"]}).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


@torch.no_grad()
def test_padding_does_not_count():
    batch = pairs()[1]
    built = model("bert", "pretraining")
    short, _ = NextSentence().collate(batch, VOCABULARY, 0)
    longer, _ = NextSentence().collate(block(*pairs()[0], length=60, follows=[0, 1, 0, 1]), VOCABULARY, 0)
    ours, theirs = (NextSentence().loss(Models(built), tensors) for tensors in (short, longer))
    assert {k: v[0].item() for k, v in ours.items()} == pytest.approx({k: v[0].item() for k, v in theirs.items()})


def test_a_model_without_a_head_for_pairs_is_refused():
    tensors, _ = NextSentence().collate(pairs()[1], VOCABULARY, 0)
    with pytest.raises(ConfigError) as caught:
        NextSentence().loss(Models(model("bert", "masked_lm")), tensors)
    assert caught.value.message == "model: bert has no head for pairs of sentences, which next_sentence needs"
    assert caught.value.hint == "use bert or albert"


def test_a_tokenizer_without_pad_is_refused():
    with pytest.raises(DataError, match=r"the tokenizer in 't' has no PAD token, which sentence_order needs"):
        SentenceOrder().check(Vocabulary(50, cls=1, sep=2, mask=3, where="t"))


def test_bf16_autocast():
    built = model("albert", "pretraining")
    tensors, _ = SentenceOrder().collate(pairs()[1], VOCABULARY, 0)
    exact = SentenceOrder().loss(Models(built), tensors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = SentenceOrder().loss(Models(built), tensors)
    for name, (total, _) in rough.items():
        assert total.item() == pytest.approx(exact[name][0].item(), rel=0.05)
    sum(total for total, _ in rough.values()).backward()
