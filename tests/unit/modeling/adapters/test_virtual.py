"""Prompt and prefix tuning: what peft computes, in training, in generation, and beside rows of other lengths."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from llmkit.core.adapter import base_digest
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.adapted import check_merges
from llmkit.modeling.adapters import Base
from llmkit.modeling.adapters.prefix import Prefix
from llmkit.modeling.adapters.prompt import Prompt
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import load_model
from small_models import IDS, PEFT_OWN, logits, made, stirred, trained_names

KINDS = [Prompt(tokens=3), Prefix(tokens=3)]


def wrapped(name, adapter):
    model = made(name)
    adapter.wrap(model, head_of(model.config))
    return stirred(model)


@pytest.fixture
def saved(tmp_path):
    def save(name, adapter) -> tuple[Path, torch.Tensor]:
        base, folder = tmp_path / "base", tmp_path / "adapter"
        model = made(name)
        model.save_pretrained(base)
        adapter.wrap(model, head_of(model.config))
        adapter.save(folder, stirred(model), Base(str(base), base_digest(base)))
        return folder, logits(model)

    return save


@pytest.mark.parametrize(("name", "adapter"), [
    ("tied", KINDS[0]), ("untied", KINDS[1]), ("conv1d", KINDS[0]), ("conv1d", KINDS[1]), ("encoder", KINDS[0]),
    ("labels", KINDS[0]), ("decoder labels", KINDS[0]), ("decoder labels", KINDS[1]), ("recurrent", KINDS[0]),
])  # fmt: skip
def test_what_is_loaded_answers_as_what_was_trained(saved, name, adapter):
    folder, wanted = saved(name, adapter)
    loaded = load_model(folder)
    assert type(loaded) is type(made(name))
    assert wanted.shape == logits(made(name)).shape, "the rows' own positions, and no others"
    torch.testing.assert_close(logits(loaded), wanted, atol=1e-6, rtol=0)
    assert (wanted - logits(load_model(folder.parent / "base"))).abs().max() > 1e-3
    with pytest.raises(ConfigError, match="cannot be merged"):
        check_merges(folder)


@PEFT_OWN
@pytest.mark.parametrize("name", ["tied", "untied", "conv1d"])
def test_peft_computes_the_same_with_virtual_tokens(saved, name):
    from peft import PeftModel

    folder, wanted = saved(name, KINDS[0])
    model = PeftModel.from_pretrained(made(name), folder).eval()
    with torch.no_grad():
        theirs = model(input_ids=IDS).logits[:, 3:]
    torch.testing.assert_close(wanted, theirs, atol=1e-5, rtol=0)


@PEFT_OWN
@pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")  # by which peft names the cache
@pytest.mark.parametrize("name", ["untied", "conv1d"])
def test_peft_computes_the_same_with_a_prefix(saved, name):
    from peft import PeftModel

    folder, wanted = saved(name, KINDS[1])
    model = PeftModel.from_pretrained(made(name), folder).eval()
    with torch.no_grad():
        theirs = model(input_ids=IDS).logits
    torch.testing.assert_close(wanted, theirs, atol=1e-5, rtol=0)


def test_a_prompt_is_what_tokens_of_its_embeddings_would_be():
    model = made("tied")
    adapter = Prompt(tokens=3)
    adapter.wrap(model, head_of(model.config), seed=1)
    table = model.get_input_embeddings().weight
    vectors = model.virtual_tokens.weight
    before = [int((table == vector).all(1).nonzero()) for vector in vectors]
    whole = torch.cat([torch.tensor([before, before]), IDS], 1)
    with torch.no_grad():
        wanted = made("tied")(input_ids=whole).logits[:, 3:]
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)


def test_a_prefix_of_cached_tokens_is_those_tokens():
    """Keys and values that tokens leave in a cache are a prefix as if they stood there."""
    model = made("untied")
    before = torch.tensor([[4, 9, 2]])
    with torch.no_grad():
        cache = model(input_ids=before, use_cache=True).cache
        wanted = made("untied")(input_ids=torch.cat([before.expand(2, -1), IDS], 1)).logits[:, 3:]
    adapter = Prefix(tokens=3)
    adapter.wrap(model, head_of(model.config))
    both = [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]  # [2, heads, tokens, size]
    with torch.no_grad():
        model.virtual_tokens.weight.copy_(torch.stack(both).permute(3, 0, 1, 2, 4).reshape(3, -1))
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("adapter", KINDS, ids=lambda adapter: adapter.type_name)
def test_generation_goes_on_as_without_a_cache_and_beside_padding(adapter):
    model = wrapped("untied", adapter)
    rows = IDS[:, :6]
    settings = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
    with torch.no_grad():
        cached = model.generate(rows, **settings)
        plain = rows
        for _ in range(5):
            plain = torch.cat([plain, model(input_ids=plain, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), rows], 1)
        mask = (torch.arange(9) >= 3).long().expand(2, -1)
        beside = model.generate(padded, attention_mask=mask, **settings)
    assert torch.equal(cached, plain)
    assert torch.equal(beside[:, 9:], plain[:, 6:])


@pytest.mark.parametrize(("name", "adapter"), [("labels", KINDS[0]), ("decoder labels", KINDS[0]),
                                               ("decoder labels", KINDS[1]), ("tied", KINDS[1])])  # fmt: skip
def test_padding_behind_a_row_changes_nothing(name, adapter):
    model = wrapped(name, adapter)
    with torch.no_grad():
        alone = model(input_ids=IDS[:1, :7], attention_mask=torch.ones(1, 7, dtype=torch.long)).logits
        ids = torch.cat([IDS[:1, :7], torch.zeros(1, 3, dtype=torch.long)], 1)
        beside = model(input_ids=ids, attention_mask=(torch.arange(10) < 7).long()[None]).logits
    torch.testing.assert_close(beside[:, :7] if beside.ndim == 3 else beside, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("adapter", KINDS, ids=lambda adapter: adapter.type_name)
def test_vectors_alone_are_trained_and_counted_by_hand(adapter):
    model = made("untied")
    adapter.wrap(model, head_of(model.config))
    assert trained_names(model) == {"virtual_tokens.weight"}
    targets = adapter.describe(model)
    # 3 vectors of 16; or for 3 tokens keys and values of one head of 8 in 2 layers.
    assert targets.trained == (3 * 16 if adapter.type_name == "prompt" else 3 * 2 * 2 * 8)
    assert targets.total == sum(p.numel() for p in made("untied").parameters())
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert model.virtual_tokens.weight.grad.abs().sum() > 0
    changed = logits(model)
    with adapter.off(model):
        assert torch.equal(logits(model), logits(made("untied")))
    assert torch.equal(logits(model), changed)


def test_a_new_head_is_trained_whole_and_saved(saved):
    folder, wanted = saved("labels", Prompt(tokens=2))
    model = made("labels")
    Prompt(tokens=2).wrap(model, head_of(model.config))
    assert {name.split(".")[0] for name in trained_names(model)} == {"virtual_tokens", "classifier", "bert"}
    torch.testing.assert_close(logits(load_model(folder)), wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "adapter", "words"), [
    ("encoder", Prefix(), "a BertForMaskedLM does not"),
    ("recurrent", Prefix(), "a MambaForCausalLM does not"),
])  # fmt: skip
def test_what_has_no_cache_of_all_keys_takes_no_prefix(name, adapter, words):
    model = made(name)
    with pytest.raises(ConfigError, match=words):
        adapter.wrap(model, head_of(model.config))


def test_vectors_of_another_base_are_refused(saved, tmp_path):
    folder, _ = saved("tied", Prompt(tokens=2))
    with pytest.raises(DataError, match="is not of this base"):
        Prompt().load(made("conv1d").__class__(made("conv1d").config.__class__(n_embd=32, n_head=2, n_layer=1)), folder)


def test_positions_are_left_for_the_virtual_tokens():
    from llmkit.modeling.architecture import position_limit

    model = made("conv1d")
    assert position_limit(model.config) == 32
    Prompt(tokens=3).wrap(model, head_of(model.config))
    assert position_limit(model.config) == 29
