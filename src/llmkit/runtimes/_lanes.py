"""Batches that are computed side by side: on a CPU each core has one of its own.

Cores that share the small products of one batch wait for each other, and the sums depend on how many they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Batch = TypeVar("Batch")
Answers = TypeVar("Answers")

AHEAD = 2
"""Batches of each lane that are made before their turn: what fails for want of memory makes those after it smaller."""


def lanes_of(model: PreTrainedModel) -> int:
    """Return how many batches of a model are best computed at a time."""
    import torch

    if model.device.type != "cpu":
        return 1
    rope = str(getattr(model.config.get_text_config(), "rope_parameters", ""))
    stateful = "dynamic" in rope or "longrope" in rope  # such tables are changed by every row that is longer
    return 1 if stateful else torch.get_num_threads()


def side_by_side(ask: Callable[[Batch], Answers], batches: Iterable[Batch], lanes: int) -> Iterator[Answers]:
    """Yield what is said to each batch, in order.

    Args:
        ask: Runs in a thread of its own, for which one thread computes, where there are several lanes.
        batches: Made as they are needed.
        lanes: How many at a time.
    """
    if lanes == 1:
        yield from map(ask, batches)
        return
    import torch

    pool = ThreadPoolExecutor(lanes, "batch", initializer=torch.set_num_threads, initargs=(1,))
    try:
        asked: deque[Future[Answers]] = deque()
        for batch in batches:
            asked.append(pool.submit(ask, batch))
            if len(asked) > AHEAD * lanes:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(lanes)  # the number is the process's, though each thread has its own
