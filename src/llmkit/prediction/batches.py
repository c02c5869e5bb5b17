"""Answers to many requests: those of like length together, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from llmkit.runtimes import Request

if TYPE_CHECKING:
    from llmkit.prediction.writing import TextAnswers
    from llmkit.runtimes._heads import HeadAnswers

BATCH_TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Tokens of a batch, padding included. A CPU is fastest while what a layer computes stays in its cache."""


def answer_all(
    answers: HeadAnswers | TextAnswers, requests: Sequence[Request], *, alone: bool, advance: Callable[[int], None]
) -> tuple[list[Any], int]:
    """Return the answers in the order of the requests, and how many texts were cut.

    Equal requests are asked once. Where no token stands for a text, None is answered: the model would be asked of
    padding alone.

    Args:
        answers: Who answers.
        requests: Requests of one kind.
        alone: Ask one at a time.
        advance: Told how many more are answered.

    Raises:
        NotFiniteError: An answer is no number.
        MemoryError, torch.OutOfMemoryError: A single request is too much.
    """
    distinct = list(dict.fromkeys(requests))
    answers.prepare(distinct)
    lengths = [len(answers.encoded(request).ids) for request in distinct]
    most = 0 if alone else BATCH_TOKENS.get(answers.model.device.type, BATCH_TOKENS["cuda"])
    found: dict[Request, Any] = dict.fromkeys(distinct)
    places = [i for i, length in enumerate(lengths) if length]
    advance(len(distinct) - len(places))
    asked = [[distinct[places[i]] for i in batch] for batch in batches([lengths[i] for i in places], most)]
    for batch, said in _answered(answers, asked):
        found.update(zip(batch, said, strict=True))
        advance(len(batch))
    advance(len(requests) - len(distinct))
    cut = {request for request in distinct if answers.encoded(request).cut}
    return [found[request] for request in requests], sum(request in cut for request in requests)


def _answered(
    answers: HeadAnswers | TextAnswers, asked: list[list[Request]]
) -> Iterator[tuple[list[Request], list[Any]]]:
    """Yield batches with their answers; on a CPU each core has one of its own.

    Cores that share the small products of one batch wait for each other, and the sums depend on how many they are.
    """
    import torch

    threads = torch.get_num_threads()
    rope = str(getattr(answers.model.config, "rope_parameters", ""))
    stateful = "dynamic" in rope or "longrope" in rope  # such tables are changed by every row that is longer
    stateful = stateful or getattr(answers, "in_turn", False)
    if answers.model.device.type != "cpu" or threads == 1 or stateful:
        yield from ((batch, _answer(answers, batch)) for batch in asked)
        return
    pool = ThreadPoolExecutor(threads, "batch", initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield from zip(asked, pool.map(lambda batch: _answer(answers, batch), asked), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # the number is the process's, though each thread has its own


def batches(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield the numbers of rows, longest first, in batches of at most `most` tokens with padding, or of one row."""
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _answer(answers: HeadAnswers | TextAnswers, requests: list[Request]) -> list[Any]:
    """Return the answers to a batch; where memory ends, to its halves."""
    import torch

    try:
        with torch.inference_mode():
            return answers.answer(requests)
    except (MemoryError, torch.OutOfMemoryError):
        if len(requests) == 1:
            raise
    half = len(requests) // 2  # behind the except: its traceback holds what is to be given back
    return _answer(answers, requests[:half]) + _answer(answers, requests[half:])
