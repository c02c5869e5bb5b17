from __future__ import annotations

import random
import re
from itertools import pairwise

import numpy as np
import pytest
from test_exact_duplicates import decided

from llmkit.cleaning.steps.near_duplicates import NearDuplicates
from llmkit.data.corpus import Document

CHINESE = "春夏秋冬山水花鸟天地人心东西南北上下左右红黄蓝白大小多少来去日月星云风雨雷电江河湖海"


def words(rng, count):
    return ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(count)]


def edited(rng, tokens, changed, new):
    tokens = list(tokens)
    for place in range(changed):
        tokens[place * len(tokens) // changed] = new(rng)
    return tokens


def found(step, texts, folder, ids="123456789abcdef0"):
    """Return the counts, and what fell by the first digit of the id."""
    return decided(step, [[Document(i * 32, text, "s") for i, text in zip(ids, texts, strict=False)]], folder)


def test_an_edited_copy_falls_and_the_smallest_id_stays_whatever_the_order(tmp_path):
    rng = random.Random(1)
    tokens = words(rng, 200)
    texts = [" ".join(tokens), " ".join(edited(rng, tokens, 4, lambda r: words(r, 1)[0])), " ".join(words(rng, 200))]
    step = NearDuplicates()
    documents = [Document(i * 32, text, "s") for i, text in zip("523", texts, strict=True)]
    counts, drops = decided(step, [documents], tmp_path / "a")
    # 4 words spoil 16 to 20 of 196 shingles: J is at least 176 / 216.
    assert counts["groups"] == 1
    assert set(drops) == {"5"}
    rule, value = drops["5"]
    assert rule == "near_duplicates"
    assert 0.7 <= float(value.split()[0]) <= 0.95
    assert value.endswith(f" like {'2' * 32}")
    for i, tasks in enumerate(([documents[::-1]], [[d] for d in documents], [[], documents[1:], documents[:1]])):
        assert decided(step, tasks, tmp_path / str(i), num_buckets=1 + i) == (counts, drops)


@pytest.mark.parametrize(
    "text", ["".join(random.Random(2).choices(CHINESE, k=120)), "混合 text 中 ".join(words(random.Random(3), 40))]
)
def test_chinese_and_mixed_text(tmp_path, text):
    other = "".join(random.Random(4).choices(CHINESE, k=120))
    edit = text[:60] + ("换了" if text[60] not in "换了" else "别的") + text[62:]
    assert set(found(NearDuplicates(), [text, edit, other], tmp_path)[1]) == {"2"}


def test_punctuation_and_case_do_not_count(tmp_path):
    text = " ".join(words(random.Random(5), 60))
    other = text.upper().replace(" ", ", ") + "!"
    counts, drops = found(NearDuplicates(), [text, other], tmp_path)
    assert drops == {"2": ("near_duplicates", f"1.00 like {'1' * 32}")}
    assert counts["groups"] == 1


def test_short_documents_fall_only_if_their_words_are_the_same(tmp_path):
    texts = ["one two three", "One, two: three!", "one two four", "", "  ", "?!", "word", "word", "好", "好。", "坏"]
    counts, drops = found(NearDuplicates(), texts, tmp_path)
    assert {digit: rule for digit, (rule, _) in drops.items()} == {
        "2": "near_duplicates.short",
        "8": "near_duplicates.short",
        "a": "near_duplicates.short",
    }
    assert drops["2"] == ("near_duplicates.short", f"same words as {'1' * 32}")
    assert counts["short texts with copies"] == 3
    assert counts["groups"] == 0


def test_the_limit_of_short_documents_is_in_words(tmp_path):
    tokens = words(random.Random(6), 20)
    texts = [" ".join(tokens), " ".join([*tokens[:19], "different"])]
    # 16 shingles, of which 15 are shared: J = 15 / 17.
    assert set(found(NearDuplicates(min_words=20), texts, tmp_path / "a")[1]) == {"2"}
    assert found(NearDuplicates(min_words=21), texts, tmp_path / "b")[1] == {}


def test_what_is_less_similar_than_asked_stays(tmp_path):
    rng = random.Random(7)
    tokens = words(rng, 200)
    texts = [" ".join(tokens), " ".join(edited(rng, tokens, 8, lambda r: words(r, 1)[0]))]
    # 8 words spoil 40 of 196 shingles (36 if one is the first): J = 156 / 236 = 0.66, 160 / 232 = 0.69.
    # 28 bands of 4 find it with a probability of 1 - (1 - 0.66 ** 4) ** 28 = 0.997.
    assert set(found(NearDuplicates(bands=28, rows=4, similarity=0.5), texts, tmp_path / "a")[1]) == {"2"}
    assert found(NearDuplicates(bands=28, rows=4, similarity=0.85), texts, tmp_path / "b")[1] == {}


def test_a_chain_is_one_group(tmp_path):
    rng = random.Random(8)
    first = words(rng, 200)
    middle = [*words(rng, 24), *first[24:]]
    last = [*middle[:176], *words(rng, 24)]
    # Neighbours share 172 of 220 shingles, J = 0.78; the ends 148 of 244, J = 0.61.
    texts = [" ".join(tokens) for tokens in (first, middle, last)]
    step = NearDuplicates(similarity=0.7)
    assert found(step, [texts[0], texts[2]], tmp_path / "ends")[1] == {}
    counts, drops = found(step, texts, tmp_path / "all")
    assert set(drops) == {"2", "3"}
    assert counts["groups"] == 1
    # What is said of the last is the pair that was verified, and what that one was compared with.
    assert re.fullmatch(rf"0\.\d\d like {'1' * 32}", drops["2"][1])
    assert re.fullmatch(rf"0\.\d\d like {'2' * 32}, that 0\.\d\d like {'1' * 32}", drops["3"][1])
    for _, value in drops.values():
        assert all(abs(float(number) - 172 / 220) < 0.15 for number in re.findall(r"0\.\d\d", value))


def test_a_long_way_names_its_first_pairs_and_the_one_that_stays(tmp_path):
    """Windows over one long text: each is similar to the next ones, the first and the last share nothing."""
    rng = random.Random(13)
    tokens = words(rng, 800)
    windows = [tokens[start : start + 200] for start in range(0, 600, 10)]
    documents = [Document(f"{i:016x}{0:016x}", " ".join(window), "s") for i, window in enumerate(windows)]
    counts, drops = decided(NearDuplicates(), [documents], tmp_path, key=lambda document: document.id)
    assert counts["groups"] == 1
    assert len(drops) == len(documents) - 1
    grams = [{tuple(window[i : i + 5]) for i in range(196)} for window in windows]
    for name, (_, value) in drops.items():
        pairs = re.findall(r"(\d\.\d\d) like ([0-9a-f]{32})", value)
        way = [int(name[:16], 16), *(int(partner[:16], 16) for _, partner in pairs)]
        for (similarity, _), (one, other) in zip(pairs, pairwise(way), strict=True):
            jaccard = len(grams[one] & grams[other]) / len(grams[one] | grams[other])
            assert abs(float(similarity) - jaccard) < 0.2  # five standard errors of 112 values
            assert jaccard > 0.5
        further = re.search(r", and (\d+) pairs further ([0-9a-f]{32})$", value)
        assert int(further[2], 16) == 0 if further else way[-1] == 0
        assert len(pairs) == 3 or not further
    assert any("pairs further" in value for _, value in drops.values())


def test_unrelated_documents_with_common_phrases_stay(tmp_path):
    rng = random.Random(9)
    phrase = words(rng, 40)
    texts = [" ".join([*phrase, *words(rng, 100)]) for _ in range(15)]
    assert found(NearDuplicates(), texts, tmp_path)[1] == {}


def test_fields_of_another_size(tmp_path):
    rng = random.Random(10)
    tokens = words(rng, 100)
    texts = [" ".join(tokens), " ".join(edited(rng, tokens, 3, lambda r: words(r, 1)[0]))]
    for i, step in enumerate((NearDuplicates(bands=1, rows=1), NearDuplicates(bands=30, rows=5, ngram=3, seed=5))):
        counts, drops = found(step, texts, tmp_path / str(i))
        assert counts["verified pairs"] >= len(drops)
    assert set(drops) == {"2"}


def test_other_languages_are_left_alone(tmp_path):
    text = " ".join(words(random.Random(11), 60))
    documents = [Document(f"{i}" * 32, text, "s", language=language) for i, language in enumerate(("en", "de", "en"))]
    step = NearDuplicates(only_languages=["en"])
    recorded = [document for document in documents if step.concerns(document)]
    assert set(decided(step, [recorded], tmp_path)[1]) == {"2"}


def test_many_members_of_one_bucket_give_a_star_not_all_pairs(tmp_path, monkeypatch):
    compared = 0
    from llmkit.cleaning import minhash

    original = minhash._signatures

    def counting(survey, places):
        nonlocal compared
        compared += len(places)
        return original(survey, places)

    monkeypatch.setattr(minhash, "_signatures", counting)
    text = " ".join(words(random.Random(12), 30))
    documents = [Document(f"{i:032x}", text, "s") for i in range(10_000)]
    counts, drops = decided(NearDuplicates(), [documents[:5000], documents[5000:]], tmp_path, 1, lambda d: d.id)
    assert counts["groups"] == 1
    assert counts["verified pairs"] == 14 * 9_999  # one star per band
    assert compared == 2 * 9_999  # each pair of signatures is read once
    assert len(drops) == 9_999
    assert f"{0:032x}" not in drops


def test_members_of_a_bucket_that_do_not_match_are_tried_a_few_times(tmp_path, monkeypatch):
    from llmkit.cleaning import minhash

    # One band value for all: 300 documents that have nothing in common but their bucket.
    monkeypatch.setattr(
        "llmkit.cleaning.kernels.band_keys", lambda signatures, bands: np.ones((len(signatures), bands), np.uint64)
    )
    compared = []
    original = minhash._similarities

    def counting(survey, a, b):
        compared.append(len(a))
        return original(survey, a, b)

    monkeypatch.setattr(minhash, "_similarities", counting)
    rng = random.Random(13)
    documents = [Document(f"{i:032x}", " ".join(words(rng, 30)), "s") for i in range(300)]
    _, drops = decided(NearDuplicates(bands=1, rows=8), [documents], tmp_path, 1)
    assert drops == {}
    assert compared == [299, 298, 297, 296]
