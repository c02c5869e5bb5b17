"""Keys are found whether they have digits or not, and random text that is none is left alone."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llmkit.text.personal.keys import find_secrets

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
COUNT = 300


@pytest.fixture(scope="module")
def planted() -> Iterator[ModuleType]:
    """Return the made keys of the benchmark, which measures the same with 10,000 a kind."""
    sys.path.insert(0, str(BENCHMARKS))
    yield importlib.import_module("_planted_keys")
    sys.path.remove(str(BENCHMARKS))


def secrets_in(text: str) -> list[str]:
    return [text[start:end] for start, end in find_secrets(text, text.encode())]


def test_keys_of_every_issuer_are_found_bare(planted):
    rng = random.Random(1)
    for kind, make in planted.ISSUED.items():
        keys = [make(rng) for _ in range(COUNT)]
        missed = [key for key in keys if secrets_in(rng.choice(planted.SENTENCES).format(key)) != [key]]
        assert len(missed) <= 1, kind  # 0.999 of 300


def test_keys_without_a_digit_are_found(planted):
    rng = random.Random(2)
    letters = planted.text_of(planted.LETTERS, 64)
    upper = planted.text_of(planted.UPPER, 16)
    for make in (
        lambda: "AK" + "IA" + upper(rng),
        lambda: "gl" + "pat-" + letters(rng)[:20],
        lambda: "s" + "k_live_" + letters(rng)[:24],
        lambda: "gh" + "p_" + letters(rng)[:36],
        lambda: "s" + "k-" + letters(rng)[:48],
        lambda: "np" + "m_" + letters(rng)[:36],
    ):
        keys = [make() for _ in range(COUNT)]
        # Of 16 letters alone 1 in 200 reads like words.
        assert sum(secrets_in(f"see {key} there") == [key] for key in keys) >= COUNT - 5, keys[0]


def test_keys_that_a_name_tells_are_found_with_few_digits_or_none(planted):
    rng = random.Random(3)
    for kind, (frame, make) in planted.NAMED.items():
        keys = [make(rng) for _ in range(COUNT)]
        missed = [key for key in keys if secrets_in(rng.choice(planted.SENTENCES).format(frame.format(key))) != [key]]
        assert len(missed) <= 1, kind


def test_look_alikes_are_left_alone(planted):
    rng = random.Random(4)
    for kind, make in planted.LOOKALIKES.items():
        texts = [rng.choice(planted.SENTENCES).format(make(rng)) for _ in range(COUNT)]
        assert not [text for text in texts if secrets_in(text)], kind


@pytest.mark.parametrize(
    "text",
    [
        "ASIA" + "PACIFICCOUNTRIES",
        "token = getTheTokenFromTheCache(request)",
        "secret = kmalloc_with_flags_and_size",
        "password: correct-horse-battery-staple",
        "token = build/output/2024/Tokenizer_v10",
        "token = self.secretTokenOfTheUser.value",
        "0x16 module signing key: d69a84e6bce3d216b979e9505b3e3ef9a7118079",
    ],
)
def test_words_and_paths_are_no_keys(text):
    assert secrets_in(text) == []


def test_a_sentence_may_end_behind_a_key(planted):
    key = planted.text_of(planted.ALNUM, 32)(random.Random(5))
    assert secrets_in(f"the API key: {key}. Then go on.") == [key]
    assert secrets_in(f"token = {key}.decode()") == []
