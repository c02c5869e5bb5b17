"""How the times of a model become scores: by a clock that is moved by hand."""

from __future__ import annotations

from mmap import mmap

import pytest

from llmkit.core import peak
from llmkit.core.errors import ConfigError
from llmkit.runtimes import Facts, Running, Written
from llmkit.tasks import efficiency
from llmkit.tasks.efficiency import Efficiency
from tiny import byte_tokenizer

FULL = 8
"""Rows of a batch that the machine below has no memory for."""


class Clockwork(Running):
    """Takes 10 ms to read a token of a prompt, whatever the batch, and 2 s to write one behind the first."""

    def __init__(self, positions=512):
        self.facts, self.tokenizer = Facts(answer="tokens", positions=positions), byte_tokenizer()
        self.now, self.asked = 0.0, []

    def answer(self, requests):
        if len(requests) >= FULL:
            raise MemoryError
        self.asked.append([(one.prompt, one.budget, one.exact) for one in requests])
        self.now += 0.01 * len(requests[0].prompt) + 2 * (requests[0].budget - 1)
        return [Written((0,) * one.budget, "", ended=False) for one in requests]

    def conditions(self):
        return {"device": "clockwork"}

    def peak_bytes(self):
        return 3 << 20


@pytest.fixture
def model(monkeypatch):
    found = Clockwork()
    monkeypatch.setattr(efficiency, "perf_counter", lambda: found.now)
    return found


def test_by_hand(model):
    task = Efficiency(batch_sizes=[4, 1], prompt_tokens=100, new_tokens=5, repeats=2)
    measured = task.on(model)
    samples = measured.run()
    result = measured.summary(samples)
    assert result.scores == pytest.approx({
        "decode_tokens_per_s[batch=1]": 0.5, "decode_tokens_per_s[batch=4]": 2.0,
        "prefill_tokens_per_s[batch=1]": 100.0, "prefill_tokens_per_s[batch=4]": 400.0,
        "time_to_first_token_s[batch=1]": 1.0, "time_to_first_token_s[batch=4]": 1.0,
        "peak_memory_mib[batch=1]": 3.0, "peak_memory_mib[batch=4]": 3.0,
    })  # fmt: skip
    assert [len(batch) for batch in model.asked] == [1] * 5 + [4] * 5  # one that is not timed, and two by two
    assert [batch[0][1] for batch in model.asked[:5]] == [5, 1, 5, 1, 5]
    assert all(exact for batch in model.asked for _, _, exact in batch)
    prompts = {prompt for batch in model.asked[5:] for prompt, _, _ in batch}
    assert len(prompts) == 4
    assert not set(model.tokenizer.all_special_ids) & {token for prompt in prompts for token in prompt}
    assert result.facts == {"prompt_tokens": 100, "new_tokens": 5, "repeats": 2, "device": "clockwork"}
    assert (result.notes, result.measures, task.measures(samples)) == ([], {}, {})
    decoding, prefill = task.figures(samples)
    assert (decoding.title, decoding.lines["tokens/s"].x) == ("Decoding", [1, 4])
    assert prefill.lines["tokens/s"].y == pytest.approx([100, 400])


def test_what_does_not_fit_into_memory_is_left_out(model):
    measured = Efficiency(batch_sizes=[2, FULL, 2 * FULL], prompt_tokens=10, new_tokens=2).on(model)
    result = measured.summary(measured.run())
    assert result.num_samples == 1
    assert result.notes == [f"from {FULL} rows on a batch does not fit into memory"]
    with pytest.raises(MemoryError):
        Efficiency(batch_sizes=[FULL], prompt_tokens=10, new_tokens=2).on(model).run()


def test_times_that_differ_are_said(model, monkeypatch):
    slow = iter((1.0, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0))
    answer = Clockwork.answer

    def uneven(self, requests):
        before = self.now
        found = answer(self, requests)
        self.now = before + (self.now - before) * next(slow)
        return found

    monkeypatch.setattr(Clockwork, "answer", uneven)
    measured = Efficiency(batch_sizes=[1], prompt_tokens=100, new_tokens=2).on(model)
    assert measured.summary(measured.run()).notes == [
        "times of one batch size differ by 50%: other work ran beside this one"
    ]


def test_a_model_too_fast_for_the_clock_has_no_figure_for_decoding(model, monkeypatch):
    def constant(self, requests):
        self.now += 1.0
        return []

    monkeypatch.setattr(Clockwork, "answer", constant)
    measured = Efficiency(batch_sizes=[1], prompt_tokens=8, new_tokens=2).on(model)
    samples = measured.run()
    assert samples[0]["decode_tokens_per_s"] is None
    assert not [name for name in measured.summary(samples).scores if name.startswith("decode")]
    assert Efficiency().figures(samples)[0].lines["tokens/s"].x == []


@pytest.mark.parametrize(("fields", "message"), [
    ({"batch_sizes": [0]}, "batch_sizes: each is a number of rows"),
    ({"batch_sizes": [2, 2]}, "batch_sizes: each is a number of rows, from 1, and is there once"),
    ({"prompt_tokens": 500, "new_tokens": 13}, "500 and 13 new tokens do not fit into the 512 positions"),
])  # fmt: skip
def test_fields_that_cannot_be(model, fields, message):
    with pytest.raises(ConfigError, match=message):
        Efficiency(**fields).on(model)


def test_the_peak_is_of_what_was_held_since_the_last_call():
    if peak.peak_bytes() is None:
        pytest.skip("this machine has no /proc/self/clear_refs: it is not Linux")
    before = peak.peak_bytes()
    with mmap(-1, 64 << 20) as held:  # given back at once, which an allocator need not do
        held.write(b"x" * (64 << 20))
    highest = peak.peak_bytes()
    assert highest > before + (60 << 20)
    assert peak.peak_bytes() < highest - (60 << 20)


def test_no_peak_where_nobody_knows(monkeypatch, tmp_path):
    monkeypatch.setattr(peak, "_STATUS", tmp_path / "none")
    assert peak.peak_bytes() is None
