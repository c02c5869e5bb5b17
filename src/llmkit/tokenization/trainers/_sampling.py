"""Choose the text a tokenizer is trained on: a sample over the whole corpus, in given proportions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.tokenization.trainers import Texts, TrainingText

PIECE_CHARS = 8192
"""What is kept or left out at a time: a corpus of six novels could not be sampled by whole documents."""


def sample(
    texts: Texts,
    group: Callable[[TrainingText], str],
    *,
    max_bytes: int | None,
    weights: Mapping[str, float],
    temperature: float,
) -> Iterator[str]:
    """Yield the training text, sampled where a limit or proportions ask for it.

    The groups' parts follow `rates`. A piece of text is kept by a hash of itself, so that the choice depends on
    neither the order of the corpus nor the machine; the bytes kept come near the limit, they do not meet it exactly.
    A group that is to be seen more often than it is there is repeated.

    Raises:
        ConfigError: A weight names no group of the corpus.
        DataError: There is no text.
    """
    if max_bytes is None and not weights and temperature == 1:
        yield from (text.text for text in texts())
        return
    sizes: Counter[str] = Counter()
    for text in texts():
        sizes[group(text)] += num_bytes(text.text)
    found = rates(sizes, max_bytes=max_bytes, weights=weights, temperature=temperature)
    for text in texts():
        rate = found[group(text)]
        whole = int(rate)
        for _ in range(whole):
            yield text.text
        if rate > whole:
            yield from (piece for piece in pieces(text.text) if unit_hash(piece) < rate - whole)


def rates(
    sizes: Mapping[str, int], *, max_bytes: int | None, weights: Mapping[str, float], temperature: float
) -> dict[str, float]:
    """Return how often the text of each group is seen: 0.25 is a quarter of it, 2 is all of it twice.

    A group's share of the whole is proportional to weight * bytes^(1 / temperature) (Conneau et al. 2020, section 3.1,
    with alpha = 1 / temperature); the whole has the bytes of the corpus, at most `max_bytes`.

    Args:
        sizes: UTF-8 bytes of each group.
        max_bytes: Limit, or None.
        weights: Factor of each group; 1 for those not named.
        temperature: 1 for the proportions of the corpus; above, small groups gain.
    """
    for name in weights:
        if name not in sizes:
            raise ConfigError(f"tokenizer.weights: the corpus has no '{name}'{nearest(name, sizes)}")
    present = {name: size for name, size in sizes.items() if size}
    parts = {name: weights.get(name, 1.0) * size ** (1 / temperature) for name, size in present.items()}
    if not sum(parts.values()):
        raise DataError(
            "there is no text to train the tokenizer on", "llmkit tokenize needs documents in the train split"
        )
    total = sum(present.values())
    scale = min(total, max_bytes or total) / sum(parts.values())
    return {name: parts[name] * scale / sizes[name] if name in parts else 0.0 for name in sizes}


def pieces(text: str) -> Iterator[str]:
    """Cut a long text into pieces of about `PIECE_CHARS`, behind a line end or a space where there is one."""
    start = 0
    while len(text) - start > 2 * PIECE_CHARS:
        stop = start + PIECE_CHARS
        for border in ("\n", " "):
            found = text.rfind(border, start + PIECE_CHARS // 2, stop)
            if found >= 0:
                stop = found + 1
                break
        yield text[start:stop]
        start = stop
    yield text[start:]


def unit_hash(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    # Salted: `split_of` cuts the train split by a hash of the text as well, and the two must not go together.
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"tok sample").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def num_bytes(text: str) -> int:
    """Return the length in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
