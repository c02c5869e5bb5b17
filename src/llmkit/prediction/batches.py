"""Answers to many requests: those of like length together, so that little is computed for padding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from llmkit.runtimes import Request
from llmkit.runtimes._lanes import lanes_of, side_by_side

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
    lanes = 1 if getattr(answers, "in_turn", False) else lanes_of(answers.model)
    for batch, said in zip(asked, side_by_side(partial(_answer, answers), asked, lanes), strict=True):
        found.update(zip(batch, said, strict=True))
        advance(len(batch))
    advance(len(requests) - len(distinct))
    cut = {request for request in distinct if answers.encoded(request).cut}
    return [found[request] for request in requests], sum(request in cut for request in requests)


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
