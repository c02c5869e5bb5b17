"""WordPiece: the vocabulary of `tokenizers`, in an order of its own; ids as BERT's own code gives them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.modeling.tokenizer import encode_documents
from llmkit.tokenization.trainers import TrainingText
from llmkit.tokenization.trainers._alphabet import count_alphabet
from llmkit.tokenization.trainers.wordpiece import SPECIALS, Wordpiece

SENTENCES = [
    "The lowest of the low: lower, slower, slowest!",
    "Café naïve Über-cool; don't stop.",
    "春天来了，花开了。we 去 北京",
    "unaffable unwanted running runner [MASK] 2024",
]


def make(texts=SENTENCES, **fields):
    fields = {"vocab_size": 200, "max_alphabet": 150, **fields}
    part = Wordpiece(**fields)
    return part.make(lambda: iter(TrainingText(text, "x", "en") for text in texts), Console(quiet=True))


def vocabulary(tokenizer):
    return tokenizer.convert_ids_to_tokens(range(len(tokenizer)))


def test_order_by_hand():
    # Characters a and b, b inside words; the only pair is merged once.
    assert vocabulary(make(["ab ab b"])) == [*SPECIALS, "a", "b", "##b", "ab"]
    # Chinese characters and punctuation are words of their own: none of them has a `##` form.
    assert vocabulary(make(["北京,ab"])) == [*SPECIALS, ",", "a", "b", "京", "北", "##b", "ab"]
    assert vocabulary(make(["ab 北京"], chinese_characters=False))[5:] == [
        "a",
        "b",
        "京",
        "北",
        "##b",
        "##京",
        "ab",
        "北京",
    ]
    assert vocabulary(make(["ab"], special_tokens=["[DOC]"]))[:6] == [*SPECIALS, "[DOC]"]


def test_the_same_set_as_tokenizers_own_trainer():
    # Every beginning of a word is a word itself, in numbers of their own: no two pairs are ever seen equally often,
    # for between those the trainer of `tokenizers` chooses by chance.
    numbers = iter(range(101, 10_000, 97))
    texts = [
        f"{word[:i]} " * next(numbers)
        for word in ("lower", "running", "chat", "五谷丰登")
        for i in range(2, len(word) + 1)
    ]
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    for size in (40, 45, 200):
        trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=list(SPECIALS), show_progress=False)
        backend.train_from_iterator(texts, trainer)
        ours = make(texts, vocab_size=size, chinese_characters=False)
        assert set(ours.get_vocab()) == set(backend.get_vocab())
        assert len(ours) == min(size, 52)  # 5 specials, 17 characters, 14 inside words, 16 longer pieces


def test_sizes_are_exact():
    assert [len(make(vocab_size=size)) for size in (110, 118, 126)] == [110, 118, 126]


def greedy(word, vocab):
    """Longest match first, as in BERT's tokenization.py."""
    found, start = [], 0
    while start < len(word):
        for stop in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:stop]
            if piece in vocab:
                break
        else:
            return ["[UNK]"]
        found.append(piece)
        start = stop
    return found


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="lowerstunaf", min_size=1, max_size=12))
def test_words_are_cut_greedily(word):
    tokenizer = TOKENIZER
    ids = encode_documents(tokenizer, [word])[0]
    assert tokenizer.convert_ids_to_tokens(ids) == greedy(word, tokenizer.get_vocab())


TOKENIZER = make()


def test_text_as_bert_reads_it():
    def tokens(tokenizer, text):
        return tokenizer.decode(encode_documents(tokenizer, [text])[0])

    assert tokens(TOKENIZER, "CAFÉ  naïve") == "cafe naive"
    assert tokens(TOKENIZER, "北京花开") == "北 京 花 开"
    assert tokens(make(lowercase=False), "Café") == "Café"
    assert tokens(make(lowercase=False, strip_accents=True), "Café") == "Cafe"
    assert tokens(TOKENIZER, "low ∰ low") == "low [UNK] low"
    assert TOKENIZER.encode("low", "lower") == TOKENIZER.convert_tokens_to_ids(
        ["[CLS]", *TOKENIZER.tokenize("low"), "[SEP]", *TOKENIZER.tokenize("lower"), "[SEP]"]
    )
    assert TOKENIZER("low", "low", return_token_type_ids=True)["token_type_ids"][-1] == 1
    assert (TOKENIZER.pad_token_id, TOKENIZER.unk_token_id, TOKENIZER.mask_token_id) == (0, 1, 4)


def test_a_special_token_in_the_text_is_text():
    ids = encode_documents(TOKENIZER, ["a [MASK] b [SEP]"])[0]
    assert not {2, 3, 4} & set(ids.tolist())
    assert TOKENIZER.mask_token_id in TOKENIZER.encode("a [MASK] b")


def test_alphabet_by_hand():
    tokenizer = Wordpiece()._prepare(Tokenizer(models.WordPiece(unk_token="[UNK]")))
    found = count_alphabet(["Ab, ba", "a\u00a0京c"], tokenizer, 100)
    assert found.characters == [",", "a", "b", "c", "京"]
    assert found.continuing == ["a", "b"]
    # a three times, b twice, the others once: none of those is chosen where not all of them fit.
    assert count_alphabet(["Ab, ba", "a 京c"], tokenizer, 4).characters == ["a", "b"]
    assert count_alphabet(["Ab, ba", "a 京c"], tokenizer, 1).characters == ["a"]


def test_what_is_left_out_of_the_alphabet_is_unknown():
    tokenizer = make(["aaa aaa bbb bbb c"], max_alphabet=2)
    assert vocabulary(tokenizer)[5:9] == ["a", "b", "##a", "##b"]
    assert encode_documents(tokenizer, ["aaa c"])[0].tolist()[1:] == [1]


def test_errors():
    with pytest.raises(ConfigError, match=r"tokenizer\.vocab_size: 20 has no room for the \d+ characters") as caught:
        make(vocab_size=20)
    assert "tokenizer.max_alphabet" in caught.value.hint
    for texts in ([], [""], ["  \n"]):
        with pytest.raises(DataError, match="no text to train"):
            make(texts)


def test_the_file_is_what_transformers_loads(tmp_path):
    from transformers import AutoTokenizer

    TOKENIZER.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.encode("The lowest 春天") == TOKENIZER.encode("The lowest 春天")
    model = json.loads((tmp_path / "tokenizer.json").read_text())["model"]
    assert (model["type"], model["continuing_subword_prefix"]) == ("WordPiece", "##")
