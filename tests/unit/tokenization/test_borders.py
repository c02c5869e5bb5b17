from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from llmkit.tokenization.borders import border_of, chunks
from llmkit.tokenization.trainers._patterns import byte_level

TEXT = (
    "It's the year 1984 (or 12,345.67). Don't panic! 中文，和English混在一起。没有空格，也没有换行。\n"
    "def f(x):\n\treturn x ** 2  # 'quoted'\n\n\nnew paragraph\r\nwindows ends\n第二行。\n"
    "\t  tabs\u3000全角　blank e\u0301"
)
PATTERNS = [(p, "pattern", "pattern") for p in ("gpt2", "llama3", "qwen2", "o200k", "deepseek3")]
PATTERNS += [
    ("gpt2", "one", "runs"),
    ("llama3", "three_from_right", "characters"),
    ("o200k", "three_from_left", "runs"),
]


def trained(pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT] * 3, trainers.BpeTrainer(vocab_size=500, initial_alphabet=sorted(alphabet)))
    return tokenizer


def content(tokenizer):
    return json.loads(tokenizer.to_str())


TRAINED = {pattern: trained(byte_level(*pattern)) for pattern in PATTERNS}


def cut(text, size, tokenizer=TRAINED[PATTERNS[0]]):
    document = text.encode()
    found = [document[a:b] for a, b in chunks(document, size, border_of(content(tokenizer)))]
    assert b"".join(found) == document
    return [piece.decode() for piece in found]


def same_ids(tokenizer, text, size):
    whole = tokenizer.encode(text, add_special_tokens=False).ids
    pieces = tokenizer.encode_batch(cut(text, size, tokenizer), add_special_tokens=False)
    assert [i for piece in pieces for i in piece.ids] == whole


@pytest.mark.parametrize("pattern", PATTERNS)
def test_pieces_have_the_ids_of_the_whole(pattern):
    tokenizer = TRAINED[pattern]
    words = [word for part in TEXT.split(" ") for word in (part, " ")]
    rng = random.Random(str(pattern))
    for _ in range(30):
        text = "".join(rng.choices([*words, "\n", "。", "，", "中", "9", "'", "s "], k=60))
        same_ids(tokenizer, text, 1)
    assert len(cut(TEXT, 1)) > 15


@settings(max_examples=60)
@given(st.text(st.sampled_from("ab中文 \n\r\t。，'.!9e\u0301\u3000é/"), max_size=60))
def test_any_text_has_the_same_ids_in_pieces(text):
    for pattern in PATTERNS:
        same_ids(TRAINED[pattern], text, 1)


def test_borders_by_hand():
    # Before a single space and behind a single line end between characters, and before Chinese commas and full stops.
    assert cut("ab cd  ef\ngh\n\nij k", 1) == ["ab", " cd  ef\n", "gh\n\nij", " k"]
    assert cut("天下大势，分久。必合", 1) == ["天下大势", "，分久", "。必合"]
    assert cut("ab, 9 cd", 1) == ["ab, 9", " cd"]
    assert cut("nothing", 1) == ["nothing"]
    assert cut("", 1) == [""]
    assert cut("one two three four", 8) == ["one two three", " four"]


def test_word_pieces_may_be_cut_too():
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "ab": 1, "中": 2, "，": 3, "cd": 4}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    same_ids(tokenizer, "ab 中，中 cd\nab zz", 1)


def sentence_pieces():
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0), ("▁ab", -1), ("▁", -2), ("a", -3), ("b", -3), ("中", -3)], 0))
    replaced = [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence([*replaced, normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("▁*[^▁]+|▁+"), "isolated")
    return tokenizer


@given(st.text(st.sampled_from("ab中 ▁\n，。"), max_size=40))
def test_sentence_pieces_are_cut_before_spaces_only(text):
    same_ids(sentence_pieces(), text, 1)


def test_sentence_pieces_by_hand():
    assert cut("ab ab\nab中，ab  b 中 a", 1, sentence_pieces()) == ["ab", " ab\nab中，ab  b", " 中", " a"]
    without = sentence_pieces()
    without.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    assert border_of(content(without)) is None  # a piece that begins with a space would have two


def test_what_is_not_known_is_not_cut():
    def split(expression, behavior="isolated"):
        cutters = [pre_tokenizers.Split(Regex(expression), behavior), pre_tokenizers.ByteLevel(False, use_regex=False)]
        return trained(pre_tokenizers.Sequence(cutters))

    assert not border_of(content(split(r"\n")))  # nothing is cut at spaces
    assert not border_of(content(split(r"\w+ \w+")))  # a match lies across
    assert not border_of(content(trained(pre_tokenizers.ByteLevel(add_prefix_space=True))))
    assert not border_of(content(trained(pre_tokenizers.ByteLevel(False, use_regex=False))))
    assert not border_of(content(Tokenizer(models.BPE())))
    lowered = trained(byte_level("gpt2", "pattern", "pattern"), normalizers.Replace(" ", ""))
    assert not border_of(content(lowered))


def test_an_added_token_with_a_blank_may_lie_across():
    for token, known in (("New York", False), ("NewYork", True), ("，", False)):
        tokenizer = Tokenizer.from_str(TRAINED[PATTERNS[0]].to_str())
        tokenizer.add_tokens([token])
        assert (border_of(content(tokenizer)) is not None) is known


def test_special_tokens_count_where_they_are_found():
    for token, known in ((AddedToken("<x>", rstrip=True), False), (AddedToken("<x y>"), False), ("<x>", True)):
        tokenizer = Tokenizer.from_str(TRAINED[PATTERNS[0]].to_str())
        tokenizer.add_special_tokens([token])
        assert border_of(content(tokenizer)) is not None
        assert (border_of(content(tokenizer), allow_special=True) is not None) is known
