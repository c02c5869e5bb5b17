from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import transformers

from llmkit.core.errors import DataError
from llmkit.evaluation.engine import Asked, Engine
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Generate, Logits, Score, Written
from llmkit.runtimes._in_memory import InMemory
from llmkit.runtimes.transformers import Transformers
from tiny import byte_tokenizer, model

TOKENIZER = byte_tokenizer()
END = TOKENIZER.eos_token_id


def prompts(*lengths: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(4)
    return [tuple(torch.randint(256, (length,), generator=generator).tolist()) for length in lengths]


def running(arch="llama", *, ends=(END,), **settings):
    return InMemory(model(arch, vocab_size=len(TOKENIZER), **settings), TOKENIZER, ends=ends, where="here")


def plainly(built, prompt, budget, ends):
    """Greedy ids by full forward passes, up to the one that ends them."""
    ids = list(prompt)
    for _ in range(budget):
        with torch.inference_mode():
            newest = int(built(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
        if newest in ends:
            return tuple(ids[len(prompt) :]), True
        ids.append(newest)
    return tuple(ids[len(prompt) :]), False


def test_the_directory_of_a_model_answers_as_transformers_does(chain):
    loaded = Transformers().load(str(chain.base), date="2026-01-31")
    facts = loaded.facts
    assert (facts.answer, facts.positions, facts.start, facts.labels) == ("tokens", 64, 0, ())
    assert facts.versions == {"torch": torch.__version__, "transformers": transformers.__version__}
    reference = transformers.AutoModelForCausalLM.from_pretrained(chain.base, dtype="float32").eval()
    with torch.inference_mode():
        expected = reference(torch.tensor([[5, 6, 7]])).logits[0].numpy()
    (found,) = loaded.answer([Logits((5, 6, 7))])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = Transformers(plain=True).load(str(chain.base))
    assert next(plain.model.parameters()).dtype == transformers.AutoModelForCausalLM.from_pretrained(chain.base).dtype
    np.testing.assert_allclose(plain.answer([Logits((5, 6, 7))])[0], expected, atol=1e-2)


def test_plain_loading_keeps_the_number_format_on_disk(chain, tmp_path):
    loaded = Transformers().load(str(chain.base))
    loaded.model.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded.tokenizer.save_pretrained(tmp_path)
    assert Transformers(plain=True).load(str(tmp_path)).model.dtype == torch.bfloat16
    assert Transformers().load(str(tmp_path)).model.dtype == torch.float32


def test_what_is_no_model_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not a model directory"):
        Transformers().load(str(tmp_path))


def test_what_plain_loading_does_not_load_is_said(chain, tmp_path):
    plain = Transformers(plain=True)
    with pytest.raises(DataError, match="loads neither GGUF files nor adapters") as error:
        plain.load(str(tmp_path))
    assert "without" in error.value.hint
    loaded = Transformers().load(str(chain.base))
    loaded.tokenizer.save_pretrained(tmp_path)
    weights = loaded.model.state_dict()
    weights.pop("model.norm.weight")
    loaded.model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(DataError, match=r"lacks 1 weights of LlamaForCausalLM: model\.norm\.weight"):
        plain.load(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be loaded"):
        plain.load(str(tmp_path))


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "recurrent_gemma"])
def test_logits_of_rows_of_any_length_are_those_of_each_row_alone(arch):
    one = running(arch)
    rows = prompts(3, 8, 3, 1)
    for row, found in zip(rows, one.answer([Logits(row) for row in rows]), strict=True):
        with torch.inference_mode():
            expected = one.model(input_ids=torch.tensor([row]), use_cache=False).logits[0].numpy()
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_encoder_decoder_reads_a_row_on_both_sides_and_writes():
    sizes = {"d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "d_model": 16}
    config = transformers.T5Config(vocab_size=len(TOKENIZER), decoder_start_token_id=0, eos_token_id=END, **sizes)
    torch.manual_seed(0)
    built = transformers.T5ForConditionalGeneration(config).eval()
    one = InMemory(built, TOKENIZER)
    rows = prompts(4, 6, 4)
    found = one.answer([Logits(row) for row in rows])
    written = one.answer([Generate(row, 5) for row in rows])
    for row, logits, new in zip(rows, found, written, strict=True):
        ids = torch.tensor([row])
        with torch.inference_mode():
            expected = built(input_ids=ids, decoder_input_ids=ids, use_cache=False).logits[0]
        np.testing.assert_allclose(logits, expected.numpy(), atol=1e-5)
        output = built.generate(ids, max_new_tokens=5, do_sample=False)[0, 1:].tolist()
        assert list(new.ids) == [i for i in output if i != END]
    assert "is not a causal language model" in one.takes(Score((1,), (2,)))
    assert one.takes(Generate((1,), 2)) is None
    assert one.facts.two_sided
    assert not running().facts.two_sided


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2", "cohere", "granite", "mixtral"])
def test_scores_are_sums_of_the_log_softmax_whatever_the_model_does_with_its_logits(arch):
    one = running(arch, **({"logits_scaling": 3.0} if arch == "granite" else {}))
    asked = [Score(row[:-split], row[-split:]) for row, split in zip(prompts(9, 30, 2, 9), (3, 29, 1, 8), strict=True)]
    expected = []
    for request in asked:
        ids, start = [*request.context, *request.target], len(request.context)
        with torch.inference_mode():
            rows = one.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        expected.append(sum(float(rows[place - 1, ids[place]]) for place in range(start, len(ids))))
    assert one.answer(asked) == pytest.approx(expected, rel=1e-6)
    assert [one.answer([request])[0] for request in asked] == pytest.approx(expected, rel=1e-6)


def test_the_output_layer_runs_at_targets_only():
    one = running()
    rows = []
    one.model.get_output_embeddings().register_forward_hook(lambda *args: rows.append(args[1][0].shape[:-1].numel()))
    one.answer([Score((1,) * 20, (3, 4))])
    rows.clear()  # the first answer also measures the model
    one.answer([Score((1,) * 20, (3, 4)), Score((2,) * 9, (5,))])
    assert rows == [3]


@pytest.mark.parametrize("arch", ["llama", "gpt2", "gemma2"])
def test_a_batch_of_mixed_lengths_writes_what_full_passes_do_row_by_row(arch):
    one = running(arch)
    rows, budgets = prompts(3, 9, 1, 14, 5), (20, 4, 30, 7, 25)
    free = [plainly(one.model, row, budget, ())[0] for row, budget in zip(rows, budgets, strict=True)]
    ends = {free[0][6], free[2][11]}  # some rows end in the middle, at different places
    one.ends = tuple(ends)
    found = one.answer([Generate(row, budget) for row, budget in zip(rows, budgets, strict=True)])
    expected = [plainly(one.model, row, budget, ends) for row, budget in zip(rows, budgets, strict=True)]
    assert [(new.ids, new.ended) for new in found] == expected
    assert any(new.ended for new in found)
    assert [new.text for new in found] == [TOKENIZER.decode(ids, skip_special_tokens=True) for ids, _ in expected]


@pytest.mark.parametrize("refills", [True, False])
def test_rows_that_have_ended_leave_the_batch(refills):
    one = running()
    one.shares_prefixes = refills  # not measured here
    rows = prompts(4, 5, 6, 7)
    sizes = []
    one.model.get_decoder().register_forward_hook(
        lambda *args: sizes.append(args[2]["input_ids"].shape[0]), with_kwargs=True
    )
    one._writes_alike = True  # not measured here
    one.answer([Generate(row, budget) for row, budget in zip(rows, (2, 2, 2, 40), strict=True)])
    assert sizes == [1 if refills else 4, 4] + [1] * 38, "prompts are read as one row, or as four"


def test_the_models_own_penalties_and_samplers_do_not_count():
    one = running()
    (row,) = prompts(6)
    expected = one.answer([Generate(row, 12)])
    one.model.generation_config.repetition_penalty = 5.0
    one.model.generation_config.do_sample = True
    assert one.answer([Generate(row, 12)]) == expected
    assert one.model.generation_config.repetition_penalty == 5.0


def test_exact_writes_the_whole_budget_and_ends_do_not_count():
    one = running()
    (row,) = prompts(6)
    first = one.answer([Generate(row, 8)])[0].ids[2]
    one.ends = (first,)
    assert len(one.answer([Generate(row, 8)])[0].ids) <= 2
    (exact,) = one.answer([Generate(row, 8, exact=True)])
    assert len(exact.ids) == 8
    assert first in exact.ids


def test_a_stop_text_ends_and_is_no_part_of_the_answer():
    one = running(ends=())
    (row,) = prompts(6)
    (free,) = one.answer([Generate(row, 30)])
    stop = free.text[3:5]
    (found,) = one.answer([Generate(row, 30, stop=("never there", stop))])
    assert found.ended
    assert found.text == free.text[: free.text.index(stop)]
    assert len(found.ids) < 30
    assert one.answer([Generate(row, 30, stop=("never there",))]) == [free]


def test_a_stop_text_may_be_a_special_token():
    one = running(ends=())
    prompt, size = prompts(6)[0], 12
    (plain,) = one.answer([Generate(prompt, size, exact=True)])
    place = plain.ids.index(plain.ids[4])  # its first
    one.tokenizer = byte_tokenizer()
    word = one.tokenizer.decode([plain.ids[place]])
    one.tokenizer.add_special_tokens({"additional_special_tokens": [word]})
    whole = one.tokenizer.decode(plain.ids)
    assert word in whole
    (found,) = one.answer([Generate(prompt, size, stop=(word,))])
    assert found.ended
    assert word not in one.tokenizer.decode(found.ids)
    assert found.ids == plain.ids[: len(found.ids)]


def test_other_inputs_are_refused_where_they_would_not_be_read():
    one = running()
    assert one.takes(Score((1,), (2,))) is None
    assert "reads text alone" in (one.takes(Score((1,), (2,), inputs={"pixel_values": np.zeros(3)})) or "")
    assert one.takes(Logits((1,), inputs={"pixel_values": np.zeros(3)})) is None


def test_each_draw_is_its_own_whatever_its_neighbours():
    one = running()
    asked = [Generate(row, 9, temperature=1.5, seed=seed) for seed, row in enumerate(prompts(3, 9, 3))]
    state = torch.get_rng_state()
    together = one.answer([*asked, Generate(asked[0].prompt, 9)])
    assert together[:3] == [one.answer([request])[0] for request in asked]
    assert torch.equal(torch.get_rng_state(), state)
    other = one.answer([Generate(asked[0].prompt, 9, temperature=1.5, seed=77)])[0]
    assert len({together[0].ids, other.ids, together[3].ids}) == 3


def test_numbers_that_are_not_finite_are_told():
    one = running()
    with torch.no_grad():
        one.model.get_input_embeddings().weight[:] = math.nan
    with pytest.raises(NotFiniteError, match=r"^the model in 'here' gives a text the log-likelihood nan$"):
        one.answer([Score((1,), (2,))])
    with pytest.raises(NotFiniteError, match=r"^the model in 'here' gives logits that are NaN or infinite$"):
        one.answer([Generate((1,), 2)])


def test_what_is_in_training_can_be_trained_on():
    built = model(vocab_size=len(TOKENIZER))
    one = InMemory(built, TOKENIZER, ends=[END], trained=True)
    assert isinstance(one.answer([Generate((1, 2, 3), 4)])[0], Written)
    one.answer([Score((1, 2), (3,))])
    built(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss.backward()
    assert all(weight.grad is not None for weight in built.parameters())


def test_the_positions_of_a_request():
    one = running()
    sizes = [one.tokens(request) for request in (Score((1, 2), (3, 4)), Generate((1, 2), 5), Logits((1, 2, 3)))]
    assert sizes == [3, 7, 3]
    assert one.takes(Generate(({"role": "user", "content": "a"},), 5)) == "prompts are ids here, not turns"


def test_each_core_has_a_batch_of_its_own_and_the_scores_are_those_of_one_to_the_bit():
    built, threads = running(), torch.get_num_threads()
    lengths = [1 + 7 * number % 40 for number in range(60)]
    asked = [Asked([Score(ids, (*ids[:3], END))]) for ids in prompts(*lengths)]
    found = []
    try:
        for number in (1, 2, 3):
            torch.set_num_threads(number)
            assert built.lanes(Score) == built.lanes(Logits) == number and built.lanes(Generate) == 1
            assert InMemory(built.model, TOKENIZER, trained=True).lanes(Score) == 1
            found.append(list(Engine(built, batch_tokens=64).ask(asked)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]
