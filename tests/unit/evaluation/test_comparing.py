"""Paired tests: worked out by hand, by scipy, and by how often they raise a false alarm."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.evaluation import comparing
from llmkit.evaluation.compared import Side, compare_sides
from llmkit.evaluation.comparing import Difference, Pairs, corrected, differences, holm
from llmkit.evaluation.measures import Whole, exponential, mean, ratio


def one(now, before, clusters=None):
    return differences({"s": now}, {"s": before}, clusters)["s"]


def test_mcnemar_worked_out_by_hand():
    # 1 sample won and 6 lost of 20: p = 2 * (1 + 7) / 2^7 = 0.125, no worse with p = 8 / 128.
    before = [1] * 10 + [0] * 10
    now = [0] * 6 + [1] * 4 + [1] + [0] * 9
    found = one(mean(now), mean(before))
    assert (found.test, found.n, found.num_won, found.num_lost) == ("McNemar exact", 20, 1, 6)
    assert found.difference == pytest.approx(-0.25)
    assert (found.p, found.p_worse) == pytest.approx((0.125, 8 / 128))
    # Agresti and Min: (1 - 6) / 22, and sqrt(8 - 25 / 22) / 22 times 1.96 to each side.
    middle, half = -5 / 22, 1.959964 * math.sqrt(8 - 25 / 22) / 22
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), rel=1e-6)


def test_mcnemar_is_that_of_scipy():
    from scipy.stats import binomtest

    rng = np.random.default_rng(0)
    for _ in range(20):
        now, before = rng.integers(0, 2, 30), rng.integers(0, 2, 30)
        won, lost = int((now > before).sum()), int((now < before).sum())
        found = one(mean(now), mean(before))
        assert found.p == pytest.approx(binomtest(won, won + lost).pvalue)
        assert found.p_worse == pytest.approx(binomtest(lost, won + lost, alternative="greater").pvalue)


def test_a_share_of_mistakes_is_worse_where_it_is_larger():
    found = one(mean([1] * 9 + [0], higher_is_better=False), mean([0] * 10, higher_is_better=False))
    assert (found.num_won, found.num_lost) == (0, 9)
    assert found.p_worse < 0.01
    assert 0 < found.low < 0.9 < found.high


def test_a_share_of_100_and_none_right_at_all():
    found = one(mean([100, 0, 100, 100]), mean([0, 0, 0, 0]))
    assert (found.test, found.difference, found.num_won) == ("McNemar exact", 75.0, 3)
    assert 0 < found.low < 75 < found.high <= 100 or found.low < 0


def test_the_paired_t_test_is_that_of_scipy():
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(1)
    for n in (5, 40):
        now, before = rng.normal(0.3, 1, n), rng.normal(size=n)
        found, theirs = one(mean(now), mean(before)), ttest_rel(now, before)
        assert found.test == "paired t"
        assert found.p == pytest.approx(max(theirs.pvalue, 2 * 0.5**n))
        interval = theirs.confidence_interval()
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p_worse == pytest.approx(max(ttest_rel(now, before, alternative="less").pvalue, 0.5**n))
        lower = one(mean(now, higher_is_better=False), mean(before, higher_is_better=False))
        assert lower.p_worse == pytest.approx(max(ttest_rel(now, before, alternative="greater").pvalue, 0.5**n))


def test_few_samples_never_say_more_than_their_signs_could():
    found = one(mean([0.6, 0.7, 0.8]), mean([0.5, 0.6, 0.7]))
    assert found.p == pytest.approx(0.25), "all three went up: one of four ways in which they could go alike"
    assert found.p_worse == 1.0


def test_equal_runs_do_not_differ():
    values = np.random.default_rng(0).random(12)
    for make in (mean, lambda x: ratio(x, np.ones(12)), lambda x: exponential(-x, np.ones(12))):
        found = one(make(values), make(values))
        assert (found.difference, found.low, found.high, found.p) == (0, 0, 0, 1)
        assert found.p_worse >= 0.5


def test_copies_of_samples_in_clusters_say_no_more():
    rng = np.random.default_rng(2)
    now, before = rng.normal(0.4, 1, 25), rng.normal(size=25)
    alone = one(mean(now), mean(before))
    copies = one(mean(np.repeat(now, 3)), mean(np.repeat(before, 3)), np.repeat(np.arange(25), 3).tolist())
    assert (copies.clusters, copies.n, alone.clusters) == (25, 75, None)
    assert (copies.p, copies.low, copies.high) == pytest.approx((alone.p, alone.low, alone.high))
    shares = one(mean(np.repeat(now > 0, 3)), mean(np.repeat(before > 0, 3)), np.repeat(np.arange(25), 3).tolist())
    assert shares.test == "paired t", "McNemar's test knows no clusters"


def test_the_bootstrap_agrees_with_the_t_test_where_both_suit():
    rng = np.random.default_rng(4)
    before = rng.gamma(2, 1, 200)
    now = before + rng.normal(0.05, 0.3, 200)
    t = one(mean(now), mean(before))
    b = one(ratio(now, np.ones(200)), ratio(before, np.ones(200)))
    assert (b.test, b.rounds, t.test) == ("paired bootstrap", 10_000, "paired t")
    assert b.p == pytest.approx(t.p, abs=0.01)
    assert (b.low, b.high) == pytest.approx((t.low, t.high), abs=0.05 * (t.high - t.low))
    assert (b.low > 0) == (b.p < 0.05)


def test_both_runs_are_resampled_alike():
    # Of documents of very different sizes each alone is unsure, and yet one run is surely the better one.
    rng = np.random.default_rng(0)
    size = rng.integers(10, 5000, 50).astype(float)
    hard = rng.normal(2.0, 0.5, 50)
    found = one(ratio(size * (hard - 0.02), size), ratio(size * hard, size))
    assert found.difference == pytest.approx(-0.02)
    assert found.low == pytest.approx(-0.02, rel=1e-6)
    assert found.p < 0.001


def test_a_whole_score_is_compared_too():
    rng = np.random.default_rng(0)
    gold = rng.normal(size=60)
    good, bad = gold + rng.normal(0, 0.1, 60), rng.normal(size=60)

    def correlation(values):
        return Whole(60, lambda chosen: float(np.corrcoef(gold[chosen], values[chosen])[0, 1]))

    found = one(correlation(bad), correlation(good))
    assert (found.test, found.rounds) == ("paired bootstrap", 1000)
    assert found.high < -0.3
    assert found.p_worse < 0.01


@pytest.mark.parametrize(("now", "before", "clusters", "why"), [
    (mean([1.0]), mean([0.0]), None, "it rests on a single sample"),
    (mean([1.0, 0.0]), mean([0.0, 0.3]), ["a", "a"], "it rests on a single cluster"),
    (mean([math.nan] * 2), mean([0.0, 0.3]), None, "no sample has a part in it"),
])  # fmt: skip
def test_what_has_no_test_says_why(now, before, clusters, why):
    found = one(now, before, clusters)
    assert (found.p, found.low, found.test, found.mark, found.why) == (None, None, "", "", why)


@pytest.mark.parametrize("kind", ["share", "mean", "clusters", "ratio"])
def test_false_alarms_are_as_rare_as_said(kind, monkeypatch):
    monkeypatch.setattr(comparing, "ROUNDS", 1000)
    rng, alarms, times = np.random.default_rng(0), 0, 300
    for _ in range(times):
        hard = rng.random(40)
        if kind == "share":
            found = one(mean(rng.random(40) < hard), mean(rng.random(40) < hard))
        elif kind == "mean":
            found = one(mean(rng.random(40) * hard), mean(rng.random(40) * hard))
        elif kind == "clusters":
            of = np.repeat(np.arange(10), 4)
            a, b = (rng.normal(size=10)[of] + rng.normal(size=40) for _ in range(2))
            found = one(mean(a), mean(b), of.tolist())
        else:
            size = rng.integers(1, 50, 40)
            a, b = (size * (hard + rng.normal(0, 0.2, 40)) for _ in range(2))
            found = one(ratio(a, size), ratio(b, size))
        alarms += found.p < 0.05
    assert alarms / times < 0.08
    assert alarms > 0 or kind == "share"


def test_holm_worked_out_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_the_p_value_and_bonferroni(values):
    found = holm(values)
    assert all(p <= q <= min(1.0, len(values) * p) + 1e-12 for p, q in zip(values, found, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [found[i] for i in order] == sorted(found)


def test_scores_of_parts_are_corrected_apart():
    names = ("acc", "f1", "acc[source=a]", "acc[source=b]", "none")
    found = corrected([
        Difference(name, 0.1, 9, p=None if name == "none" else 0.02, why="x" * (name == "none")) for name in names
    ])  # fmt: skip
    assert [one.p_corrected for one in found] == [0.04, 0.04, 0.04, 0.04, None]
    assert [one.mark for one in found] == ["better"] * 4 + [""]


@pytest.mark.parametrize(("difference", "higher", "p", "mark"), [
    (0.1, True, 0.049, "better"), (0.1, False, 0.049, "worse"), (-0.1, False, 0.01, "better"),
    (-0.1, True, 0.01, "worse"), (0.1, True, 0.05, ""), (0.1, None, 0.001, ""), (0.1, True, None, ""),
])  # fmt: skip
def test_marks(difference, higher, p, mark):
    assert Difference("s", difference, 9, higher, p_corrected=p).mark == mark


def test_samples_are_brought_together_by_their_ids():
    now = [{"id": "b", "v": 1}, {"id": "a", "v": 2}, {"id": "a", "v": 3}, {"id": "d", "v": 4}]
    before = [{"id": "a", "v": 5}, {"id": "b", "v": 6}, {"id": "c", "v": 7}, {"id": "a", "v": 8}, {"id": "a", "v": 9}]
    found = Pairs.of(now, before)
    assert [(a["v"], b["v"]) for a, b in zip(found.now, found.before, strict=True)] == [(2, 5), (1, 6), (3, 8)]
    assert (found.only_now, found.only_before) == (1, 2)
    assert "the 3 samples that both have: 2 are the reference's alone, 1 the other's" in found.note()
    assert Pairs.of(now, now).note() == ""


class Accuracy:
    """A task of nothing but its measures."""

    def measures(self, samples):
        return {
            "acc": mean([s["acc"] for s in samples]),
            "loss": mean([s["x"] for s in samples], higher_is_better=False),
        }


def side(rows):
    samples = [{"id": i, "acc": a, "x": x} for i, a, x in rows]
    measures = Accuracy().measures(samples)
    return Side({name: one.value for name, one in measures.items()}, samples)


def test_flipped_samples_are_named():
    before = side([("a", 1, 0.1), ("b", 0, 0.2), ("c", 1, 0.3), ("d", 1, 0.4)])
    now = side([("d", 0, 0.1), ("c", 1, 0.5), ("b", 1, 0.2), ("a", 0, 0.1)])
    found = compare_sides(Accuracy(), now, before)
    assert found.moved.facts() == {
        "score": "acc", "flips": True, "num_lost": 2, "lost": ["a", "d"], "num_won": 1, "won": ["b"],
    }  # fmt: skip
    assert [(a["id"], b["id"]) for a, b in found.moved.lost] == [("a", "a"), ("d", "d")]
    assert found.notes == []
    assert list(found.differences) == ["acc", "loss"]


def test_without_the_task_the_stored_scores_remain():
    now, before = side([("a", 1, 0.1), ("b", 1, 0.1)]), side([("a", 1, 0.1), ("b", 0, 0.1)])
    before = Side(before.scores, before.samples, {"acc": True})
    found = compare_sides(None, now, before, why="'Mine' is somebody's own")
    assert found.notes == ["no tests: 'Mine' is somebody's own"]
    acc = found.differences["acc"]
    assert (acc.difference, acc.p, acc.why, acc.higher_is_better) == (0.5, None, "'Mine' is somebody's own", True)
    assert found.moved is None


def test_runs_without_a_common_sample_have_no_test():
    found = compare_sides(Accuracy(), side([("a", 1, 0.1)]), side([("b", 0, 0.1)]))
    assert "no tests: the runs have no sample in common" in found.notes
    assert found.differences["acc"].p is None


def test_a_task_that_computes_otherwise_now_is_found_out():
    now, before = side([("a", 1, 0.1), ("b", 1, 0.3)]), side([("a", 1, 0.1), ("b", 0, 0.1)])
    stored = Side({**now.scores, "acc": 0.25}, now.samples)
    assert (
        "acc is stored as 0.25, and the task makes 1 of the samples now"
        in compare_sides(Accuracy(), stored, before).notes
    )
