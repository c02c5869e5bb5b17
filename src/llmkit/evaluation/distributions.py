"""The distributions that intervals and tests need, by scipy.special: scipy.stats takes a second to import, for classes.

All are checked against scipy.stats; binomial ones to 1e-10, the others bit for bit.
"""

from __future__ import annotations


def normal_cdf(x: float) -> float:
    """Return the chance of at most x."""
    from scipy.special import ndtr

    return float(ndtr(x))


def normal_quantile(share: float) -> float:
    """Return what so large a share is at most."""
    from scipy.special import ndtri

    return float(ndtri(share))


def student_cdf(x: float, free: float) -> float:
    """Return the chance of at most x by Student's distribution with so many degrees of freedom."""
    from scipy.special import stdtr

    return float(stdtr(free, x))


def student_quantile(share: float, free: float) -> float:
    """Return what so large a share is at most."""
    from scipy.special import stdtrit

    return float(stdtrit(free, share))


def coin_cdf(heads: int, throws: int) -> float:
    """Return the chance of at most so many heads of a fair coin."""
    from scipy.special import bdtr

    return float(heads >= throws) if not 0 <= heads < throws else float(bdtr(float(heads), throws, 0.5))


def chi_square_above(x: float, free: float) -> float:
    """Return the chance of more than x with so many degrees of freedom."""
    from scipy.special import chdtrc

    return float(chdtrc(free, x))
