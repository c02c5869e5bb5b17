"""What intervals and tests rest on, by scipy.stats, which is too slow to import for a run."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from llmkit.evaluation import distributions as ours


@pytest.mark.parametrize("x", [-40.0, -9.26, -1.96, 0.0, 1e-9, 2.5, 40.0, -math.inf, math.inf])
@pytest.mark.parametrize("free", [1, 2, 3, 29, 10_000_000])
def test_chances_are_those_of_scipy(x, free):
    assert ours.normal_cdf(x) == stats.norm.cdf(x)
    assert ours.student_cdf(x, free) == stats.t.cdf(x, free)
    assert ours.student_cdf(-x, free) == stats.t.sf(x, free)
    if x >= 0:
        assert ours.chi_square_above(x, free) == pytest.approx(stats.chi2.sf(x, free), rel=1e-14)


@pytest.mark.parametrize("share", [1e-20, 0.001, 0.025, 0.5, 0.975, 0.9999])
def test_quantiles_are_those_of_scipy(share):
    assert ours.normal_quantile(share) == stats.norm.ppf(share)
    assert -ours.normal_quantile(share) == stats.norm.isf(share)
    for free in (1, 2, 7, 999):
        assert ours.student_quantile(share, free) == stats.t.ppf(share, free)


@pytest.mark.parametrize("throws", [0, 1, 2, 9, 100, 1319, 14_042])
def test_coins_are_those_of_scipy(throws):
    for heads in {-1, 0, throws // 3, throws // 2, max(0, throws - 1), throws}:
        assert ours.coin_cdf(heads, throws) == pytest.approx(stats.binom.cdf(heads, throws, 0.5), rel=1e-9, abs=1e-300)
        above = stats.binom.sf(heads - 1, throws, 0.5)
        assert ours.coin_cdf(throws - heads, throws) == pytest.approx(above, rel=1e-9, abs=1e-300)
    assert min(1.0, 2 * ours.coin_cdf(throws // 3, throws)) == pytest.approx(
        stats.binomtest(throws // 3, throws).pvalue if throws else 1.0, rel=1e-9
    )
