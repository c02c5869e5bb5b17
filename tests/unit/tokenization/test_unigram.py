"""Unigram and other SentencePiece models: the ids of sentencepiece itself."""

from __future__ import annotations

import io
from itertools import product

import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.sentencepiece_model import BYTE, CONTROL, UNIGRAM, UNKNOWN, read_model
from llmkit.modeling.sentencepiece_pipeline import exceptions, to_tokenizer
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.trainers import TrainingText
from llmkit.tokenization.trainers.existing import Existing
from llmkit.tokenization.trainers.unigram import LINE_CHARS, Unigram

SUBJECTS = ("the fox", "a river", "my neighbour", "the old clock", "rain", "the editor", "春天", "火车", "他的朋友")
VERBS = ("crosses", "remembers", "follows", "来了，看见", "paints", "喜欢", "misses")
SYLLABLES = ("ba", "dro", "fin", "gul", "ket", "lim", "mo", "nar", "pes", "tiv", "春", "花", "火车")
WORDS = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES[::4]]
TEXTS = [f"{s} {v} {o}, {i % 90} times. {o}{s}" for i, (s, v, o) in enumerate(product(SUBJECTS, VERBS, SUBJECTS))]
TEXTS += [" ".join(WORDS[i : i + 12]) for i in range(0, len(WORDS), 7)]
HARD = [
    "", " ", "  a  b ", "\ta\n\nb", "x </s> <unk> <pad> <0x41> y", "👩‍👩‍👧‍👦 🏳️‍🌈",
    "cafe\u0301 ﬁ Ａ１２ ｱ", "a\u00a0b\u200bc",
    "春天来了。花开了！", "한국어 Ελληνικά", "zzzz", "the fox\u3000follows", "▁x", "\ufeff1234",
]  # fmt: skip
VARIANTS = {
    "plain": {},
    "spaces": {"normalizer": "none", "collapse_spaces": False, "digits": "one"},
    "no bytes": {"byte_fallback": False, "prefix_space": False, "normalizer": "nmt_nfkc_cf", "scripts_apart": False},
    "special": {"special_tokens": ["<|im_start|>"], "normalizer": "nfkc"},
}


def texts():
    return iter(TrainingText(text, "x", "en") for text in TEXTS)


def lines_for(processor):
    """Without bytes to fall back on, `<` is unknown, and so is `<unk>` as a whole then."""
    has_bytes = processor.piece_to_id("<0x41>") != processor.unk_id()
    return [*TEXTS[::5], *(line if has_bytes else line.replace("<unk>", "") for line in HARD)]


@pytest.fixture(scope="module", params=VARIANTS)
def trained(request):
    content = Unigram(vocab_size=420, **VARIANTS[request.param]).train(texts)
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    return processor, to_tokenizer(read_model(content, "model"))


def test_ids_are_those_of_sentencepiece(trained):
    processor, tokenizer = trained
    lines = lines_for(processor)
    assert [ids.tolist() for ids in encode_documents(tokenizer, lines)] == processor.encode(lines)
    assert tokenizer.convert_ids_to_tokens(range(len(tokenizer))) == [
        processor.id_to_piece(i) for i in range(processor.get_piece_size())
    ]
    assert (tokenizer.pad_token, tokenizer.eos_token, tokenizer.unk_token) == ("<pad>", "</s>", "<unk>")
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer.bos_token is None


@settings(max_examples=100, deadline=None)
@given(text=st.lists(st.sampled_from([*SUBJECTS, *VERBS, " ", "  ", "1", "9", ",", "🦊", "</s>", "é"])).map("".join))
def test_ids_of_any_text(trained, text):
    processor, tokenizer = trained
    ids = encode_documents(tokenizer, [text])[0].tolist()
    # Where two ways to cut are equally good, rounding chooses: then the scores are the same.
    expected = processor.encode(text)
    assert ids == expected or sum(map(processor.get_score, ids)) == pytest.approx(
        sum(map(processor.get_score, expected)), rel=1e-6
    )
    if tokenizer.unk_token_id not in ids:  # sentencepiece writes it as a question mark
        assert processor.decode(ids) == tokenizer.decode(ids)


def test_nothing_is_lost_without_normalizer():
    part = Unigram(vocab_size=420, normalizer="none", collapse_spaces=False)
    tokenizer = part.make(texts, Console(quiet=True))
    kept = [text for text in HARD if "▁" not in text]  # that one is how SentencePiece writes a space
    assert [tokenizer.decode(ids) for ids in encode_documents(tokenizer, kept)] == kept
    assert not any({0, 1, 2} & set(ids.tolist()) for ids in encode_documents(tokenizer, HARD))


def test_sizes_and_sentinels():
    tokenizer = Unigram(vocab_size=430, sentinels=10).make(texts, Console(quiet=True))
    assert len(tokenizer) == 430
    assert tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_9>"]) == [429, 420]
    assert "<extra_id_3>" in tokenizer.all_special_tokens
    ids = encode_documents(tokenizer, ["a <extra_id_0> b"])[0]
    assert 429 not in ids
    part = Unigram(vocab_size=20_000)
    small = part.make(texts, Console(quiet=True))
    assert len(small) < 20_000
    assert part.notes(small) == [f"note: the text gave only {len(small):,} of 20,000 tokens"]


def test_long_lines_are_cut_not_dropped():
    line = " ".join(f"word{i}" for i in range(1000))
    part = Unigram(vocab_size=420)
    for text in (line, "字" * 9999):
        cut = list(part._lines(lambda text=text: iter([TrainingText(text, "x", "en")])))
        assert "".join(cut) == text
        assert max(map(len, cut)) <= LINE_CHARS
    assert list(part._lines(lambda: iter([TrainingText("a\n\n  \nb", "x", "en")]))) == ["a", "b"]


def test_errors():
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size: sentencepiece cannot train 300 tokens"):
        Unigram(vocab_size=300).make(
            lambda: iter([TrainingText("".join(chr(0x4E00 + i) for i in range(500)), "", "")]), Console(quiet=True)
        )
    with pytest.raises(DataError, match="no text to train"):
        Unigram().make(lambda: iter(()), Console(quiet=True))


def train(**how):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([text.strip() for text in TEXTS]),
        model_writer=model,
        minloglevel=2,
        num_threads=1,
        **how,
    )
    return model.getvalue()


@pytest.mark.parametrize(
    "how",
    [
        {"model_type": "bpe", "vocab_size": 300},
        {
            "model_type": "bpe",
            "vocab_size": 500,
            "byte_fallback": True,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
            "allow_whitespace_only_pieces": True,
        },
        {"model_type": "unigram", "vocab_size": 200, "user_defined_symbols": ["<sep>", "春天来"]},
        {"model_type": "unigram", "vocab_size": 200, "split_by_whitespace": False},
    ],
)
def test_models_trained_elsewhere(how):
    content = train(**how)
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    tokenizer = to_tokenizer(read_model(content, "model"))
    lines = [*lines_for(processor), "a<sep> 春天来了 <sep>"]
    assert [ids.tolist() for ids in encode_documents(tokenizer, lines)] == processor.encode(lines)
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<s>", "</s>", None)


SYMBOLS = ["<sep>", "<sep><sep2>", "春天来", "x|y"]
ATOMS = [
    *SYMBOLS,
    " ",
    "  ",
    "a",
    "the",
    "fox",
    "</s>",
    "<0x41>",
    "<0x0A>",
    "1",
    "🦊",
    "é",
    "\n",
    "ﬁ",
    "Ａ",
    "<",
    "0x41>",
]
RULES = list(product(("bpe", "unigram"), ("identity", "nmt_nfkc"), (True, False), (True, False)))


@pytest.fixture(scope="module", params=RULES, ids=lambda rules: "-".join(map(str, rules)))
def with_symbols(request):
    kind, rule, prefix, collapse = request.param
    content = train(
        model_type=kind,
        vocab_size=500,
        hard_vocab_limit=False,
        byte_fallback=True,
        normalization_rule_name=rule,
        add_dummy_prefix=prefix,
        remove_extra_whitespaces=collapse,
        user_defined_symbols=SYMBOLS,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=content), to_tokenizer(read_model(content, "model"))


@settings(max_examples=60, deadline=None)
@given(text=st.lists(st.sampled_from(ATOMS), max_size=9).map("".join))
def test_symbols_and_names_of_bytes_under_every_rule(with_symbols, text):
    """A symbol keeps the spaces around it, whatever the rules; `<` is unknown, and `<0x41>` never the byte A."""
    processor, tokenizer = with_symbols
    for line in (text, "<sep>", "a <sep> b", " <sep>", "<0x41>", "<sep><0x41>"):
        ids, expected = encode_documents(tokenizer, [line])[0].tolist(), processor.encode(line)
        if ids != expected:  # between equally good ways to cut, rounding chooses
            assert tokenizer.backend_tokenizer.model.__class__.__name__ == "Unigram"
            assert sum(map(processor.get_score, ids)) == pytest.approx(
                sum(map(processor.get_score, expected)), rel=1e-6
            )


def test_symbols_that_the_rules_would_change_are_refused():
    content = train(model_type="bpe", vocab_size=300, user_defined_symbols=["a  b"])
    with pytest.raises(
        DataError, match="remove_extra_whitespaces, normalization_rule_name, which would change its symbol 'a  b'"
    ):
        to_tokenizer(read_model(content, "model"))
    content = train(model_type="bpe", vocab_size=300, user_defined_symbols=["Ａ"], remove_extra_whitespaces=False)
    with pytest.raises(DataError, match="under the rules add_dummy_prefix, normalization_rule_name, which would"):
        to_tokenizer(read_model(content, "model"))


def test_where_ids_may_differ_is_said():
    plain = train(model_type="bpe", vocab_size=300, normalization_rule_name="identity")
    assert exceptions(read_model(plain, "model")) == []
    assert exceptions(read_model(Unigram(vocab_size=420).train(texts), "model")) == [
        "between equally good ways to cut, rounding chooses",
        "Hangul in single jamo is normalized by syllables",
    ]


def test_a_literal_unknown_token_without_bytes_is_said_to_be_one():
    model = read_model(Unigram(vocab_size=420, byte_fallback=False, normalizer="none").train(texts), "model")
    assert exceptions(model)[1] == "a literal <unk> in a text is one unknown token"


def test_the_result_says_whose_ids_they_are(tmp_path):
    (tmp_path / "spiece.model").write_bytes(Unigram(vocab_size=420).train(texts))
    for place in (tmp_path, tmp_path / "spiece.model"):
        part = Existing(path=str(place))
        assert part.notes(part.make(texts, Console(quiet=True)))[0] == (
            "note: ids are those of sentencepiece; only between equally good ways to cut, rounding chooses, and Hangul "
            "in single jamo is normalized by syllables"
        )


def test_reading_a_model():
    model = read_model(Unigram(vocab_size=420).train(texts), "model")
    assert (model.model_type, model.byte_fallback, model.prefix_space, model.collapse_spaces) == (
        UNIGRAM,
        True,
        True,
        True,
    )
    assert [piece.text for piece in model.pieces[:5]] == ["<pad>", "</s>", "<unk>", "<0x00>", "<0x01>"]
    assert [piece.kind for piece in model.pieces[:4]] == [CONTROL, CONTROL, UNKNOWN, BYTE]
    assert model.specials == {"unk": 2, "eos": 1, "pad": 0}
    assert len(model.character_map) > 10_000
    from llmkit.modeling.sentencepiece_model import _number

    assert _number({41: [(2**64 - 1).to_bytes(8, "little")]}, 41, 1) == -1


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"\x0a", b"hello world", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x00\x1a\x00"]
)
def test_no_model(content):
    with pytest.raises(DataError, match=r"bad\.model is not a SentencePiece model"):
        read_model(content, "bad.model")


def test_models_that_cannot_be_converted():
    with pytest.raises(DataError, match=r"w\.model is a SentencePiece model of type word; only unigram and bpe"):
        read_model(train(model_type="word", vocab_size=20), "w.model")
    with pytest.raises(DataError, match="treat_whitespace_as_suffix"):
        read_model(train(model_type="unigram", vocab_size=200, treat_whitespace_as_suffix=True), "s.model")
