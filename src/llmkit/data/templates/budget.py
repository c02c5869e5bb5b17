"""What a rendering may do, and what it asks for: steps, and the sizes of what it makes."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2.runtime import Undefined
from jinja2.utils import Namespace

if TYPE_CHECKING:
    from llmkit.data.calls import Messages

STEPS, STEPS_PER_CHARACTER = 2**24, 256
"""What a rendering may do, and more for every character of its conversation: rounds, calls, characters made."""
_PLAIN = ("role", "content")
SECONDS = 10.0
"""Processor time of a rendering."""
LOOK_EVERY = 2**16
"""Steps between two looks at the clock."""
GROWING = frozenset(
    ("batch", "center", "expandtabs", "indent", "join", "ljust", "replace", "rjust", "slice", "to_bytes",
     "translate", "truncate", "wordwrap", "zfill")
)  # fmt: skip
"""Filters and methods of text that make more of it, as much as their arguments say."""
LISTING = frozenset(
    ("attr", "count", "d", "default", "dictsort", "first", "groupby", "items", "last", "length", "list", "map", "max",
     "min", "random", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique")
)  # fmt: skip
"""Filters that look at a list's entries, not at what is in them."""

WIDTH_FROM_ARGUMENT = re.compile(r"%[^a-zA-Z%]*\*|\{[^}]*\{")
"""`%*d` and `{:{}}`: the width of a field is an argument."""


class BoundsError(Exception):
    """A template does or writes more than one may."""


class Budget:
    """What a rendering may still do.

    Args:
        turns: The conversation; a longer one may take more.
    """

    __slots__ = ("_turns", "_until", "left", "look")

    def __init__(self, turns: Messages) -> None:
        self.left, self.look, self._turns, self._until = STEPS, STEPS - LOOK_EVERY, turns, 0.0

    def spend(self, steps: int) -> None:
        """Count steps; see `check`."""
        self.left -= steps
        if self.left < self.look:
            self.check()

    @property
    def characters(self) -> int:
        """Length of the conversation."""
        more = (part for turn in self._turns if len(turn) > 2 for key, part in turn.items() if key not in _PLAIN)
        texts = sum(len(turn.get("content") or "") for turn in self._turns)
        return texts + sum(size_of(part, sys.maxsize) for part in more)

    @property
    def all_left(self) -> int:
        """Steps that are left, those included that the conversation's length gives."""
        self._begin()
        return self.left

    def allow(self, steps: int) -> None:
        """Refuse what would take more steps than are left."""
        if steps > self.left and steps > self.all_left:
            raise BoundsError("it makes more text than a template may")

    def check(self) -> None:
        """Look at what is left, and at the clock.

        Raises:
            BoundsError: No step is left, or no time.
        """
        self._begin()
        if self.left < 0:
            raise BoundsError("it does more than a template may: a loop without end, or text without end")
        if time.thread_time() > self._until:
            raise BoundsError(f"it takes more than {SECONDS:g} seconds")
        self.look = max(0, self.left - LOOK_EVERY)

    def _begin(self) -> None:
        """Measure the conversation and look at the clock, which most renderings are too short to need."""
        if not self._until:
            self.left += STEPS_PER_CHARACTER * self.characters
            self._until = time.thread_time() + SECONDS


def size_of(value: Any, most: int) -> int:
    """Return about how long a value is as text; what is beyond `most` is not counted to its end."""
    if type(value) is str:
        return len(value)
    total, waiting = 0, [value]
    while waiting and total <= most:
        item = waiting.pop()
        total += 1
        if isinstance(item, Undefined):
            continue  # a strict one refuses to be looked at, and `default` may be about to
        if isinstance(item, str | bytes | range):
            total += len(item)
        elif isinstance(item, int):
            total += item.bit_length()
        elif isinstance(item, Collection):
            total += len(item)
            waiting += [*item.keys(), *item.values()] if isinstance(item, Mapping) else item
        elif isinstance(item, Namespace):
            waiting.append(object.__getattribute__(item, "_Namespace__attrs"))
    return total


def check_growth(budget: Budget, name: str, value: Any, arguments: Sequence[Any]) -> None:
    """Count what a filter, a method or an operator is given, and refuse what would grow beyond all bounds."""
    listing = name in LISTING and isinstance(value, Collection) and not isinstance(value, Undefined)
    size = len(value) if listing else size_of(value, budget.all_left)
    budget.spend(1 + size)
    if name == "pprint":
        budget.allow(size * 1000)  # indented as deep as Python's stack
    elif name == "tojson":
        budget.allow(size * (1 + _depth(value) * max((_extent(x, budget.all_left) for x in arguments), default=0)))
    elif name == "sum" and any(isinstance(argument, list | tuple) for argument in arguments):
        budget.allow(size * len(value))
    elif name in ("%", "format", "format_map"):
        measure = _extent if WIDTH_FROM_ARGUMENT.search(value) else size_of
        given = [item for argument in arguments for item in (argument if isinstance(argument, tuple) else (argument,))]
        widths = [
            *map(int, re.findall(r"\d{1,18}", value)),
            *(measure(argument, budget.all_left) for argument in given),
        ]
        budget.allow(size + (value.count("%") + value.count("{")) * (1 + max(widths, default=0)))
    elif name in GROWING or name == "*":
        budget.allow((1 + size) * (1 + max((_extent(argument, budget.all_left) for argument in arguments), default=0)))


def _depth(value: Any) -> int:
    """Return how deep lists lie in lists; what lies in several is looked at once."""
    depth, level = 0, list[Any]([[value]])
    while level and depth < sys.getrecursionlimit():
        inner = (item for outer in level for item in (outer.values() if isinstance(outer, Mapping) else outer))
        level = [*{id(item): item for item in inner if isinstance(item, list | tuple | Mapping)}.values()]
        depth += 1
    return depth


def _extent(argument: Any, most: int) -> int:
    """Return how much an argument can make of what it is applied to."""
    return abs(argument) if isinstance(argument, int) else size_of(argument, most)
