from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, _in_memory, _refilling, _writing
from llmkit.runtimes._in_memory import InMemory
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()


def running(arch="llama", **more):
    built = model(arch, vocab_size=len(TOKENIZER), **more)
    with torch.no_grad():
        for name, weight in built.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight.mul_(10)  # new weights are too small for what is written to depend on more than the last id
    return InMemory(built, TOKENIZER, frozen=True, ends=range(0, len(TOKENIZER), 9))


def requests(count=14, budget=12):
    generator = torch.Generator().manual_seed(5)

    def ids(size):
        return tuple(torch.randint(256, (size,), generator=generator).tolist())

    begin = ids(40)
    prompts = [(*begin, *ids(1 + n % 5)) if n % 2 else ids(3 + 2 * n) for n in range(count)]
    return [Generate(prompt, budget - n % 4) for n, prompt in enumerate(prompts)]


def generated(loaded, asked):
    """What `generate` writes, each alone."""
    with loaded.computing():
        return [_writing.written(loaded, [one])[0] for one in asked]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "mixtral"])
def test_what_is_written_in_changing_company_is_what_generate_writes_alone(arch, monkeypatch):
    loaded, asked = running(arch), requests()
    assert loaded.refills
    wanted = generated(loaded, asked)
    assert {one.ended for one in wanted} == {True, False}, "some end, and some use up their budget"
    monkeypatch.setattr(_in_memory, "BATCH_TOKENS", 200)
    assert loaded.answer(asked) == wanted
    assert loaded.answer(asked[::-1]) == wanted[::-1]
    came = [number for found in loaded.stream(asked) for number, _ in found]
    assert sorted(came) == list(range(len(asked)))
    assert came != sorted(came), "as they end"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 6)), min_size=1, max_size=9), st.integers(1, 120))
def test_any_company_and_any_room_give_the_same(sizes, room):
    loaded = running()
    asked = [Generate(tuple(range(3 * n, 3 * n + length)), budget) for n, (length, budget) in enumerate(sizes)]
    found = dict(one for each in _refilling.Refilling(loaded, asked, room).run() for one in each)
    assert [found[number] for number in range(len(asked))] == generated(loaded, asked)


def test_places_are_filled_again_and_prompts_that_begin_alike_are_read_once():
    loaded = running()
    loaded.ends = ()
    asked = [Generate((*range(40), 41 + n), 4 + n % 3) for n in range(9)]
    assert loaded.refills
    seen = []
    loaded.model.get_decoder().register_forward_hook(
        lambda *args: seen.append(tuple(args[2]["input_ids"].shape)), with_kwargs=True
    )
    list(_refilling.Refilling(loaded, asked, 3 * 47).run())
    prompts = [shape for shape in seen if shape[0] == 1 and shape[1] > 1]
    assert prompts[0] == (1, 40 + 3)
    assert sum(shape[1] for shape in seen if shape not in prompts and shape[0] > 3) == 0
    assert sum(shape[1] for shape in seen if shape[0] == 1) < 40 + 9 + 20, "the beginning is kept"


def test_stop_texts_draws_and_exact_lengths_are_those_of_generate():
    loaded = running()
    plain = [Generate((5, 6, 7 + n), 20) for n in range(6)]
    texts = [one.text for one in generated(loaded, [dataclasses.replace(one, exact=True) for one in plain])]
    asked = [dataclasses.replace(one, stop=(text[3:5],)) for one, text in zip(plain, texts, strict=True)]
    asked += [dataclasses.replace(one, temperature=0.9, seed=n) for n, one in enumerate(plain)]
    asked += [dataclasses.replace(one, exact=True) for one in plain]
    assert loaded.answer(asked) == generated(loaded, asked)


def test_logits_that_are_no_numbers_are_an_error():
    loaded = running()
    assert loaded.refills
    with torch.no_grad():
        loaded.model.get_output_embeddings().weight.fill_(torch.nan)
    with pytest.raises(NotFiniteError, match="gives logits that are NaN or infinite"):
        loaded.answer(requests(3))


@pytest.mark.parametrize("arch", ["mamba", "gemma2"])
def test_models_of_other_caches_write_as_before(arch):
    more = {"sliding_window": 8, "head_dim": 8} if arch == "gemma2" else {}
    built = model(arch, vocab_size=len(TOKENIZER), **more)
    loaded = InMemory(built, TOKENIZER, frozen=True)
    assert not loaded.refills
    asked = requests(3, budget=3)
    assert [one.ids for one in loaded.answer(asked)] == [one.ids for one in generated(loaded, asked)]
