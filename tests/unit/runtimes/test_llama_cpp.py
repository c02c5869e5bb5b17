"""The runtime over llama.cpp against the one over transformers, of one tiny model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gguf_files
from llmkit.core.errors import DataError, SetupError
from llmkit.evaluation.probes import TEXTS
from llmkit.modeling.finite import NotFiniteError
from llmkit.runtimes import Embed, Generate, Label, Logits, Score, ScoreParts, Written, _llama_c
from llmkit.runtimes.llama_cpp import LlamaCpp
from llmkit.runtimes.transformers import Transformers

IDS = tuple(range(4, 60))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return gguf_files.directory(tmp_path_factory.mktemp("llama") / "source", initializer_range=0.3)


@pytest.fixture(scope="module")
def file(source):
    return gguf_files.write(source.parent / "tiny.gguf", source)


@pytest.fixture(scope="module")
def theirs(source):
    return Transformers().load(str(source))


@pytest.fixture(scope="module")
def ours(file):
    running = LlamaCpp().load(str(file))
    yield running
    running.close()


def test_what_it_is(ours):
    assert (ours.facts.answer, ours.facts.positions, ours.facts.start) == ("tokens", gguf_files.CONTEXT, 0)
    assert ours.facts.ends == {1}
    assert set(ours.facts.versions) == {"llama.cpp", "xllamacpp"}
    assert ours.conditions()["cache"] == "float32"


def test_numbers_are_those_of_transformers(ours, theirs):
    long = tuple(range(4, 300))  # longer than the room that it begins with
    asked = [Logits(IDS), Logits(IDS[:1]), Logits(long), Logits(IDS[5:9])]
    for one, other in zip(ours.answer(asked), theirs.answer(asked), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=5e-5)
    scores = [Score(IDS[:30], IDS[30:]), Score(IDS[:1], IDS[1:2])]
    assert ours.answer(scores) == pytest.approx(theirs.answer(scores), rel=1e-5)
    parts = [ScoreParts(IDS[:30], IDS[30:40], (1, 4, 5))]
    np.testing.assert_allclose(ours.answer(parts)[0], theirs.answer(parts)[0], rtol=1e-5)


def test_what_is_written_is_what_transformers_writes(ours, theirs):
    asked = [Generate(IDS[:9], 12, exact=True), Generate(IDS[20:50], 6, exact=True)]
    for one, other in zip(ours.answer(asked), theirs.answer(asked), strict=True):
        assert (one.ids, one.ended) == (other.ids, other.ended)


def test_writing_ends_at_the_end_of_text_a_stop_or_the_budget(ours, monkeypatch):
    (whole,) = ours.answer([Generate(IDS[:9], 12, exact=True)])
    (cut,) = ours.answer([Generate(IDS[:9], 3)])
    assert (cut.ids, cut.ended) == (whole.ids[:3], False)
    stop = ours.model.text(whole.ids[:8])[-2:]
    (stopped,) = ours.answer([Generate(IDS[:9], 12, stop=(stop,))])
    assert stopped.ended
    assert stop not in stopped.text
    assert ours.model.text(whole.ids).startswith(stopped.text)
    monkeypatch.setattr(ours.model, "ends", frozenset(whole.ids[2:3]))
    first = whole.ids.index(whole.ids[2])
    kept = whole.ids[:first]
    assert ours.answer([Generate(IDS[:9], 12)]) == [Written(kept, ours.model.text(kept), ended=True)]


def test_draws_are_the_seeds(ours):
    asked = [Generate(IDS[:5], 8, temperature=1.5, seed=seed, exact=True) for seed in (1, 1, 2)]
    one, same, other = (written.ids for written in ours.answer(asked))
    assert one == same != other
    greedy, likeliest = ours.answer([Generate(IDS[:5], 8), Generate(IDS[:5], 8, temperature=1.5, top_k=1)])
    assert greedy == likeliest


def test_text_and_chats_are_read_by_its_own_code(ours, theirs):
    for text in (*TEXTS, "", "</s> is text"):
        assert ours.read(text) == theirs.read(text)
        assert ours.model.text(ours.read(text)) == text.replace("</s>", "")
    turns = ({"role": "user", "content": " a\n"}, {"role": "assistant", "content": "b"})
    for prompt in (True, False):
        assert ours.render(turns, prompt=prompt) == theirs.render(turns, prompt=prompt)
    with pytest.raises(ValueError, match="content"):
        ours.render(({"role": "user"},), prompt=True)


def test_the_tokenizer_of_tasks_is_the_files(ours, theirs):
    assert ours.tokenizer("The river").input_ids == theirs.tokenizer("The river").input_ids
    assert ours.tokenizer.chat_template == gguf_files.TEMPLATE


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Label("a"), "llama.cpp gives logits of it, and writes"),
        (Embed("a"), "llama.cpp gives logits of it, and writes"),
        (Generate(({"role": "user", "content": "a"},), 3), "prompts are ids here, not turns"),
        (Logits((1,), inputs={"pixel_values": 1}), "llama.cpp is given text alone here"),
    ],
)
def test_what_it_does_not_answer(ours, request_, words):
    assert words in ours.takes(request_)
    assert ours.takes(Logits((1,))) is None


def test_a_directory_with_the_file(file, tmp_path, theirs):
    (tmp_path / "model.gguf").write_bytes(file.read_bytes())
    running = LlamaCpp(cache="float16").load(str(tmp_path))
    (found,) = running.answer([Logits(IDS)])
    (expected,) = theirs.answer([Logits(IDS)])
    assert 0 < np.abs(found - expected).max() < 0.1  # keys and values are rounded
    assert LlamaCpp().directory(str(tmp_path)).joinpath("tokenizer.json").is_file()
    running.close()


def test_numbers_that_are_none_are_told(source, tmp_path):
    from safetensors.torch import load_file, save_file

    weights = load_file(source / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    folder = tmp_path / "bad"
    folder.mkdir()
    for part in source.iterdir():
        (folder / part.name).write_bytes(part.read_bytes())
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    running = LlamaCpp().load(str(gguf_files.write(tmp_path / "nan.gguf", folder)))
    with pytest.raises(NotFiniteError, match="gives logits that are NaN or infinite"):
        running.answer([Generate(IDS, 2, exact=True)])
    with pytest.raises(NotFiniteError, match="gives a text the log-likelihood nan"):
        running.answer([Score(IDS[:3], IDS[3:5])])
    running.close()


def test_what_is_no_model_is_refused(file, source, tmp_path):
    with pytest.raises(DataError, match=r"holds no files in GGUF, which is what llama\.cpp loads") as caught:
        LlamaCpp().load(str(source))
    assert caught.value.hint == f"llmkit export --model {source} -s exporter=gguf -o DIR writes one"
    (tmp_path / "text.txt").write_text("text")
    with pytest.raises(DataError, match=r"text.txt is no file in GGUF"):
        LlamaCpp().load(str(tmp_path / "text.txt"))
    (tmp_path / "cut.gguf").write_bytes(file.read_bytes()[:-4000])
    with pytest.raises(DataError, match=r"llama.cpp does not load .*cut.gguf: .*not within the file bounds"):
        LlamaCpp().load(str(tmp_path / "cut.gguf"))


def test_another_llama_cpp_is_told_before_it_is_called(file, monkeypatch):
    monkeypatch.setitem(_llama_c.DEFAULTS, "type_k", 7)
    _llama_c.library.cache_clear()
    with pytest.raises(SetupError, match=r"has another llama.cpp than .* known here: type_k is 1 by default, not 7"):
        LlamaCpp().load(str(file))
    monkeypatch.undo()
    _llama_c.library.cache_clear()


def test_a_missing_extra_names_the_line(file, monkeypatch):
    import importlib.util
    import sys

    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match="this needs the 'llama-cpp' extra") as caught:
        LlamaCpp().check_installed()
    assert caught.value.hint == 'pip install "llmkit[llama-cpp]"'
    _llama_c.library.cache_clear()
    with pytest.raises(SetupError, match="this needs the 'llama-cpp' extra"):
        LlamaCpp().load(str(file))
    monkeypatch.undo()
    _llama_c.library.cache_clear()
