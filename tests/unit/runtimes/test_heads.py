"""Labels, numbers, tags, spans and vectors of small models, against transformers asked for one row at a time."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import transformers

from headed import BODY, NAMES, POSITIONS, READER, SENTIMENT, STARS, save_headed
from llmkit.core.errors import DataError
from llmkit.evaluation.engine import Asked, Engine
from llmkit.modeling.finite import NotFiniteError
from llmkit.modeling.heads import head_of
from llmkit.modeling.load import load_model
from llmkit.modeling.pooling import Pooling, pooling_of
from llmkit.modeling.tokenizer import load_tokenizer
from llmkit.runtimes import Embed, Generate, Label, Span, Tags
from llmkit.runtimes._heads import HeadAnswers
from llmkit.runtimes.transformers import Transformers

TEXTS = ["The bread is good.", "No", "A boat, and the captain, and 9 sailors!", "Wind from the sea"]
LONG = "word " * 40


@pytest.fixture
def opened(tmp_path):
    def make(spec, arch="bert", pooling=None, **config):
        folder = save_headed(tmp_path / "model", spec, arch, **config)
        model = load_model(folder)
        return HeadAnswers(model, load_tokenizer(folder), head_of(model.config), folder, pooling or Pooling())

    return make


def outputs(answers, text, pair=None):
    """What transformers gives for one row alone."""
    inputs = answers.tokenizer(text, pair, return_tensors="pt", truncation=True, max_length=POSITIONS)
    with torch.no_grad():
        return answers.model(**inputs)


@pytest.mark.parametrize(("spec", "arch"), [(SENTIMENT, "bert"), (STARS, "bert"), (SENTIMENT, "llama")])
def test_labels_and_numbers_are_those_of_each_row_alone(opened, spec, arch):
    answers = opened(spec, arch)
    assert answers.alone() == ""
    found = answers.answer([Label(text) for text in TEXTS])
    for text, numbers in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(numbers, outputs(answers, text).logits[0], rtol=1e-4, atol=1e-5)


def test_a_pair_is_told_from_a_text(opened):
    answers = opened(SENTIMENT)
    one, pair = answers.answer([Label("a b c d"), Label("a b", "c d")])
    np.testing.assert_allclose(pair, outputs(answers, "a b", "c d").logits[0], rtol=1e-4, atol=1e-5)
    assert np.abs(one - pair).max() > 1e-3


def test_tags_stand_at_characters_and_words(opened):
    answers = opened(NAMES)
    found = answers.answer([Tags("Ann at 9."), Tags("a much longer text beside it")])[0]
    assert found.offsets.tolist() == [[0, 1], [1, 2], [2, 3], [4, 5], [5, 6], [7, 8], [8, 9]]
    assert found.words.tolist() == [0, 0, 0, 1, 1, 2, 3]
    np.testing.assert_allclose(found.logits, outputs(answers, "Ann at 9.").logits[0, 1:-1], rtol=1e-4, atol=1e-5)


def test_a_span_is_the_best_one_in_the_text(opened):
    answers = opened(READER)
    question, text = "who?", "Ann and Bob at sea"
    found = answers.answer([Span(question, text), Span("where is it?", text)])[0]
    alone = outputs(answers, question, text)
    starts, ends = alone.start_logits[0].tolist(), alone.end_logits[0].tolist()
    encoding = answers.tokenizer(question, text, return_offsets_mapping=True)
    inside = [i for i, side in enumerate(encoding.sequence_ids()) if side == 1]
    best = max((starts[i] + ends[j], i, j) for i in inside for j in inside if i <= j < i + 30)
    offsets = encoding["offset_mapping"]
    assert (found.start, found.end) == (offsets[best[1]][0], offsets[best[2]][1])
    assert found.score == pytest.approx(best[0], rel=1e-4)
    assert found.none == pytest.approx(starts[0] + ends[0], rel=1e-4)


def test_a_question_that_is_too_long_is_cut_with_its_text(opened):
    answers = opened(READER)
    short, asked, text = Span("who?", "Ann"), "x" * (2 * POSITIONS), "Ann and Bob at sea"
    requests = [short, Span(asked, text)]
    answers.prepare(requests)
    assert [len(answers.encoded(request).ids) for request in requests] == [1 + 4 + 1 + 3 + 1, POSITIONS]
    assert [answers.encoded(request).cut for request in requests] == [False, True]
    found = answers.answer(requests)
    assert 0 <= found[1].start < found[1].end <= len(text)


def test_without_a_token_of_the_text_there_is_no_answer(opened):
    found = opened(READER).answer([Span("who?", " ")])[0]
    assert (found.start, found.end, found.score) == (0, 0, found.none)


@pytest.mark.parametrize("modes", [("mean",), ("cls",), ("max",), ("lasttoken",), ("mean_sqrt_len", "weightedmean")])
def test_vectors_leave_padding_out(opened, modes):
    answers = opened(BODY, pooling=Pooling(modes))
    found = answers.answer([Embed(text) for text in TEXTS])
    for text, vector in zip(TEXTS, found, strict=True):
        hidden = outputs(answers, text).last_hidden_state[0]
        ranks = torch.arange(1, len(hidden) + 1)[:, None]
        ways = {
            "mean": hidden.mean(0), "cls": hidden[0], "max": hidden.amax(0), "lasttoken": hidden[-1],
            "mean_sqrt_len": hidden.sum(0) / len(hidden) ** 0.5, "weightedmean": (hidden * ranks).sum(0) / ranks.sum(),
        }  # fmt: skip
        np.testing.assert_allclose(vector, torch.cat([ways[mode] for mode in modes]), rtol=1e-4, atol=1e-5)


def test_texts_too_long_are_cut_and_said(opened):
    answers = opened(SENTIMENT)
    requests = [Label(LONG), Label("short")]
    answers.prepare(requests)
    assert [answers.encoded(request).cut for request in requests] == [True, False]
    assert len(answers.encoded(requests[0]).ids) == POSITIONS == answers.limit
    np.testing.assert_allclose(
        answers.answer(requests)[0], outputs(answers, LONG).logits[0], rtol=1e-4, atol=1e-5
    )  # fmt: skip


def test_what_a_head_does_not_answer_is_said(opened):
    answers = opened(SENTIMENT)
    assert answers.takes(Label("a")) is None
    said = "its head is sequence_classification, which answers label alone"
    assert answers.takes(Generate((1,), 4)) == said
    for request, objective in ((Tags("a"), "token_classification"), (Embed("a"), "embedding")):
        hint = f"`llmkit finetune --model {answers.where} --data DATA -s objective={objective}` makes one that does"
        assert answers.takes(request) == f"{said}\n{hint}"


def test_a_decoder_without_padding_answers_one_by_one(opened):
    answers = opened(SENTIMENT, "llama")
    answers.model.config.pad_token_id = None
    assert "padding token" in answers.alone()


def test_numbers_that_are_none_are_an_error(opened):
    answers = opened(SENTIMENT)
    answers.model.classifier.bias.data[0] = float("nan")
    with pytest.raises(NotFiniteError, match="gives a text numbers that are NaN or infinite"):
        answers.answer([Label("a")])


CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}


def write_modules(folder, *types, pooling=CLS):
    folder.mkdir(exist_ok=True)
    modules = [{"idx": i, "path": f"{i}_{name}" if i else "", "type": f"st.{name}"} for i, name in enumerate(types)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    return folder


def test_the_files_of_sentence_transformers_say_how(tmp_path):
    folder = write_modules(tmp_path, "Transformer", "Pooling", "Normalize")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    (folder / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "query: "}, "default_prompt_name": "query"}'
    )
    files = ("1_Pooling/config.json",)
    assert pooling_of(folder) == Pooling(("cls",), True, 12, "query: ", files, {"query": "query: "})
    write_modules(tmp_path, "Transformer", "Pooling", pooling={"pooling_mode": "mean"})
    assert pooling_of(folder).modes == ("mean",)
    shutil.rmtree(folder / "1_Pooling")
    with pytest.raises(DataError, match="lacks 1_Pooling/config"):
        pooling_of(folder)


@pytest.mark.parametrize(
    ("types", "pooling", "words"),
    [
        (["Transformer", "Pooling", "Dense"], {}, "makes vectors by Transformer, Pooling, Dense"),
        (["Transformer", "Pooling"], {"pooling_mode_mean_tokens": False}, "it names no way of pooling"),
    ],
)
def test_what_is_not_done_is_refused(tmp_path, types, pooling, words):
    with pytest.raises(DataError, match=words):
        pooling_of(write_modules(tmp_path, *types, pooling=pooling))


def test_a_prompt_and_a_norm(opened):
    answers = opened(BODY, pooling=Pooling(normalized=True, prompt="query: "))
    plain = opened(BODY)
    vector = answers.answer([Embed("a boat")])[0]
    other = plain.answer([Embed("query: a boat")])[0]
    np.testing.assert_allclose(vector, other / np.linalg.norm(other), rtol=1e-4, atol=1e-5)


def test_an_encoder_decoder_gives_the_vectors_of_its_encoder(tmp_path):
    sizes = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}
    folder = save_headed(tmp_path / "t5", BODY, "t5", **sizes)
    model = load_model(folder)
    answers = HeadAnswers(model, load_tokenizer(folder), head_of(model.config), folder)
    inputs = answers.tokenizer("a boat", return_tensors="pt")
    encoder = transformers.T5EncoderModel.from_pretrained(folder)
    hidden = encoder(input_ids=inputs["input_ids"]).last_hidden_state[0]
    np.testing.assert_allclose(answers.answer([Embed("a boat")])[0], hidden.mean(0).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("spec", "request_"), [
    (SENTIMENT, Label("a boat", "the sea")), (NAMES, Tags("Ann at sea")), (READER, Span("who?", "Ann")),
    (BODY, Embed("a boat")),
])  # fmt: skip
def test_the_runtime_and_the_engine_answer_them(tmp_path, spec, request_):
    running = Transformers().load(str(save_headed(tmp_path / "model", spec)))
    engine = Engine(running)
    engine.check(request_, "the model")
    ((found,), (same,)) = engine.ask([Asked([request_]), Asked([request_])])
    assert running.tokens(request_) == len(running.heads.encoded(request_).ids)
    (expected,) = running.answer([request_])
    for one in (found, same):
        np.testing.assert_equal(getattr(one, "__dict__", one), getattr(expected, "__dict__", expected))
    with pytest.raises(DataError, match="the model does not answer generate requests: it is not a causal"):
        engine.check(Generate((1,), 2), "the model")
