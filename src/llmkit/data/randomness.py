"""Random numbers that are a pure function of what they are for, so that resuming is a seek."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def generator(seed: int, *keys: int) -> np.random.Generator:
    """Return the generator of a seed and keys such as epoch and source, all not negative."""
    # PCG64 by name: numpy may give its default generator another algorithm, and with it the data another order.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


def row_generators(seed: int, numbers: ArrayLike) -> Sequence[np.random.Generator]:
    """Return a generator per block, by the blocks' numbers in the run's stream, `[n]`."""
    return [generator(seed, int(number)) for number in np.asarray(numbers).tolist()]
