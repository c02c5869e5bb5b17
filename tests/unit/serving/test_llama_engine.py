"""The engine over llama.cpp: in float32 it writes side by side what the runtime of `eval` writes alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

import gguf_files
from llmkit.runtimes import Generate
from llmkit.runtimes.llama_cpp import LlamaCpp
from llmkit.serving.engine import EngineSettings, Sampling
from llmkit.serving.running import RunningEngine

TURNS = [{"role": "user", "content": "one two"}]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    source = gguf_files.directory(folder / "source", initializer_range=0.3)
    return gguf_files.write(folder / "tiny.gguf", source)


def engine(file, **settings):
    told = {"cache_bytes": 1 << 22, "cache": "float32", **settings}
    return RunningEngine(str(file), None, EngineSettings(**told), lambda _: None)


def ids_of(stream):
    return tuple(i for piece in stream for i in piece.ids)


@pytest.fixture(scope="module")
def alone(file):
    running = LlamaCpp().load(str(file))
    yield lambda prompt, budget: running.answer([Generate(prompt, budget)])[0]
    running.close()


def test_greedy_texts_in_changing_company_are_the_runtimes_own(file, alone):
    prompts = [tuple(range(4 + n % 3, 30 + 2 * n)) for n in range(12)]
    with engine(file, places=5) as found:
        assert found.runtime == "llama_cpp"
        streams = [found.submit(p, Sampling(max_tokens=6 + n, temperature=0)) for n, p in enumerate(prompts)]
        pieces = [list(stream) for stream in streams]
    wanted = [alone(prompt, 6 + n) for n, prompt in enumerate(prompts)]
    assert [tuple(i for piece in each for i in piece.ids) for each in pieces] == [one.ids for one in wanted]
    assert ["".join(piece.text for piece in each) for each in pieces] == [one.text for one in wanted]


def test_what_is_left_of_a_text_is_not_read_again(file, alone):
    prompt = tuple(range(4, 60))
    with engine(file, places=2) as found:
        places = found.writer.places
        first = ids_of(found.submit(prompt, Sampling(max_tokens=5, temperature=0)))
        seen, fill = [], places._fill
        places._fill = lambda tokens: seen.append(len(tokens)) or fill(tokens)
        longer = (*prompt, *first, 7, 8)
        again = ids_of(found.submit(longer, Sampling(max_tokens=5, temperature=0)))
        # The last token that was written has been given to nobody yet; then the two new ones, and four steps.
        assert seen == [3, 1, 1, 1, 1]
    assert again == alone(longer, 5).ids


def test_prompts_that_are_read_in_pieces_are_continued_as_whole_ones(file, alone):
    prompts = [tuple(range(4 + n, 60 + 40 * n)) for n in range(4)]
    with engine(file, places=6, step_tokens=24) as found:
        done, places = [], found.writer.places
        read, step = places.read, places.step
        first = found.submit((4, 5), Sampling(max_tokens=200, temperature=0))
        while not places.taken:
            time.sleep(0.005)
        places.read = lambda budget: done.append("read") or read(budget)
        places.step = lambda newest: done.append("step") or step(newest)
        streams = [found.submit(prompt, Sampling(max_tokens=6, temperature=0)) for prompt in prompts]
        assert [ids_of(stream) for stream in streams] == [alone(prompt, 6).ids for prompt in prompts]
        begun = done.index("read")
        assert done[begun : begun + 20] == ["read", "step"] * 10, "the first text goes on meanwhile"
        first.cancel()


def test_every_place_has_its_share(file, alone):
    with engine(file, places=3) as found:
        places = found.writer.places
        assert (places.most, places.longest, places.tokens) == (3, gguf_files.CONTEXT, 3 * gguf_files.CONTEXT)
        for start in (4, 70, 130, 190, 4):
            prompt = tuple(range(start, start + 60))
            assert ids_of(found.submit(prompt, Sampling(max_tokens=10, temperature=0))) == alone(prompt, 10).ids


@pytest.mark.parametrize(("cache", "difference"), [("float32", 1e-5), ("float16", 1e-3)])
def test_neighbours_change_nothing(file, cache, difference):
    with engine(file, places=4, cache=cache) as found:
        prompts = [tuple(range(4 + n, 40 + n)) for n in range(4)]
        found.writer.places.begin(range(4), prompts, [50] * 4)
        _, together = found.writer.places.read(1000)
        next_ids = [int(row.argmax()) for row in together]
        after = found.writer.places.step(next_ids)
        for key in range(4):
            found.writer.places.leave(key)
        for n, prompt in enumerate(prompts):
            found.writer.places.begin([9], [prompt], [50])
            found.writer.places.read(1000)
            again = found.writer.places.step([next_ids[n]])[0]
            np.testing.assert_allclose(again, after[n], rtol=difference, atol=difference)
            found.writer.places.leave(9)


def test_keys_and_values_are_in_float16_where_nothing_is_said(file, alone):
    prompts = [tuple(range(4 + n, 40 + 3 * n)) for n in range(5)]
    with RunningEngine(str(file), None, EngineSettings(places=5, cache_bytes=1 << 22), lambda _: None) as found:
        assert found.running.conditions()["cache"] == "float16"
        found.writer.places.begin(range(5), prompts, [100] * 5)
        _, rounded = found.writer.places.read(1000)
        for key in range(5):
            found.writer.places.leave(key)
        by_itself = [ids_of(found.submit(prompt, Sampling(max_tokens=12, temperature=0))) for prompt in prompts]
        streams = [found.submit(prompt, Sampling(max_tokens=12, temperature=0)) for prompt in prompts]
        assert [ids_of(stream) for stream in streams] == by_itself
    with engine(file, places=5) as found:
        found.writer.places.begin(range(5), prompts, [100] * 5)
        _, whole = found.writer.places.read(1000)
    assert 0 < np.abs(rounded - whole).max() < 0.1


def test_a_chat_is_read_as_training_renders_it(file):
    with engine(file, places=2) as found:
        assert found.facts.can == {"chat", "completions"}
        assert found.encode(TURNS) == tuple(found.running.read("<s><|turn|>user\none two<|over|>\n<|turn|>assistant\n"))
        assert found.submit(TURNS, Sampling(max_tokens=5, temperature=0)).text()
