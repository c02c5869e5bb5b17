"""What all trained tokenizers share: how a recipe names them, and the text they see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core.config import Config, resolve
from llmkit.core.console import Console
from llmkit.core.errors import ConfigError, DataError
from llmkit.core.registry import Family
from llmkit.tokenization.trainers import TokenizerPart, TrainingText
from llmkit.tokenization.trainers._sampling import PIECE_CHARS, pieces, rates, sample, unit_hash
from llmkit.tokenization.trainers.bpe import Bpe
from llmkit.tokenization.trainers.existing import Existing
from llmkit.tokenization.trainers.wordpiece import Wordpiece

FAMILY = Family("tokenizer", shorthand=("existing", "path"), default="bpe")


class Recipe(Config):
    """A stage with a tokenizer."""

    tokenizer: Annotated[TokenizerPart, FAMILY] = Bpe()
    """The tokenizer."""


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("bpe", Bpe()),
        ("wordpiece", Wordpiece()),
        ("build/tokens", Existing(path="build/tokens")),
        ({"path": "build/tokens"}, Existing(path="build/tokens")),
        ({"vocab_size": 8000}, Bpe(vocab_size=8000)),
        ({"type": "bpe", "vocab_size": 8000}, Bpe(vocab_size=8000)),
        ({"type": "existing", "path": "bpe"}, Existing(path="bpe")),
        ({}, Bpe()),
    ],
)
def test_what_a_recipe_may_write(written, part):
    assert FAMILY.parse(written) == part


@pytest.mark.parametrize(
    ("sets", "part"),
    [
        (["tokenizer.path=dir"], Existing(path="dir")),
        (["tokenizer=dir"], Existing(path="dir")),
        (["tokenizer=wordpiece"], Wordpiece()),
        (["tokenizer.vocab_size=8000"], Bpe(vocab_size=8000)),
        (["tokenizer.type=wordpiece", "tokenizer.lowercase=false"], Wordpiece(lowercase=False)),
        (["tokenizer.path=dir", "tokenizer.eos_token=</s>"], Existing(path="dir", eos_token="</s>")),
    ],
)
def test_what_set_may_say(sets, part):
    assert resolve(Recipe, sets=sets).config.tokenizer == part


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["tokenizer.path=dir", "tokenizer.vocab_size=8000"], "tokenizer.vocab_size: unknown field"),
        (["tokenizer.type=bpee"], r"tokenizer.type: unknown tokenizer 'bpee'; did you mean 'bpe'\?"),
        (["tokenizer.special_tokens=[a]"], "special token 'a' needs two characters or more"),
        (["tokenizer.vocab_size=256"], "tokenizer.vocab_size: should be greater than 256"),
        (["tokenizer.vocab_size=259"], "vocab_size 259 has no room for 256 bytes and 4 specials"),
        (["tokenizer.type=unigram", "tokenizer.vocab_size=270"], "vocab_size 270 has no room"),
        (["tokenizer.temperature=0.5"], "tokenizer.temperature: should be greater than or equal to 1"),
    ],
)
def test_config_errors(sets, message):
    with pytest.raises(ConfigError, match=message):
        resolve(Recipe, sets=sets)


def test_rates_by_hand():
    sizes = {"a": 900, "b": 100}
    assert rates(sizes, max_bytes=None, weights={}, temperature=1) == {"a": 1, "b": 1}
    assert rates(sizes, max_bytes=500, weights={}, temperature=1) == {"a": 0.5, "b": 0.5}
    # 900^(1/2) : 100^(1/2) = 3 : 1, of 1,000 bytes: 750 and 250.
    assert rates(sizes, max_bytes=None, weights={}, temperature=2) == pytest.approx({"a": 750 / 900, "b": 2.5})
    # 900 * 1 : 100 * 9 = 1 : 1, of 200 bytes.
    assert rates(sizes, max_bytes=200, weights={"b": 9}, temperature=1) == pytest.approx({"a": 1 / 9, "b": 1})
    assert rates(sizes, max_bytes=None, weights={"b": 0}, temperature=1) == pytest.approx({"a": 10 / 9, "b": 0})
    assert rates({**sizes, "empty": 0}, max_bytes=500, weights={}, temperature=1)["empty"] == 0


def test_weights_that_name_nothing_and_text_that_is_not_there():
    with pytest.raises(ConfigError, match=r"tokenizer\.weights: the corpus has no 'wikki'; did you mean 'wiki'\?"):
        rates({"wiki": 5, "web": 5}, max_bytes=None, weights={"wikki": 2}, temperature=1)
    for sizes, weights in (({}, {}), ({"a": 0}, {}), ({"a": 5}, {"a": 0.0})):
        with pytest.raises(DataError, match="there is no text"):
            rates(sizes, max_bytes=10, weights=weights, temperature=1)


TEXTS = [TrainingText(f"document {i} 春天来了", "web" if i % 4 else "书", "en") for i in range(2000)]


def chosen(texts=TEXTS, **how):
    how = {"max_bytes": None, "weights": {}, "temperature": 1.0, **how}
    return list(sample(lambda: iter(texts), lambda text: text.source, **how))


def test_a_sample_is_of_the_whole_corpus_and_about_the_size_asked_for():
    total = sum(len(text.text.encode()) for text in TEXTS)
    assert chosen() == [text.text for text in TEXTS]
    kept = chosen(max_bytes=total // 4)
    assert abs(sum(len(text.encode()) for text in kept) / (total / 4) - 1) < 0.15
    places = [[text.text for text in TEXTS].index(text) for text in kept]
    assert places == sorted(places)
    assert all(sum(start <= place < start + 200 for place in places) > 20 for start in range(0, 2000, 200))


def test_a_sample_does_not_depend_on_the_order():
    kept = chosen(max_bytes=20_000)
    assert sorted(chosen(TEXTS[::-1], max_bytes=20_000)) == sorted(kept)
    assert 0 < len(kept) < len(TEXTS)


def test_weights_repeat_what_is_too_little():
    books = [text.text for text in TEXTS if text.source == "书"]
    kept = chosen(weights={"web": 0})
    assert set(kept) <= set(books)
    assert all(kept.count(text) in (4, 5) for text in books)


def test_parts_see_languages_or_sources():
    texts = [TrainingText("english", "x", "en"), TrainingText("中文", "x", "zh")]
    part = Bpe(weight_by="language", weights={"en": 0})
    assert set(part.sample(lambda: iter(texts))) == {"中文"}
    with pytest.raises(ConfigError, match="no 'en'"):
        list(Bpe(weights={"en": 0}).sample(lambda: iter(texts)))


@given(st.text(max_size=50), st.integers(0, 2000), st.text(alphabet="ab \n你", min_size=1, max_size=30))
def test_pieces_are_the_text(head, repeats, tail):
    text = head + tail * repeats
    cut = list(pieces(text))
    assert "".join(cut) == text
    assert all(PIECE_CHARS // 2 < len(piece) <= 2 * PIECE_CHARS for piece in cut[:-1])
    assert len(cut[-1]) <= 2 * PIECE_CHARS


def test_pieces_end_at_lines_or_words():
    words = "word " * 5000
    assert [piece[-5:] for piece in pieces(words)] == ["word "] * len(list(pieces(words)))
    lines = "some words here\n" * 3000
    assert all(piece.endswith("here\n") for piece in pieces(lines))


def test_the_hash_is_fixed():
    assert unit_hash("你好") == unit_hash("你好") != unit_hash("你好 ")
    assert 0 <= unit_hash("") < 1
    # The mean of many uniform numbers: 0.5 give or take 1 / sqrt(12 * 2000) = 0.0065.
    assert abs(sum(unit_hash(text.text) for text in TEXTS) / len(TEXTS) - 0.5) < 0.03


def test_a_smaller_vocabulary_than_asked_for_is_told():
    part = Bpe(vocab_size=5000)
    tokenizer = part.make(lambda: iter([TrainingText("tiny", "x", "en")]), Console(quiet=True))
    # 256 bytes, 4 specials, and the merges of one word of four letters.
    assert part.notes(tokenizer) == ["note: the text gave only 263 of 5,000 tokens"]
    assert Bpe(vocab_size=263).notes(tokenizer) == []
    assert Bpe().needs_text()
    assert Bpe().reads() == []


FRESH = """
import hashlib, json, sys
from llmkit.core.console import Console
from llmkit.core.registry import Family
from llmkit.tokenization.trainers import TrainingText

found = {}
texts = [TrainingText(text, "x", "en") for text in json.load(sys.stdin)]
for spec in json.loads(sys.argv[1]):
    tokenizer = Family("tokenizer").parse(spec).make(lambda: iter(texts), Console(quiet=True))
    found[spec["type"]] = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
print(json.dumps(found))
"""


def test_fresh_processes_give_the_same_bytes():
    # Many words that are seen equally often: what is merged first is a matter of ties.
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [
        f"{a}{letters[i - 9]}{b}{letters[i - j]} 春天{a}" for i, a in enumerate(letters) for j, b in enumerate(letters)
    ]
    specs = [
        {"type": "bpe", "vocab_size": 300, "pattern": "deepseek3"},
        {"type": "wordpiece", "vocab_size": 120, "max_alphabet": 30},
        {"type": "unigram", "vocab_size": 330},
    ]
    found = []
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": seed}
        done = subprocess.run(
            [sys.executable, "-c", FRESH, json.dumps(specs)],
            input=json.dumps(texts), env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]
    assert len(set(found[0].values())) == 3
