from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from blocks import EOS, PAD, SENTINELS, SIZE, VOCABULARY, block, model, packed, texts
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.companions import Models
from llmkit.modeling.vocabulary import Vocabulary
from llmkit.objectives.documents.span_corruption import SpanCorruption

FIRST_SENTINEL = SENTINELS["<extra_id_0>"]


@pytest.mark.parametrize(
    ("context", "settings", "raw", "targets"),
    [
        (512, {}, 568, 114),  # the paper's, and what T5's compute_input_and_target_lengths gives
        (1024, {}, 1137, 229),
        (512, {"noise_density": 0.5, "mean_span": 3.0}, 766, 512),
    ],
)
def test_lengths_as_in_the_paper(context, settings, raw, targets):
    objective = SpanCorruption(**settings)
    assert objective.raw_length(context) == raw
    assert objective.lengths(raw)[0] <= context
    assert objective.lengths(raw)[1] == targets


def reference_lengths(inputs_length, noise_density, mean_span):
    """T5's function, as its authors wrote it."""

    def helper(tokens):
        noise = round(tokens * noise_density)
        spans = round(noise / mean_span)
        return tokens - noise + spans + 1, noise + spans + 1

    tokens = inputs_length
    while helper(tokens + 1)[0] <= inputs_length:
        tokens += 1
    inputs, targets = helper(tokens)
    if noise_density == 0.5 and targets > inputs:
        tokens -= 1
        targets -= 1
    return tokens, targets


@pytest.mark.parametrize("context", [32, 100, 128, 256, 512, 1000])
@pytest.mark.parametrize(("density", "span"), [(0.15, 3.0), (0.15, 8.0), (0.3, 3.0), (0.5, 3.0)])
def test_lengths_are_those_of_t5(context, density, span):
    objective = SpanCorruption(noise_density=density, mean_span=span)
    raw, targets = reference_lengths(context, density, span)
    assert objective.raw_length(context) == raw
    if density != 0.5:
        assert objective.lengths(raw)[1] == targets


def split(ids):
    """Pieces between sentinels: (sentinel or None, tokens)."""
    found = [(None, [])]
    for token in ids:
        if token in SENTINELS.values():
            found.append((token, []))
        else:
            found[-1][1].append(token)
    return found


def restored(inputs, targets):
    """The text that inputs and targets are made of."""
    replaced = dict(split(targets))
    text = []
    for sentinel, tokens in split(inputs):
        text += replaced.get(sentinel, []) + tokens
    return text


def test_a_document_by_hand():
    document = list(range(11, 31))  # 20 tokens: 3 are noise, in one span
    starts = set()
    for number in range(200):
        batch = block([document], length=20).replace(numbers=np.array([number]))
        tensors, counts = SpanCorruption().collate(batch, VOCABULARY, 0)
        inputs, targets = tensors["input_ids"][0].tolist(), tensors["labels"][0].tolist()
        start = inputs.index(FIRST_SENTINEL)
        assert inputs == [*document[:start], FIRST_SENTINEL, *document[start + 3 :], EOS]
        assert targets == [FIRST_SENTINEL, *document[start : start + 3], EOS]
        starts.add(start)
    assert starts == set(range(18))  # anywhere, the first and the last token included
    assert counts == {"tokens": 5}
    assert tensors["positions"].tolist() == [list(range(19))]
    assert tensors["target_positions"].tolist() == [list(range(5))]


def test_nothing_is_lost_and_sentinels_go_up():
    objective = SpanCorruption(noise_density=0.3, mean_span=2.0)
    batch = packed(objective, rows=20)
    tensors, _ = objective.collate(batch, VOCABULARY, 0)
    for row in range(20):
        text = batch.input_ids[row, : batch.num_tokens[row]].tolist()
        sources = documents_of(tensors["input_ids"][row], tensors["positions"][row])
        goals = documents_of(tensors["labels"][row], tensors["target_positions"][row])
        assert [*chain(*(restored(a[:-1], b[:-1]) for a, b in zip(sources, goals, strict=False)))] == text
        for source, goal in zip(sources[:3], goals[:3], strict=True):
            assert source[-1] == goal[-1] == EOS
            order = [s for s, _ in split(source) if s is not None]
            assert order == [FIRST_SENTINEL - i for i in range(len(order))]  # each document from 0
            assert [s for s, _ in split(goal[:-1])[1:]] == order
            assert all(tokens for _, tokens in split(goal[:-1])[1:])
            noise = sum(len(tokens) for _, tokens in split(goal[:-1]))
            length = len(source) - 1 + noise - len(order)
            assert (noise, len(order)) == objective._counts(length)


def documents_of(ids, positions):
    starts = np.flatnonzero(positions.numpy() == 0)
    return [
        ids[a:b].tolist() for a, b in zip(starts, [*starts[1:], len(ids)], strict=True) if ids[a] not in (PAD, -100)
    ]


def test_spans_hang_on_seed_and_block_number_alone():
    batch = packed(SpanCorruption(), rows=4)
    whole, _ = SpanCorruption().collate(batch, VOCABULARY, 5)
    part, _ = SpanCorruption().collate(batch.slice(2, 3), VOCABULARY, 5)
    assert torch.equal(part["input_ids"][0], whole["input_ids"][2])
    later, _ = SpanCorruption().collate(batch.replace(numbers=batch.numbers + 9), VOCABULARY, 5)
    assert not torch.equal(later["input_ids"], whole["input_ids"])


def test_many_short_documents_take_more_room():
    batch = block([[11], [12, 12], [13, 13], [14, 14]], length=7)
    tensors, counts = SpanCorruption().collate(batch, VOCABULARY, 0)
    assert tensors["input_ids"].shape == (1, 16)  # 7 tokens in one document need 8, these need 11
    sources = documents_of(tensors["input_ids"][0], tensors["positions"][0])
    assert [sorted(source) for source in sources] == [
        sorted(text) for text in ([11, EOS], *([token, FIRST_SENTINEL, EOS] for token in (12, 13, 14)))
    ]
    s = FIRST_SENTINEL
    assert tensors["labels"][0, :10].tolist() == [EOS, s, 12, EOS, s, 13, EOS, s, 14, EOS]
    assert counts == {"tokens": 10}


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("scaled", [True, False])
@torch.no_grad()
def test_packed_documents_cost_what_transformers_says_they_cost_alone(attention, scaled):
    objective = SpanCorruption(noise_density=0.3)
    # T5 scales what the output layer gets where its weights are the embedding's; T5 1.1 does neither.
    built = model("t5", objective.head, attention, scale_decoder_outputs=scaled, tie_word_embeddings=scaled)
    tensors, counts = objective.collate(packed(objective), VOCABULARY, 1)
    alone = 0.0
    for row in range(4):
        sources = documents_of(tensors["input_ids"][row], tensors["positions"][row])
        goals = documents_of(tensors["labels"][row], tensors["target_positions"][row])
        for source, goal in zip(sources, goals, strict=True):
            loss = built(input_ids=torch.tensor([source]), labels=torch.tensor([goal])).loss
            alone += loss.item() * len(goal)
    assert objective.loss(Models(built), tensors)["tokens"][0].item() == pytest.approx(alone, rel=1e-5)
    assert counts["tokens"] == int((tensors["labels"] >= 0).sum())


@pytest.mark.parametrize("scaled", [True, False])
def test_gradients_are_those_of_transformers(scaled):
    objective = SpanCorruption(noise_density=0.3)
    document = [token for text in texts(4) for token in text][:30]
    tensors, counts = objective.collate(block([document], length=30), VOCABULARY, 0)
    settings = {"scale_decoder_outputs": scaled, "tie_word_embeddings": scaled}
    ours, theirs = (model("t5", objective.head, **settings) for _ in range(2))
    (objective.loss(Models(ours), tensors)["tokens"][0] / counts["tokens"]).backward()
    theirs(input_ids=tensors["input_ids"], labels=tensors["labels"]).loss.backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_missing_sentinels_are_named():
    with pytest.raises(DataError) as caught:
        SpanCorruption().check(Vocabulary(300, eos=1, pad=0, where="build/tokens"))
    assert caught.value.message == (
        "the tokenizer in 'build/tokens' has no token '<extra_id_0>', and span_corruption needs 1 sentinels"
        " from <extra_id_0> on"
    )
    assert caught.value.hint == (
        "tokenize with -r t5-unigram and --set tokenizer.sentinels=100, or raise objective.mean_span"
    )
    long = block([list(np.arange(300) % 40 + 11)], length=300)  # 45 tokens of noise: 15 spans
    with pytest.raises(DataError, match=r"no token '<extra_id_10>', and span_corruption needs 15 sentinels"):
        SpanCorruption().collate(long, VOCABULARY, 0)


def test_too_few_sentinels_for_the_longest_document_are_told_before_training():
    objective, built = SpanCorruption(), model("t5", SpanCorruption.head)
    objective.check_blocks(built, VOCABULARY, context_length=180, packing="stream")  # 30 tokens of noise: 10 spans
    with pytest.raises(DataError, match=r"no token '<extra_id_10>', and span_corruption needs 11 sentinels"):
        objective.check_blocks(built, VOCABULARY, context_length=200, packing="stream")
    SpanCorruption(mean_span=4).check_blocks(built, VOCABULARY, context_length=200, packing="stream")


def test_learned_positions_are_refused_where_documents_share_a_block():
    bart = AutoConfig.for_model(
        "bart", vocab_size=SIZE, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, pad_token_id=PAD,
    )  # fmt: skip
    built = AutoModelForSeq2SeqLM.from_config(bart)
    SpanCorruption().check_blocks(built, VOCABULARY, context_length=64, packing="pad")
    with pytest.raises(ConfigError, match="bart numbers positions through the whole block") as caught:
        SpanCorruption().check_blocks(built, VOCABULARY, context_length=64, packing="best_fit")
    assert "--set packing=pad" in caught.value.hint


def test_an_encoder_without_masks_of_documents_is_refused():
    settings = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_experts": 2}
    config = AutoConfig.for_model("switch_transformers", vocab_size=SIZE, pad_token_id=PAD, **settings)
    built = AutoModelForSeq2SeqLM.from_config(config)
    for packing in ("stream", "pad"):
        with pytest.raises(ConfigError, match="the encoder of switch_transformers takes no mask of documents"):
            SpanCorruption().check_blocks(built, VOCABULARY, context_length=64, packing=packing)


def test_bf16_autocast():
    objective = SpanCorruption()
    built = model("t5", objective.head)
    tensors, _ = objective.collate(packed(objective), VOCABULARY, 0)
    exact = objective.loss(Models(built), tensors)["tokens"][0].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = objective.loss(Models(built), tensors)["tokens"][0]
    loss.backward()
    assert loss.item() == pytest.approx(exact, rel=0.03)
    assert objective.around(VOCABULARY) == ([], [])
