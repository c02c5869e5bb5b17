"""sequence_to_sequence: its loss is transformers' own, prompts are those of inference, and no target loses its end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from llmkit.core.errors import ConfigError, DataError
from llmkit.data.packing import Batch, EncodedRows
from llmkit.data.rows.source_target import SourceTarget
from llmkit.modeling.companions import Models
from llmkit.modeling.generation import task_of
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import IGNORED, Example, LeftOut
from llmkit.objectives.rows.sequence_to_sequence import Directions, SequenceToSequence
from llmkit.runtimes import Written
from texts_of_texts import ARCHITECTURES, two_sided_model, two_sided_tokenizer
from tiny import byte_tokenizer, model

ROWS = [
    {"source_text": "Good morning", "targets": ["早上好", "早安"]},
    {"source_text": "a much longer source than the others are", "targets": ["b"]},
    {"source_text": "x", "targets": ["a longer target than its source"]},
]


def encoded(objective: SequenceToSequence, tokenizer: Any, rows: Any = ROWS, limit: int = 96) -> list[Any]:
    return list(objective.encode(rows, SourceTarget(), tokenizer, limit))


def kept(objective: SequenceToSequence, tokenizer: Any, examples: list[Example]) -> EncodedRows:
    return EncodedRows.of(objective.columns(vocabulary_of(tokenizer)), examples)


def batch_of(rows: EncodedRows) -> Batch:
    places = np.arange(len(rows))
    return Batch(numbers=places, pads=rows.pads, num_tokens=rows.num_tokens, **rows.padded(places))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_loss_and_its_gradient_are_transformers_own_however_the_batch_is_cut(arch):
    tokenizer, objective = two_sided_tokenizer(arch), SequenceToSequence(prefix="to Chinese: ")
    built = two_sided_model(arch, tokenizer)
    objective.equip(built, tokenizer)
    vocabulary = vocabulary_of(tokenizer)
    batch = batch_of(kept(objective, tokenizer, encoded(objective, tokenizer)))
    tensors, counts = objective.collate(batch, vocabulary, 0)

    sides = tokenizer(["to Chinese: " + row["source_text"] for row in ROWS], padding=True, return_tensors="pt")
    labels = tokenizer(text_target=[row["targets"][0] for row in ROWS], padding=True, return_tensors="pt")["input_ids"]
    labels[labels == tokenizer.pad_token_id] = IGNORED
    assert counts == {"tokens": int((labels >= 0).sum())}
    expected = built(input_ids=sides["input_ids"], attention_mask=sides["attention_mask"], labels=labels).loss
    expected.backward()
    gradients = {name: p.grad.clone() for name, p in built.named_parameters() if p.grad is not None}
    built.zero_grad()

    ((total, weight),) = objective.loss(Models(built), tensors).values()
    assert weight == 1
    assert float(total.detach()) / counts["tokens"] == pytest.approx(float(expected.detach()), abs=1e-6)
    for part in (batch.slice(0, 1), batch.slice(1, 3)):
        (
            objective.loss(Models(built), objective.collate(part, vocabulary, 0)[0])["tokens"][0] / counts["tokens"]
        ).backward()
    for name, p in built.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(p.grad, gradients[name], rtol=1e-4, atol=1e-6)


def test_a_row_by_hand():
    tokenizer = two_sided_tokenizer()
    (example,) = encoded(SequenceToSequence(prefix="p "), tokenizer, [{"source_text": "a", "targets": ["b", "c"]}])
    eos = tokenizer.eos_token_id
    assert example.columns["input_ids"] == [*tokenizer.convert_tokens_to_ids(["p", "Ġ", "a"]), eos]
    assert example.columns["target_input_ids"] == [tokenizer.convert_tokens_to_ids("b"), eos]
    assert bytes(example.columns["texts"]).decode() == '["a", "b", "c"]'
    assert (example.targets, example.num_bytes, example.cut, example.columns["backward"]) == (2, 1, False, 0)
    assert SequenceToSequence().marks(example, "target_input_ids") == ["learned", "learned"]
    assert SequenceToSequence().marks(example, "input_ids") == [""] * 4


def test_eos_is_learned_where_the_tokenizer_adds_none():
    tokenizer = byte_tokenizer(template=None)
    (example,) = encoded(SequenceToSequence(), tokenizer, [{"source_text": "a", "targets": ["b"]}])
    assert example.columns["target_input_ids"][-1] == tokenizer.eos_token_id
    assert example.columns["input_ids"] == tokenizer("a")["input_ids"]


def test_a_long_source_is_cut_before_its_end_and_a_long_target_leaves_the_row_out():
    tokenizer = two_sided_tokenizer()
    objective = SequenceToSequence(max_source_length=6, max_target_length=4)
    rows = [{"source_text": "abcdefgh", "targets": ["xyz"]}, {"source_text": "a", "targets": ["wxyz"]}]
    cut, left = encoded(objective, tokenizer, rows)
    assert tokenizer.decode(cut.columns["input_ids"]) == "abcde<|eos|>"
    assert cut.cut
    assert left == LeftOut("long_target", "a target of more than 4 tokens, see objective.max_target_length")


def test_a_target_with_a_literal_end_is_left_out_and_a_source_with_one_is_not():
    tokenizer = two_sided_tokenizer()
    rows = [{"source_text": "a", "targets": ["b<|eos|>c"]}, {"source_text": "a<|eos|>b", "targets": ["c"]}]
    left, kept = encoded(SequenceToSequence(), tokenizer, rows)
    assert left.code == "literal_special"
    assert kept.columns["input_ids"] == tokenizer("a<|eos|>b")["input_ids"]


def test_directions_are_drawn_by_the_texts_in_proportion_and_each_has_its_prefix():
    objective = SequenceToSequence(prefix="> ", backward_prefix="< ", directions={"forward": 1, "backward": 0.5})
    tokenizer = two_sided_tokenizer()
    rows = [{"source_text": f"s{i}", "targets": [f"t{i}", "u"]} for i in range(600)]
    made = encoded(objective, tokenizer, rows)
    turned = [int(example.columns["backward"]) for example in made]
    assert 160 < sum(turned) < 240  # a third
    assert turned == [int(example.columns["backward"]) for example in encoded(objective, tokenizer, rows)]
    for row, example in zip(rows[:20], made, strict=False):
        source = tokenizer.decode(example.columns["input_ids"], skip_special_tokens=True)
        target = tokenizer.decode(example.columns["target_input_ids"], skip_special_tokens=True)
        number = row["source_text"][1:]
        assert (source, target) == ((f"< t{number}", f"s{number}") if example.columns["backward"] else
                                    (f"> s{number}", f"t{number}"))  # fmt: skip


@pytest.mark.parametrize(("settings", "says"), [
    ({"directions": {"backward": 1}}, "two directions need prefixes that tell them apart"),
    ({"directions": {"forward": 0}}, "one of the weights must be more than 0"),
    ({"prompt": "Translate."}, "the source stands in it once, as {source}"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(settings, says):
    with pytest.raises(ValidationError, match=says.replace("{", r"\{")):
        SequenceToSequence(**settings)
    assert SequenceToSequence(directions=Directions(forward=0, backward=1)).directions.backward == 1


def test_a_model_of_the_other_kind_is_refused_with_what_to_type():
    tokenizer = byte_tokenizer(template=None)
    with pytest.raises(ConfigError, match="llama has no encoder") as error:
        SequenceToSequence().suit(tokenizer, model().config)
    assert "-s objective.prompt='{source} => '" in error.value.hint
    built = two_sided_model("t5", two_sided_tokenizer())
    with pytest.raises(ConfigError, match=r"objective\.prompt: t5 has an encoder"):
        SequenceToSequence(prompt="{source}").suit(tokenizer, built.config)


def test_a_decoder_alone_is_asked_as_inference_asks_and_learns_the_end():
    tokenizer = byte_tokenizer(template=None)
    objective = SequenceToSequence(prompt="English: {source} Chinese:", prefix="say ")
    objective.suit(tokenizer, model().config)
    (example,) = encoded(objective, tokenizer, [{"source_text": "ab", "targets": ["c"]}])
    prompt = tokenizer("English: say ab Chinese:")["input_ids"]
    answer = [*tokenizer("c")["input_ids"], tokenizer.eos_token_id]
    assert example.columns["input_ids"].tolist() == [*prompt, *answer]
    learned = example.columns["labels"]
    assert learned[learned != IGNORED].tolist() == answer
    assert np.flatnonzero(learned != IGNORED).tolist() == [len(prompt) - 1, len(prompt)]
    (question,) = objective.questions(kept(objective, tokenizer, [example]), 96)
    assert question.request.prompt == tuple(prompt)
    assert (question.source, question.references) == ("say ab"[4:], ["c"])


def test_a_chat_model_is_asked_in_the_user_s_turn():
    from llmkit.data.rendering import encode_prompt

    tokenizer = byte_tokenizer()
    objective = SequenceToSequence(prompt="Translate: {source}")
    objective.suit(tokenizer, model().config)
    (example,) = encoded(objective, tokenizer, [{"source_text": "ab", "targets": ["c"]}])
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "Translate: ab"}])
    assert example.columns["input_ids"][: len(prompt)].tolist() == prompt
    learned = example.columns["labels"]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert learned[learned != IGNORED].tolist() == [*tokenizer("c")["input_ids"], end]


def test_the_loss_of_a_decoder_alone_is_that_of_its_targets():
    tokenizer = byte_tokenizer(template=None)
    objective = SequenceToSequence(prompt="{source}=")
    built = model(vocab_size=len(tokenizer))
    objective.suit(tokenizer, built.config)
    made = encoded(objective, tokenizer)
    tensors, counts = objective.collate(batch_of(kept(objective, tokenizer, made)), vocabulary_of(tokenizer), 0)
    total = objective.loss(Models(built), tensors)["tokens"][0].detach()
    alone = 0.0
    for row in ROWS:
        prompt = tokenizer(row["source_text"] + "=")["input_ids"]
        ids = torch.tensor([[*prompt, *tokenizer(row["targets"][0])["input_ids"], tokenizer.eos_token_id]])
        labels = ids.clone()
        labels[:, : len(prompt)] = IGNORED
        alone += float(built(input_ids=ids, labels=labels).loss.detach()) * int((labels >= 0).sum())
    assert float(total) == pytest.approx(alone, rel=1e-5)
    assert counts["tokens"] == sum(len(row["targets"][0].encode()) + 1 for row in ROWS)


def test_what_is_asked_is_spread_over_the_rows_within_the_budget_and_scored_by_direction():
    objective = SequenceToSequence(writing={"rows": 3, "max_new_tokens": 5, "metrics": []},
                                   prefix="> ", backward_prefix="< ", directions={"backward": 1})  # fmt: skip
    tokenizer = two_sided_tokenizer()
    rows = [{"source_text": f"s{i}", "targets": [f"t{i}", f"u{i}"]} for i in range(9)]
    made = encoded(objective, tokenizer, rows)
    questions = objective.questions(kept(objective, tokenizer, made), 96)
    assert len(questions) == 3
    for place, question in zip((0, 4, 8), questions, strict=True):
        back = bool(made[place].columns["backward"])
        assert question.request.prompt == tuple(made[place].columns["input_ids"])
        assert question.request.budget == 5
        assert question.group == ("_backward" if back else "")
        assert question.references == ([f"s{place}"] if back else [f"t{place}", f"u{place}"])
    answers = [Written((), f" {question.references[-1]}\n", ended=True) for question in questions]
    answers[0] = Written((), "wrong", ended=False)
    found = objective.judge(questions, answers)
    groups = {question.group for question in questions}
    assert found.keys() == {f"{name}{group}" for group in groups for name in ("exact_match", "ended")}
    wrong = questions[0].group
    size = sum(question.group == wrong for question in questions)
    assert found[f"exact_match{wrong}"] == pytest.approx(100 * (size - 1) / size)
    assert all(found[f"exact_match{group}"] == 100 for group in groups - {wrong})
    assert SequenceToSequence(writing={"rows": 0}).questions(kept(objective, tokenizer, made), 96) == []


def test_the_configs_say_how_the_model_is_asked_and_how_long_it_answers():
    tokenizer = two_sided_tokenizer("bart")
    built = two_sided_model("bart", tokenizer)
    built.generation_config.forced_bos_token_id = 7
    built.generation_config.min_length = 56
    objective = SequenceToSequence(prefix="sum up: ", max_target_length=20)
    objective.model_head().configure(built.config)
    assert objective.equip(built, tokenizer) == ["forced_bos_token_id 7", "min_length 56"]
    generation = built.generation_config
    assert (generation.forced_bos_token_id, generation.forced_eos_token_id) == (None, tokenizer.eos_token_id)
    assert (generation.max_length, generation.min_length) == (21, 0)
    assert generation.decoder_start_token_id == tokenizer.eos_token_id
    assert task_of(built.config) == {"prefix": "sum up: "}
    built.generation_config.forced_bos_token_id = tokenizer.bos_token_id
    assert objective.equip(built, tokenizer) == []  # every target of BART begins with it
    built.config.decoder_start_token_id = 58_100
    with pytest.raises(DataError, match="the decoder starts from the token 58100"):
        objective.equip(built, tokenizer)
