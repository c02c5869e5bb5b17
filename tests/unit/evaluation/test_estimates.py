"""How sure a score is: worked out by hand, by lm-eval, by scipy, and by how often intervals hold the true value."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.evaluation import resampling
from llmkit.evaluation.estimates import estimate, estimates, shown, shown_difference, shown_interval, shown_p, wilson
from llmkit.evaluation.measures import Sums, Whole, exponential, mean, ratio
from llmkit.evaluation.resampling import bootstrap, p_of, percentiles, tail


def f1(hits, false, missed):
    columns = np.stack([hits, false, missed], axis=1).astype(float)
    return Sums(columns, lambda s: 2 * s[..., 0] / (2 * s[..., 0] + s[..., 1] + s[..., 2]))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50))
def test_the_standard_error_is_that_of_lm_eval(values):
    # lm_eval.api.metrics: mean_stderr(arr) = sample_stddev(arr) / sqrt(len(arr))
    mu = sum(values) / len(values)
    expected = math.sqrt(sum((x - mu) ** 2 for x in values) / (len(values) - 1)) / math.sqrt(len(values))
    assert estimate(mean(values)).stderr == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_standard_error_is_what_lm_eval_computes():
    from lm_eval.api import metrics

    values = np.random.default_rng(1).integers(0, 2, 97).tolist()
    assert estimate(mean(values)).stderr == pytest.approx(metrics.mean_stderr(values), rel=1e-12)


def test_wilsons_interval_worked_out_by_hand():
    # 7 of 10 with z = 1.96: centre (0.7 + 3.8416 / 20) / 1.38416, half 1.96 / 1.38416 * sqrt(0.021 + 3.8416 / 400).
    assert wilson(0.7, 10, 1.96) == pytest.approx((0.39677, 0.89221), abs=1e-4)
    found = estimate(mean([1] * 7 + [0] * 3))
    assert (found.method, found.n, found.clusters) == ("share", 10, None)
    assert (found.low, found.high) == pytest.approx((0.39677, 0.89221), abs=1e-4)
    assert found.stderr == pytest.approx(math.sqrt(0.7 * 0.3 / 9))


@pytest.mark.parametrize(("values", "top", "low", "high"), [
    ([1] * 10, None, 0.72247, 1.0),
    ([0] * 10, None, 0.0, 0.27753),
    ([0] * 10, 100.0, 0.0, 27.753),
    ([100] * 10, None, 72.247, 100.0),
])  # fmt: skip
def test_all_right_is_not_sure_to_be_right(values, top, low, high):
    found = estimate(mean(values, top=top))
    assert (found.method, found.stderr) == ("share", 0.0)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)


def test_students_interval_worked_out_by_hand():
    found = estimate(mean([1.0, 2.0, 3.0, 4.5]))
    middle, error = 2.625, math.sqrt(sum((x - 2.625) ** 2 for x in (1, 2, 3, 4.5)) / 3) / 2
    assert (found.low, found.high) == pytest.approx((middle - 3.182446 * error, middle + 3.182446 * error))
    clipped = estimate(mean([1.0, 1.0, 0.7], top=1.0))
    assert clipped.high == 1.0
    assert clipped.low < 0.8


def test_clusters_of_copies_say_no_more_than_one_sample_each():
    values = np.random.default_rng(0).normal(size=30)
    alone, copies = estimate(mean(values)), estimate(mean(np.repeat(values, 4)), np.repeat(np.arange(30), 4).tolist())
    assert (copies.n, copies.clusters) == (120, 30)
    assert [copies.stderr, copies.low, copies.high] == pytest.approx([alone.stderr, alone.low, alone.high], rel=1e-9)
    assert estimate(mean(np.repeat(values, 4))).stderr < alone.stderr / 1.9


def test_clusters_that_are_all_different_are_none():
    values = [0.5, 0.25, 1.0, 0.0]
    assert estimate(mean(values), ["d", "c", "b", "a"]) == estimate(mean(values))


def test_a_share_by_cluster_knows_how_little_few_clusters_say():
    hits = [1] * 8 + [0] * 8
    few = estimate(mean(hits), [i // 4 for i in range(16)])
    assert (few.method, few.clusters) == ("share", 4)
    assert few.low < estimate(mean(hits)).low
    right = estimate(mean([1] * 16), [i // 4 for i in range(16)])
    assert right.low == pytest.approx(wilson(1, 4 * (1.959964 / 3.182446) ** 2, 1.959964)[0], rel=1e-5)
    assert right.high == 1.0


@pytest.mark.parametrize(("measure", "clusters", "n", "why"), [
    (mean([1.0]), None, 1, "it is that of one sample"),
    (mean([math.nan, 0.5]), None, 1, "it is that of one sample"),
    (mean([]), None, 0, "no sample has a part in it"),
    (ratio([0, 0], [0, 0]), None, 0, "no sample has a part in it"),
    (mean([0.5, 0.2]), ["a", "a"], 2, "all 2 samples are of one cluster"),
    (mean([0.5, 0.5]), None, 2, "all samples have the same value"),
    (ratio([2, 2, 2], [4, 4, 4]), None, 3, "all resamples have the same value"),
    (Whole(9, lambda chosen: 1.0 if 0 in chosen and 1 in chosen else math.nan), None, 9, "resamples have a value"),
])  # fmt: skip
def test_what_has_no_interval_says_why(measure, clusters, n, why):
    found = estimate(measure, clusters)
    assert (found.n, found.low, found.high, found.method) == (n, None, None, "none")
    assert why in found.why
    assert found.facts()["why"] == found.why


def test_what_an_artifact_says_of_it():
    facts = estimate(ratio([1, 2, 3, 5], [2, 3, 4, 4], higher_is_better=False), ["a", "a", "b", "c"]).facts()
    assert list(facts) == [
        "n",
        "stderr",
        "low",
        "high",
        "level",
        "method",
        "higher_is_better",
        "clusters",
        "rounds",
        "seed",
    ]
    assert (facts["n"], facts["clusters"], facts["rounds"], facts["seed"]) == (4, 3, 1000, 0)
    assert facts["higher_is_better"] is False


def test_only_the_samples_that_have_a_part_are_drawn():
    # F1 of a rare class: one in a hundred samples is of it, and no resample is without.
    rare = np.zeros(500)
    rare[::100] = 1
    found = estimate(f1(rare * [i % 200 == 0 for i in range(500)], rare * 0, rare * [i % 200 != 0 for i in range(500)]))
    assert (found.n, found.rounds, found.method) == (5, 1000, "bootstrap")


def test_the_bootstrap_is_that_of_scipy():
    from scipy.stats import bootstrap as reference

    rng = np.random.default_rng(3)
    above, below = rng.gamma(2.0, 3.0, 60), rng.integers(5, 50, 60).astype(float)

    def statistic(x, y, axis=-1):
        return x.sum(axis) / y.sum(axis)

    found = estimate(ratio(above, below))
    level = 1 - 2 * tail(60)
    theirs = reference(
        (above, below), statistic, paired=True, n_resamples=20_000, method="percentile", confidence_level=level,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert found.stderr == pytest.approx(theirs.standard_error, rel=0.06)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert [found.low, found.high] == pytest.approx([*theirs.confidence_interval], abs=0.06 * width)


def test_measures_that_are_resampled_together_get_what_each_gets_alone():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=40), rng.integers(1, 5, 40)
    measures = {
        "mean": mean(a), "ratio": ratio(a, b), "part": ratio(np.where(b > 2, a, 0), np.where(b > 2, b, 0)),
        "whole": Whole(40, lambda chosen: float(np.median(a[chosen])), rounds=300), "exp": exponential(a, b),
    }  # fmt: skip
    for clusters in (None, [i // 3 for i in range(40)]):
        together = estimates(measures, clusters)
        assert list(together) == list(measures)
        assert together == {name: estimate(measure, clusters) for name, measure in measures.items()}
    assert together["whole"].rounds == 300


def test_draws_depend_on_the_number_of_clusters_alone(monkeypatch):
    measures = [ratio(np.arange(30.0), np.ones(30)), ratio(np.arange(30.0) ** 2, np.ones(30))]
    groups = np.arange(30)
    whole = bootstrap(measures, groups)
    assert bootstrap(measures[:1], groups)[0].tolist() == whole[0].tolist()
    assert bootstrap(measures, groups, 100).tolist() == whole[:, :100].tolist()
    monkeypatch.setattr(resampling, "CELLS", 70)
    assert bootstrap(measures, groups) == pytest.approx(whole, rel=1e-12)


def test_percentiles_and_p_values_are_of_one_mind():
    rng = np.random.default_rng(0)
    for count in (3, 10, 1000):
        out = tail(count)
        assert p_of(out, count) == pytest.approx(0.025, rel=1e-6)
        values = rng.normal(size=4000)
        low, high = percentiles(values, count)
        assert (values < low).mean() == pytest.approx(out, abs=1e-3)
        assert low < 0 < high
    assert tail(10**9) == pytest.approx(0.025, rel=1e-4)
    assert p_of(1.0, 10) == 1.0


@pytest.mark.parametrize(("n", "share", "least"), [(10, 0.9, 0.92), (100, 0.5, 0.93), (300, 0.98, 0.92)])
def test_intervals_of_shares_hold_the_true_value(n, share, least):
    rng = np.random.default_rng(0)
    held = [found.low <= share <= found.high for found in (estimate(mean(rng.random(n) < share)) for _ in range(400))]
    assert least <= np.mean(held) <= 0.99


def simulated(make, true, times=300):
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(times):
        measure, clusters = make(rng)
        found = estimate(measure, clusters)
        held += found.low <= true <= found.high
    return held / times


@pytest.mark.parametrize(("n", "least"), [(8, 0.9), (60, 0.92)])
def test_intervals_of_ratios_hold_the_true_value(n, least):
    # Bits per byte of documents of any length. Of 600 samples of 8, 20 and 60 documents 93%, 94% and 95% hold the true
    # value, of plain percentiles 85%, 92% and 95%.
    def make(rng):
        size = rng.integers(100, 2000, n)
        return ratio(size * rng.normal(1.5, 0.3, n), size), None

    assert least <= simulated(make, 1.5) <= 0.98


def test_intervals_of_clusters_hold_the_true_value():
    def means(rng):
        of = np.repeat(np.arange(15), 6)
        return mean(rng.normal(size=15)[of] + rng.normal(size=90)), of.tolist()

    def shares(rng):
        of = np.repeat(np.arange(25), 4)
        return mean((rng.random(25)[of] + rng.random(100)) / 2 < 0.5), of.tolist()

    assert 0.92 <= simulated(means, 0.0, 400) <= 0.98
    assert 0.92 <= simulated(shares, 0.5, 400) <= 0.99


@pytest.mark.slow
def test_many_samples_take_little_time_and_memory():
    import tracemalloc

    rng = np.random.default_rng(0)
    a, b = rng.random(100_000), rng.random(100_000)
    measures = {"mean": mean(a)} | {f"ratio{i}": ratio(a + i, b) for i in range(5)}
    tracemalloc.start()
    start = time.monotonic()
    found = estimates(measures)
    assert time.monotonic() - start < 60
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()
    assert found["ratio0"].rounds == 1000


@pytest.mark.parametrize(("text", "expected"), [
    (shown(0.53399), "0.5340"),
    (shown(110404.83), "110,404.8"),
    (shown_interval(0.5, 0.75), "[0.5000, 0.7500]"),
    (shown_interval(-0.5, 0.75, sign="+"), "[-0.5000, +0.7500]"),
    (shown_interval(999.0, 1234.5), "[999.0, 1,234.5]"),
    (shown_interval(None, None), ""),
    (shown_difference(-0.25), "-0.2500"),
    (shown_difference(2000.0), "+2,000.0"),
    (shown_p(0.0004), "<0.001"),
    (shown_p(0.0312), "0.031"),
])  # fmt: skip
def test_numbers_for_people(text, expected):
    assert text == expected
