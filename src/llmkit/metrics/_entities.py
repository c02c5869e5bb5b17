"""Entities in sequences of tags, and how many of them are found: whole ones, of the right type, as seqeval counts them.

Tags are `O`, or `B-`, `I-`, `E-` or `S-` and a type: BIO, IO and BIOES alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from llmkit.core.errors import DataError
from llmkit.metrics._confusion import ClassCounts


class Entity(NamedTuple):
    """A stretch of words.

    Attributes:
        type: What stands behind the hyphen; `_` of a tag that is but a letter.
        start: Its first word.
        stop: One past its last word.
    """

    type: str
    start: int
    stop: int


@dataclass(frozen=True)
class EntityCounts(ClassCounts):
    """How many entities of each type are true, predicted and both: type, first and last word must agree.

    Attributes:
        types: The types that occur, sorted; the arrays are in this order.
    """

    types: list[str]


def entities(tags: Sequence[str]) -> list[Entity]:
    """Return the entities of one text, in order.

    Tags that do not fit are read as conlleval and seqeval's default do: an `I-` or `E-` with nothing to go on with
    begins an entity, and so does a change of type; `E-` and `S-` end one, and what is open at the end is one.

    Raises:
        DataError: A tag is of no such scheme.
    """
    found: list[Entity] = []
    opened: tuple[str, int] | None = None
    for i, tag in enumerate(tags):
        letter, hyphen, kind = tag[:1], tag[1:2], tag[2:] or "_"
        if letter not in set("OBIES") or hyphen not in ("", "-") or (letter == "O" and hyphen):
            raise DataError(
                f"'{tag}' is no tag of entities", "tags are O, or B-, I-, E- or S- and a type: B-PER, I-PER, O"
            )
        if opened and (letter in "BSO" or kind != opened[0]):
            found.append(Entity(*opened, i))
            opened = None
        if letter != "O" and opened is None:
            opened = kind, i
        if opened and letter in "ES":
            found.append(Entity(*opened, i + 1))
            opened = None
    if opened:
        found.append(Entity(*opened, len(tags)))
    return found


def compare_entities(truth: Sequence[Sequence[str]], prediction: Sequence[Sequence[str]]) -> EntityCounts:
    """Count the entities of texts.

    Args:
        truth: The tags of each text's words.
        prediction: As many texts, and as many tags in each.

    Raises:
        DataError: A tag is of no such scheme.
        ValueError: The numbers of texts or of tags differ.
    """
    sets: tuple[set[tuple[int, Entity]], set[tuple[int, Entity]]] = set(), set()
    for number, (true, found) in enumerate(zip(truth, prediction, strict=True)):
        if len(true) != len(found):
            raise ValueError(f"text {number} has {len(true)} tags, but {len(found)} predicted ones")
        for place, tags in zip(sets, (true, found), strict=True):
            place.update((number, entity) for entity in entities(tags))
    types = sorted({entity.type for _, entity in sets[0] | sets[1]})
    order = {kind: position for position, kind in enumerate(types)}
    support, predicted, hits = (
        np.bincount([order[entity.type] for _, entity in chosen], minlength=len(types))
        for chosen in (*sets, sets[0] & sets[1])
    )
    return EntityCounts(hits, predicted, support, np.ones(len(types), np.bool_), types)
