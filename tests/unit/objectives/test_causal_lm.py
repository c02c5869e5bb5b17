from __future__ import annotations

import math

import pytest
import torch
from blocks import VOCABULARY

from llmkit.core.errors import DataError
from llmkit.data.packing import IGNORED, StreamPacker
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary, vocabulary_of
from llmkit.objectives.documents.causal_lm import CausalLM
from tiny import VOCABULARY as IDS
from tiny import InMemory, byte_tokenizer, documents, model, stream


def test_documents_stand_between_bos_and_eos():
    assert CausalLM().around(Vocabulary(10, bos=5, eos=7, pad=9)) == ([5], [7])
    assert CausalLM().around(Vocabulary(10, bos=5)) == ([5], [])
    tokenizer = byte_tokenizer()
    prefix, suffix = CausalLM().around(vocabulary_of(tokenizer))
    assert tokenizer.convert_ids_to_tokens([*prefix, *suffix]) == ["<|bos|>", "<|eos|>"]
    tokenizer.bos_token = None  # what GPT-2's tokenizers do: the end of one document is the start of the next
    assert CausalLM().around(vocabulary_of(tokenizer)) == (suffix, suffix)


def test_a_tokenizer_without_a_start_is_refused():
    CausalLM().check(VOCABULARY)
    with pytest.raises(DataError, match="the tokenizer in 't' has no BOS token, which causal_lm needs"):
        CausalLM().check(Vocabulary(10, where="t"))


def test_blocks_are_as_long_as_the_context():
    assert CausalLM().raw_length(512) == 512
    assert CausalLM.packings == ("stream", "best_fit", "pad")
    assert CausalLM.scores_text


@torch.no_grad()
def test_the_loss_is_that_of_transformers():
    built = model()
    tensors, counts = CausalLM().collate(stream().blocks(0, range(6)), VOCABULARY, 0)
    # Its loss shifts labels itself: a first column that it drops stands for what is shifted already.
    labels = torch.cat([torch.full((6, 1), IGNORED), tensors["labels"]], 1)[:, :-1]
    logits = built(input_ids=tensors["input_ids"], position_ids=tensors["position_ids"], use_cache=False).logits
    expected = built.loss_function(logits, labels, vocab_size=IDS) * int((labels[:, 1:] >= 0).sum())
    last = torch.nn.functional.cross_entropy(logits[:, -1], tensors["labels"][:, -1], reduction="sum")
    total = CausalLM().loss(Models(built), tensors)["tokens"][0].item()
    assert total == pytest.approx((expected + last).item(), rel=1e-5)
    assert counts["tokens"] > 60


def test_a_batch_and_its_count_by_hand():
    packer = StreamPacker(InMemory([[7, 8, 9], [5], [3]]), 4, prefix=[1], suffix=[2], seed=None)
    tensors, counts = CausalLM().collate(packer.blocks(0, [0, 1, 2]), VOCABULARY, 0)
    assert list(tensors) == ["input_ids", "labels", "position_ids"]
    assert tensors["input_ids"].tolist() == [[1, 7, 8, 9], [2, 1, 5, 2], [1, 3, 2, 0]]
    assert tensors["labels"].tolist() == [[7, 8, 9, 2], [IGNORED, 5, 2, IGNORED], [3, 2, IGNORED, IGNORED]]
    assert tensors["position_ids"].tolist() == [[0, 1, 2, 3], [0, 0, 1, 2], [0, 1, 2, 0]]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.int64}
    assert counts == {"tokens": 8}


def test_the_loss_is_summed_over_the_targets():
    uniform = model(tie_word_embeddings=False)
    torch.nn.init.zeros_(uniform.lm_head.weight)
    tensors, counts = CausalLM().collate(stream().blocks(0, [0, 1]), VOCABULARY, 0)
    parts = CausalLM().loss(Models(uniform), tensors)
    total, weight = parts["tokens"]
    assert list(parts) == list(counts)
    assert weight == 1
    assert total.item() == pytest.approx(counts["tokens"] * math.log(IDS), rel=1e-6)


@torch.no_grad()
def test_packed_documents_cost_what_they_cost_alone():
    built = model().eval()
    texts = [[0, *document, 1] for document in documents(20)]
    alone = 0.0
    for ids in texts:
        logits = built(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0]
        alone += torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
    packer = StreamPacker(InMemory(documents(20)), 400, prefix=[0], suffix=[1], seed=4)
    assert packer.num_blocks(0) == 1
    tensors, counts = CausalLM().collate(packer.blocks(0, [0]), VOCABULARY, 0)
    assert counts["tokens"] == sum(len(ids) - 1 for ids in texts)
    assert CausalLM().loss(Models(built), tensors)["tokens"][0].item() == pytest.approx(alone, rel=1e-5)


def test_z_loss_is_a_part_of_its_own_whose_gradient_comes_with_the_tokens():
    objective = CausalLM(z_loss=0.1)
    tensors, counts = objective.collate(stream().blocks(0, range(4)), VOCABULARY, 0)
    ours, theirs = model().train(), model()
    parts = objective.loss(Models(ours), tensors)
    assert counts == {"tokens": counts["tokens"], "z": counts["tokens"]}
    inputs = {name: tensors[name] for name in ("input_ids", "position_ids")}
    logits = theirs(**inputs, use_cache=False).logits.flatten(0, 1)
    labels = tensors["labels"].flatten()
    entropy = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
    squares = logits[labels >= 0].logsumexp(-1).square().sum()
    assert {name: total.item() for name, (total, _) in parts.items()} == pytest.approx(
        {"tokens": entropy.item(), "z": squares.item()}, rel=1e-5
    )
    assert [weight for _, weight in parts.values()] == [1.0, 0.1]
    assert objective.loss(Models(ours.eval()), tensors)["z"][1] == 0  # validation compares cross-entropies
    sum(weight * total for total, weight in parts.values()).backward()
    (entropy + 0.1 * squares).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-5)
