from __future__ import annotations

import json
import threading
import time

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.runtimes import Generate
from llmkit.runtimes._spelling import TokenSpeller
from llmkit.runtimes.transformers import Transformers
from llmkit.serving.engine import BusyError, EngineDiedError, RefusedError, Sampling
from loops import in_a_loop
from served import POSITIONS, open_writer, save_writer
from tiny import byte_tokenizer

GREEDY = Sampling(max_tokens=20, temperature=0)
TURNS = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_writer(tmp_path_factory.mktemp("writer"))


@pytest.fixture(scope="module")
def engine(folder):
    with open_writer(folder, places=8) as found:
        yield found


def ids_of(stream):
    return tuple(i for piece in stream for i in piece.ids)


def until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


def test_greedy_texts_in_changing_company_are_the_runtimes_own(folder, engine):
    prompts = [tuple(range(65 + n % 3, 70 + n)) for n in range(20)]
    alone = Transformers().load(str(folder))
    asked = [Generate(prompt, 5 + n) for n, prompt in enumerate(prompts)]
    wanted = [alone.answer([one])[0] for one in asked]
    streams = [engine.submit(p, Sampling(max_tokens=5 + n, temperature=0)) for n, p in enumerate(prompts)]
    found = [list(stream) for stream in streams]
    assert [tuple(i for piece in pieces for i in piece.ids) for pieces in found] == [one.ids for one in wanted]
    assert ["".join(piece.text for piece in pieces) for pieces in found] == [one.text for one in wanted]
    assert [pieces[-1].finish == "stop" for pieces in found] == [one.ended for one in wanted]
    assert [pieces[-1].usage.prompt for pieces in found] == [len(prompt) for prompt in prompts]


def test_a_model_that_cannot_share_a_pass_writes_the_same(tmp_path, folder, engine, monkeypatch):
    from llmkit.runtimes import _in_memory

    monkeypatch.setattr(_in_memory.InMemory, "refills", False)
    with open_writer(folder, places=8) as lone:
        assert type(lone.writer.places).__name__ == "LonePlaces"
        streams = [lone.submit([65 + n, 66], GREEDY) for n in range(5)]
        assert [ids_of(s) for s in streams] == [ids_of(engine.submit([65 + n, 66], GREEDY)) for n in range(5)]


def long_prompts():
    return [tuple(65 + (7 * n + i * i) % 60 for i in range(40 + 35 * n)) for n in range(5)]


@pytest.mark.parametrize("shared", [True, False])
def test_prompts_that_are_read_in_pieces_are_continued_as_whole_ones(folder, monkeypatch, shared):
    from llmkit.runtimes import _in_memory

    alone = Transformers().load(str(folder))
    wanted = [alone.answer([Generate(prompt, 20)])[0].ids for prompt in long_prompts()]
    if not shared:
        monkeypatch.setattr(_in_memory.InMemory, "refills", False)
    with open_writer(folder, places=8, step_tokens=24) as found:
        sizes, read = [], found.writer.places.read
        found.writer.places.read = lambda budget: sizes.append(budget) or read(budget)
        first = found.submit([65, 66], Sampling(max_tokens=200, temperature=0))
        until(lambda: found.writer.places.taken)
        streams = [found.submit(prompt, Sampling(max_tokens=20, temperature=0)) for prompt in long_prompts()]
        assert [ids_of(stream) for stream in streams] == wanted
        assert len(sizes) > 20, "each was read in several pieces"
        assert max(sizes[1:]) <= 23
        first.cancel()


def test_a_text_goes_on_while_a_long_prompt_is_read(folder):
    with open_writer(folder, places=4, step_tokens=16) as found:
        done, places = [], found.writer.places
        read, step = places.read, places.step
        short = found.submit([65, 66], Sampling(max_tokens=200, temperature=0))
        until(lambda: places.taken)
        places.read = lambda budget: done.append("read") or read(budget)
        places.step = lambda newest: done.append(f"step of {len(newest)}") or step(newest)
        long = found.submit([65 + i % 50 for i in range(150)], Sampling(max_tokens=4, temperature=0))
        assert len(ids_of(long)) == 4
        begun = done.index("read")
        # 150 tokens, 15 beside the one that the short text takes: ten pieces, and a step behind each.
        assert done[begun : begun + 20] == ["read", "step of 1"] * 9 + ["read", "step of 2"]
        short.cancel()


def test_a_text_whose_prompt_is_being_read_can_be_left(folder):
    with open_writer(folder, places=4, step_tokens=2) as found:
        short = found.submit([65, 66], Sampling(max_tokens=250, temperature=0))
        until(lambda: found.writer.places.taken)
        long = found.submit([65 + i % 50 for i in range(200)], Sampling(max_tokens=4, temperature=0))
        until(lambda: found.writer.places.reading)
        long.cancel()
        until(lambda: found.load()["running"] == 1 and not found.writer.places.reading)
        short.cancel()
        assert found.submit(TURNS, GREEDY).text()


def test_a_seed_gives_one_text_whatever_the_neighbours(engine):
    told = Sampling(max_tokens=20, seed=5, temperature=1.5)
    alone = engine.submit(TURNS, told).text()
    others = [engine.submit([70 + n], Sampling(max_tokens=30)) for n in range(6)]
    assert engine.submit(TURNS, told).text() == alone
    assert engine.submit(TURNS, Sampling(max_tokens=20, seed=6, temperature=1.5)).text() != alone
    for one in others:
        one.cancel()


def test_a_coroutine_reads_what_a_thread_reads(engine):
    async def read():
        return "".join([piece.text async for piece in engine.submit(TURNS, GREEDY)])

    assert in_a_loop(read()) == engine.submit(TURNS, GREEDY).text()


def test_a_stop_text_ends_it_and_is_not_shown(engine):
    whole = engine.submit(TURNS, GREEDY).text()
    stop = whole[4:7]
    pieces = list(engine.submit(TURNS, Sampling(max_tokens=20, temperature=0, stop=(stop,))))
    assert "".join(piece.text for piece in pieces) == whole[: whole.find(stop)]
    assert pieces[-1].finish == "stop"


def test_a_special_token_as_a_stop_text(engine):
    first = next(iter(engine.submit(TURNS, Sampling(max_tokens=1, temperature=0)))).ids[0]
    marks = engine.encode("<|im_end|>")
    assert len(marks) == 1
    allowed = Sampling(max_tokens=3, temperature=0, stop=("<|im_end|>",))
    assert marks[0] in engine._text((65,), allowed, None).ends
    assert first not in engine._text((65,), allowed, None).ends


def test_log_probabilities_of_greedy_tokens_are_the_greatest(engine):
    pieces = list(engine.submit(TURNS, Sampling(max_tokens=5, temperature=0, logprobs=3)))
    numbers = [one for piece in pieces for one in piece.logprobs]
    assert len(numbers) == 5
    for one in numbers:
        assert one.top[0].id == one.id
        assert one.top[0].logprob == one.logprob >= one.top[1].logprob >= one.top[2].logprob


def test_cancelling_makes_room(engine):
    streams = [engine.submit([65 + n], Sampling(max_tokens=200, temperature=1.0, seed=n)) for n in range(30)]
    for stream in streams:
        stream.cancel()
    until(lambda: engine.load()["running"] == 0 and engine.load()["waiting"] == 0)
    assert engine.writer.places.taken == []
    assert engine.submit(TURNS, GREEDY).text()


@pytest.mark.parametrize(("prompt", "told", "field", "words"), [
    ([1] * POSITIONS, Sampling(), "prompt", "256 tokens long"),
    ([1] * 10, Sampling(max_tokens=POSITIONS), "max_tokens", "there is room for 256"),
    ([], Sampling(), "prompt", "no tokens"),
    ([65, 261], Sampling(), "prompt", "261 is no token of the model, which has 261"),
    ([-1], Sampling(), "prompt", "-1 is no token"),
    (TURNS, Sampling(grammar={"uniqueItems": True, "type": "array"}), "response_format", "uniqueItems"),
])  # fmt: skip
def test_what_cannot_be_done_is_refused_before_it_begins(engine, prompt, told, field, words):
    with pytest.raises(RefusedError, match=words) as caught:
        engine.submit(prompt, told)
    assert caught.value.field == field


def test_a_full_queue_says_so(folder):
    with open_writer(folder, places=1, queue=2) as small:
        streams = [small.submit([65], Sampling(max_tokens=200, temperature=1.0, seed=1))]
        until(lambda: small.load()["running"] == 1)
        streams += [small.submit([65], GREEDY) for _ in range(2)]
        with pytest.raises(BusyError, match="2 requests are waiting"):
            small.submit([65], GREEDY)
        for stream in streams:
            stream.cancel()


def test_patience_ends_a_text(engine):
    with pytest.raises(TimeoutError):
        engine.submit(TURNS, Sampling(max_tokens=200, seed=3), patience_s=1e-9).text()


def test_the_engine_starts_again_after_it_has_failed(folder):
    with open_writer(folder, places=4) as mortal:
        wanted = mortal.submit(TURNS, GREEDY).text()
        gate = threading.Event()
        load, places = mortal.writer._make, mortal.writer.places

        def made():
            gate.wait(5)
            return load()

        def broken(newest):
            raise RuntimeError("a bug")

        mortal.writer._make, places.step = made, broken
        streams = [mortal.submit(TURNS, GREEDY) for _ in range(6)]
        for stream in streams:
            with pytest.raises(EngineDiedError, match="RuntimeError"):
                stream.text()
        assert not mortal.alive
        with pytest.raises(EngineDiedError, match="starting again"):
            mortal.submit(TURNS, GREEDY)
        gate.set()
        until(lambda: mortal.alive)
        assert mortal.submit(TURNS, GREEDY).text() == wanted
        assert mortal.load()["deaths"] == 1


def test_logits_that_are_no_numbers_end_one_text_alone(folder):
    with open_writer(folder, places=4) as found:
        read = found.writer.places.read

        def broken(budget):
            keys, logits = read(budget)
            return keys, logits * np.float32(np.nan)

        found.writer.places.read = broken
        with pytest.raises(Exception, match="NaN"):
            found.submit(TURNS, GREEDY).text()
        found.writer.places.read = read
        assert found.submit(TURNS, GREEDY).text()


SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["name", "age", "tags"],
    "properties": {
        "name": {"type": "string", "maxLength": 5}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
}  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_a_schema_is_followed(engine, seed):
    told = Sampling(max_tokens=230, seed=seed, grammar=SCHEMA)
    pieces = list(engine.submit(TURNS, told))
    if pieces[-1].finish == "stop":  # a model that has learned nothing may use up its tokens on blanks
        jsonschema.validate(json.loads("".join(piece.text for piece in pieces)), SCHEMA)


def test_some_schema_comes_to_its_end(engine):
    told = Sampling(max_tokens=60, temperature=0, grammar={"enum": ["red", "green"]})
    (text,) = {engine.submit(TURNS, told).text()}
    assert json.loads(text) in ("red", "green")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 260), max_size=12))
def test_text_that_is_spelled_in_parts_is_what_the_whole_decodes_to(ids):
    tokenizer = byte_tokenizer()
    speller = TokenSpeller(tokenizer)
    found = "".join(speller.add(i) for i in ids) + speller.rest()
    assert found == tokenizer.decode(ids, skip_special_tokens=True)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=8))
def test_text_comes_as_soon_as_its_characters_are_whole(text):
    tokenizer = byte_tokenizer()
    speller = TokenSpeller(tokenizer)
    assert "".join(speller.add(i) for i in tokenizer(text)["input_ids"]) == tokenizer.decode(
        tokenizer(text)["input_ids"], skip_special_tokens=True
    )
