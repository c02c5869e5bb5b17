from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from llmkit.cleaning.steps.sample import Sample
from llmkit.data.corpus import Document

IDS = [hashlib.blake2b(str(i).encode(), digest_size=16).hexdigest() for i in range(4000)]


def kept(source: str = "web", **fields: object) -> set[str]:
    step = Sample(**fields)
    return {i for i in IDS if step.apply(Document(i, "", source)) is None}


def test_the_fraction_is_kept_and_a_smaller_sample_is_part_of_a_larger():
    tenth, half = kept(fraction=0.1), kept(fraction=0.5)
    assert 320 < len(tenth) < 480  # 400 expected, standard deviation 19
    assert 1870 < len(half) < 2130  # 2000 expected, standard deviation 32
    assert tenth < half


def test_bounds_and_default():
    assert kept(fraction=0) == set()
    assert kept(fraction=1.0) == kept() == set(IDS)


def test_seeds_differ_and_repeat():
    assert kept(fraction=0.5, seed=1) == kept(fraction=0.5, seed=1)
    common = len(kept(fraction=0.5, seed=1) & kept(fraction=0.5, seed=2))
    assert 880 < common < 1120  # independent: a quarter


def test_sources_have_their_own_fraction():
    fields = {"fraction": 0.1, "per_source": {"books": 1.0, "spam": 0.0}}
    assert kept("books", **fields) == set(IDS)
    assert kept("spam", **fields) == set()
    assert kept("web", **fields) == kept(fraction=0.1)


def test_the_drop_is_explained_by_hand():
    # blake2b-64 of "7 abc", its upper 53 bits as a fraction of one.
    value = (int(hashlib.blake2b(b"7 abc", digest_size=8).hexdigest(), 16) >> 11) / 2**53
    drop = Sample(fraction=value, seed=7).apply(Document("abc", "", "s"))
    assert (drop.rule, drop.value, drop.threshold) == ("sample", round(value, 6), value)
    assert Sample(fraction=value + 1e-9, seed=7).apply(Document("abc", "", "s")) is None


@pytest.mark.parametrize("fields", [{"fraction": 1.5}, {"per_source": {"a": -0.1}}])
def test_fractions_lie_between_0_and_1(fields):
    with pytest.raises(ValidationError, match="than or equal to"):
        Sample(**fields)
