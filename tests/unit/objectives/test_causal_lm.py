from __future__ import annotations

import math

import pytest
import torch

from llmkit.data.packing import IGNORED, StreamPacker
from llmkit.modeling.tokenizer import SpecialIds, special_ids
from llmkit.objectives.causal_lm import CausalLM
from tiny import VOCABULARY, InMemory, byte_tokenizer, documents, model, stream


def test_documents_stand_between_bos_and_eos():
    assert CausalLM().specials(SpecialIds(bos=5, eos=7, pad=9)) == ([5], [7])
    assert CausalLM().specials(SpecialIds(bos=5, eos=None, pad=None)) == ([5], [])
    tokenizer = byte_tokenizer()
    ids = special_ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens([*CausalLM().specials(ids)[0], *CausalLM().specials(ids)[1]]) == [
        "<|bos|>",
        "<|eos|>",
    ]
    tokenizer.bos_token = None  # what GPT-2's tokenizers do: the end of one document is the start of the next
    assert CausalLM().specials(special_ids(tokenizer)) == ([ids.eos], [ids.eos])


def test_a_batch_and_its_count_by_hand():
    packer = StreamPacker(InMemory([[7, 8, 9], [5], [3]]), 4, prefix=[1], suffix=[2], seed=None)
    tensors, counts = CausalLM().collate(packer.blocks(0, [0, 1, 2]))
    assert list(tensors) == ["input_ids", "labels", "position_ids"]
    assert tensors["input_ids"].tolist() == [[1, 7, 8, 9], [2, 1, 5, 2], [1, 3, 2, 0]]
    assert tensors["labels"].tolist() == [[7, 8, 9, 2], [IGNORED, 5, 2, IGNORED], [3, 2, IGNORED, IGNORED]]
    assert tensors["position_ids"].tolist() == [[0, 1, 2, 3], [0, 0, 1, 2], [0, 1, 2, 0]]
    assert {tensor.dtype for tensor in tensors.values()} == {torch.int64}
    assert counts == {"tokens": 8}


def test_the_loss_is_summed_over_the_targets():
    uniform = model(tie_word_embeddings=False)
    torch.nn.init.zeros_(uniform.lm_head.weight)
    tensors, counts = CausalLM().collate(stream().blocks(0, [0, 1]))
    parts = CausalLM().loss(uniform, tensors)
    total, weight = parts["tokens"]
    assert list(parts) == list(counts)
    assert weight == 1
    assert total.item() == pytest.approx(counts["tokens"] * math.log(VOCABULARY), rel=1e-6)


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
    tensors, counts = CausalLM().collate(packer.blocks(0, [0]))
    assert counts["tokens"] == sum(len(ids) - 1 for ids in texts)
    assert CausalLM().loss(built, tensors)["tokens"][0].item() == pytest.approx(alone, rel=1e-5)
