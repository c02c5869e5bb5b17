"""question_answering: answers stand at their tokens, the loss is transformers', measures are by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from labelled_models import BODIES, TOKENIZER, batch_of, headed
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from llmkit.core.errors import DataError
from llmkit.core.page import Page
from llmkit.data.rows.span_answer import SpanAnswer
from llmkit.modeling.companions import Models
from llmkit.modeling.spans import Asking
from llmkit.modeling.vocabulary import vocabulary_of
from llmkit.objectives.rows import LeftOut
from llmkit.objectives.rows.question_answering import QuestionAnswering
from llmkit.runtimes import Span
from llmkit.runtimes._heads import HeadAnswers

PLACES = "Ann lives in 北京大学, near the café 😀 (since 1999)."
KIND = SpanAnswer()


def row(context: str, *answers: str, question: str = "a b", **more: Any) -> dict[str, Any]:
    return {**KIND.parse({"question": question, "context": context, "answers": list(answers)}), **more}


def encode(rows, limit=32, tokenizer=TOKENIZER, **fields):
    return QuestionAnswering(**fields).encode(rows, KIND, tokenizer, limit)


def special(raw: Tokenizer, pair: str, **tokens: str) -> transformers.PreTrainedTokenizerFast:
    names = {token: raw.token_to_id(token) for token in tokens.values()}
    first = pair.partition(" $B")[0]
    raw.post_processor = processors.TemplateProcessing(single=first, pair=pair, special_tokens=[*names.items()])
    return transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **tokens)


def characters() -> transformers.PreTrainedTokenizerFast:
    """As BERT's: lower case without accents, Chinese characters one by one."""
    raw = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    raw.normalizer = normalizers.BertNormalizer(lowercase=True)
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = trainers.WordPieceTrainer(vocab_size=60, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    raw.train_from_iterator([PLACES], words)
    tokens = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return special(raw, "[CLS] $A [SEP] $B:1 [SEP]:1", **tokens)


def byte_level(**settings: bool) -> transformers.PreTrainedTokenizerFast:
    """As RoBERTa's and GPT-2's: several tokens a character, blanks in front of words part of them."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(**settings), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces = trainers.BpeTrainer(vocab_size=280, special_tokens=["<s>", "<pad>", "</s>"], initial_alphabet=alphabet)
    raw.train_from_iterator([PLACES], pieces)
    tokens = {"pad_token": "<pad>", "cls_token": "<s>", "sep_token": "</s>"}
    return special(raw, "<s> $A </s> </s> $B </s>", **tokens)


def unigram() -> transformers.PreTrainedTokenizerFast:
    """As DeBERTa's: SentencePiece, marks in front of words."""
    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer = pre_tokenizers.Metaspace()
    pieces = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=["[PAD]", "[CLS]", "[SEP]", "[UNK]"], unk_token="[UNK]", show_progress=False
    )
    raw.train_from_iterator([PLACES] * 4, pieces)
    return special(raw, "[CLS] $A [SEP] $B:1 [SEP]:1", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")


@pytest.mark.parametrize("answer", ["北京大学", "京", "café", "in 北京大学", "😀", "1999", "Ann", "(since 1999)."])
@pytest.mark.parametrize("make", [
    characters, lambda: byte_level(add_prefix_space=False), lambda: byte_level(add_prefix_space=True), unigram,
], ids=["characters", "byte_level", "byte_level_prefix", "unigram"])  # fmt: skip
def test_an_answer_stands_at_its_tokens(make, answer):
    tokenizer = make()
    ((example,),) = encode([row(PLACES, answer, question="Where?")], 400, tokenizer)
    columns = example.columns
    start, stop = (position - columns["first"] for position in columns["labels"])
    offsets = np.asarray(columns["offsets"]).reshape(-1, 2)
    text = bytes(columns["text"]).decode()
    place = PLACES.index(answer)
    assert answer in text[offsets[start, 0] : offsets[stop, 1]]  # a token may have more than the answer, but
    assert offsets[start, 1] > place >= offsets[start, 0]  # the first has its beginning,
    assert offsets[stop, 0] < place + len(answer) <= offsets[stop, 1]  # and the last its end
    whole = tokenizer("Where?", PLACES)
    assert columns["input_ids"] == whole["input_ids"]


def test_a_long_text_is_read_in_windows_and_the_question_is_whole_in_each():
    # [CLS] a b [SEP] and [SEP] leave 5 of 10 tokens; windows share 2 of them
    (found,) = encode([row("c d e f g h a c e", "f g")], 10, stride=2)
    texts = [TOKENIZER.decode(example.columns["input_ids"]) for example in found]
    assert texts == [f"[CLS] a b [SEP] {part} [SEP]" for part in ("c d e f g", "f g h a c", "a c e")]
    assert [example.columns["labels"] for example in found] == [(7, 8), (4, 5), (0, 0)]
    assert len({example.columns["row"] for example in found}) == 1
    assert [bytes(example.columns["text"]).decode() for example in found] == ["c d e f g", "f g h a c", "a c e"]


def test_a_question_without_an_answer_learns_the_first_position():
    ((example,),) = encode([row("c d")])
    assert example.columns["labels"] == (0, 0)
    assert QuestionAnswering().marks(example, "input_ids")[:2] == ["learned", ""]


def test_of_several_answers_the_first_is_learned_and_all_are_right():
    ((example,),) = encode([row("c d e", "d", "d e", "d")])
    assert example.columns["labels"] == (5, 5)
    assert bytes(example.columns["references"]) == b'["d", "d e"]'


@pytest.mark.parametrize(("found", "limit", "code"), [
    (row("c d e f g h a", "d e f g h"), 9, "answer"),  # five tokens, and windows of four
    (row("c d e f g h a", "h a", question="a b c d e f g h a"), 12, "long"),
    (row(".", question="a"), 12, None),
])  # fmt: skip
def test_what_cannot_be_learned_is_left_out(found, limit, code):
    (one,) = encode([found], limit, stride=1)
    assert (one.code if isinstance(one, LeftOut) else None) == code


def test_an_answer_beside_its_answer_start_is_learned_where_it_stands_and_noted():
    moved = {"question": "a", "context": "c d e d", "answers": ["d"], "answer_start": [5]}
    ((example,),) = encode([moved])
    assert example.columns["labels"] == (6, 6)
    assert example.notes == {"moved": 1}


ROWS = [row("c d e f", "d e", id="1"), row("c", id="2"), row("h g f e d c b a h", "a", question="c", id="3")]


@pytest.mark.parametrize("body", BODIES)
def test_the_loss_is_transformers_own(tmp_path, body):
    objective = QuestionAnswering()
    examples = [example for found in objective.encode(ROWS, KIND, TOKENIZER, 32) for example in found]
    model = headed(tmp_path, body, objective)
    total, count, expected = 0.0, 0, []
    vocabulary = vocabulary_of(TOKENIZER)
    with torch.no_grad():
        for example in examples:  # one by one, since transformers counts padding among the positions
            tensors, counts = objective.collate(batch_of(objective, [example]), vocabulary, 0)
            inputs = {name: tensors[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
            start, end = tensors["labels"].T
            expected.append(float(model(**inputs, start_positions=start, end_positions=end).loss))
            total += float(objective.loss(Models(model), tensors)["answers"][0])
            count += counts["answers"]
        assert total / count == pytest.approx(np.mean(expected), rel=1e-6)
        together, _ = objective.collate(batch_of(objective, examples), vocabulary, 0)
        assert float(objective.loss(Models(model), together)["answers"][0]) == pytest.approx(total, rel=1e-5)


def test_validation_finds_what_the_runtime_finds(tmp_path):
    """One row of three windows and two of one: the same spans, scores and threshold."""
    objective = QuestionAnswering(stride=2, no_answers=True)
    model = headed(tmp_path, "bert", objective)
    rows = [row("c d e f g h a c e", "f g", id="1"), row("c d", "d", id="2"), row("e", id="3")]
    examples = [example for found in objective.encode(rows, KIND, TOKENIZER, 10) for example in found]
    tensors, _ = objective.collate(batch_of(objective, examples), vocabulary_of(TOKENIZER), 0)
    with torch.no_grad():
        answers = objective.answers(objective.outputs(Models(model), tensors))
    objective.finish(model.config, answers, 10)
    runtime = HeadAnswers(model, TOKENIZER, objective.model_head(), tmp_path)
    assert runtime.limit == 10
    found = runtime.answer([Span(one["question"], one["context"]) for one in rows])
    asked = objective._asked(answers)
    assert asked.threshold == found[0].threshold == Asking.of(model.config).threshold
    for own, theirs, one in zip(asked.found, found, rows, strict=True):
        assert own.text == one["context"][theirs.start : theirs.end]
        assert own.chosen.score == pytest.approx(theirs.score, rel=1e-5)
        assert own.chosen.none == pytest.approx(theirs.none, rel=1e-5)


def answered(objective, spans):
    """Answers as a validation has them: rows, said texts, scores, scores of no answer, references."""
    from llmkit.modeling.spans import Chosen
    from llmkit.objectives.rows._asked import Found

    return [
        Found(number, Chosen(0, len(text), score, none), text, references)
        for number, text, score, none, references in spans
    ]


SPANS = [
    (1, "the ferry", 5.0, 1.0, ("Ferry",)),  # margin -4, right
    (2, "old ferry", 3.0, 1.0, ("ferry boat",)),  # first window of row 2
    (2, "boat", 4.0, 3.0, ("ferry boat",)),  # its better one: margin 1 - 4 = -3, F1 2/3
    (3, "nine", 2.0, 3.0, ()),  # margin 1, rightly no answer
    (4, "ten", 2.0, 2.5, ("ten",)),  # margin 0.5, right
]  # fmt: skip


def test_measures_are_those_of_rows_with_the_best_threshold():
    objective = QuestionAnswering(no_answers=True)
    measures = objective.measures(answered(objective, SPANS))
    assert measures == {
        "exact_match": 3 / 4, "f1": pytest.approx((1 + 2 / 3 + 1 + 1) / 4),
        "has_answer_exact_match": pytest.approx(2 / 3), "has_answer_f1": pytest.approx((1 + 2 / 3 + 1) / 3),
        "no_answer_exact_match": 1.0, "no_answer_threshold": 0.75,
    }  # fmt: skip


def test_without_unanswerable_questions_there_is_always_an_answer():
    objective = QuestionAnswering(no_answers=False)
    some = [span for span in SPANS if span[4]]
    assert objective.measures(answered(objective, some)) == {
        "exact_match": pytest.approx(2 / 3), "f1": pytest.approx((1 + 2 / 3 + 1) / 3),
    }  # fmt: skip
    config = transformers.BertConfig()
    objective.finish(config, answered(objective, some), 384)
    assert Asking.of(config) == Asking(384, 128, 30, None)
    assert config.to_diff_dict()["question_answering"]["max_tokens"] == 384


def test_without_validation_the_threshold_is_zero():
    config = transformers.BertConfig()
    QuestionAnswering(no_answers=True).finish(config, [], 384)
    assert Asking.of(config).threshold == 0


def test_the_report_shows_wrong_answers_the_surest_first():
    objective, page = QuestionAnswering(no_answers=True), Page("report")
    picked = objective.describe(answered(objective, [*SPANS, (5, "eight", 9.0, 1.0, ())]), page)
    assert picked == [(5, "'eight', right: no answer"), (1, "'boat', right: 'ferry boat'")]
    html = "".join(page.parts)
    assert "without one" in html
    assert "compared by characters" in html


def test_what_the_data_decide():
    settle = QuestionAnswering().settle
    assert settle(KIND, Counter({"answer": 3})).no_answers is False
    assert settle(KIND, Counter({"answer": 3, "no answer": 1})).no_answers is True
    assert QuestionAnswering(no_answers=True).settle(KIND, Counter({"answer": 3})).no_answers is True
    with pytest.raises(DataError, match="no question has an answer"):
        settle(KIND, Counter({"no answer": 1}))
    with pytest.raises(DataError, match="1 questions have no answer, and objective"):
        QuestionAnswering(no_answers=False).settle(KIND, Counter({"answer": 3, "no answer": 1}))
