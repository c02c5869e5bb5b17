"""Softmax and its gradient over rows of bf16 logits on a CPU, in place and in one visit of each row.

PyTorch's own operators pass over the logits in memory about eight times: widen, maximum, subtract, exponentiate, sum,
subtract, exponentiate, narrow. Here a row stays in the core's cache from the first to the last of them. Measured on 2
cores with AMX, 4096 tokens, forward and backward of the whole head: see docs/pretrain-performance.md.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch

LOG2_E = np.float32(1.4426950408889634)
LN_2 = np.float32(0.6931471805599453)
# 2 ** f for f in [-1/2, 1/2] by its Taylor series: the first term left out is 1.2e-7 of the value.
C2, C3, C4, C5, C6 = (np.float32(0.6931471805599453**k / float(np.prod(range(1, k + 1)))) for k in range(2, 7))


def softmax_error_(
    logits: torch.Tensor, targets: torch.Tensor, *, z_loss: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Write the gradient of each row's loss over its logits; loss = -log softmax[target] + z_loss * log_norm ** 2.

    Args:
        logits: `[rows, vocab]` bf16, contiguous, on the CPU; overwritten, rounded to nearest even.
        targets: `[rows]` int64.
        z_loss: Weight of the squared log of the normalizer.

    Returns:
        The rows' cross-entropies and logs of normalizers, float32 `[rows]` each; NaN where a logit is not finite.

    Raises:
        IndexError: A target is no column of the logits.
    """
    bits = logits.view(torch.int16).numpy()
    wanted = targets.numpy()
    if wanted.size and not 0 <= wanted.min() <= wanted.max() < bits.shape[1]:  # compiled code would not notice
        raise IndexError(f"targets {wanted.min()} to {wanted.max()} of {bits.shape[1]} classes")
    losses, norms = np.empty(len(bits), np.float32), np.empty(len(bits), np.float32)
    workers = max(1, min(torch.get_num_threads(), len(bits)))  # a micro-batch may have no target at all
    borders = [len(bits) * i // workers for i in range(workers + 1)]
    parts = [slice(*pair) for pair in pairwise(borders)]
    # Threads of Python, for the loop holds no lock: numba's own would be a second pool beside PyTorch's.
    jobs = [
        _pool(workers).submit(_rows, bits[p], wanted[p], losses[p], norms[p], np.float32(z_loss)) for p in parts[1:]
    ]
    _rows(bits[parts[0]], wanted[parts[0]], losses[parts[0]], norms[parts[0]], np.float32(z_loss))
    for job in jobs:
        job.result()
    return torch.from_numpy(losses), torch.from_numpy(norms)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, workers - 1), thread_name_prefix="softmax")


# Sums may be taken in any order, the same one every time; NaN and infinity keep their meaning.
@numba.njit(cache=True, nogil=True, boundscheck=False, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _rows(bits: Any, targets: Any, losses: Any, norms: Any, z_loss: Any) -> None:
    size = bits.shape[1]
    wide = np.empty(size, np.float32)
    wide_bits = wide.view(np.int32)
    powers = np.empty(size, np.int32)
    power = powers.view(np.float32)
    for row in range(bits.shape[0]):
        source = bits[row]
        largest, magnitude = np.int16(-32768), np.int16(0)
        for j in range(size):
            bit = source[j]
            # As integers floats are in order once the negative ones are turned around.
            largest = max(largest, np.int16(bit ^ ((bit >> 15) & 0x7FFF)))
            magnitude = max(magnitude, np.int16(bit & 0x7FFF))
            wide_bits[j] = np.int32(bit) << 16
        target = targets[row]
        if magnitude >= 0x7F80:  # infinite, or not a number
            losses[row] = norms[row] = np.nan
            for j in range(size):
                source[j] = 0x7FC0
            continue
        powers[0] = np.int32(largest ^ ((largest >> 15) & 0x7FFF)) << 16
        maximum, wanted = power[0], wide[target]
        total = np.float32(0)
        for j in range(size):
            exponent = max((wide[j] - maximum) * LOG2_E, np.float32(-126))
            whole = np.floor(exponent + np.float32(0.5))
            rest = exponent - whole
            powers[j] = (np.int32(whole) + 127) << 23
            wide[j] = np.float32(1) + rest * (LN_2 + rest * (C2 + rest * (C3 + rest * (C4 + rest * (C5 + rest * C6)))))
        for j in range(size):
            wide[j] *= power[j]
            total += wide[j]
        norm = maximum + np.log(total)
        norms[row], losses[row] = norm, norm - wanted
        scale = (np.float32(1) + np.float32(2) * z_loss * norm) / total
        at_target = wide[target] * scale - np.float32(1)
        for j in range(size):
            wide[j] *= scale
        wide[target] = at_target
        for j in range(size):
            value = wide_bits[j]
            source[j] = np.int16((value + 0x7FFF + ((value >> 16) & 1)) >> 16)
