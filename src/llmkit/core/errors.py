"""The errors a user can cause, each with its exit code and the next command to type.

Anything that is not one of these is a bug in llmkit and keeps its traceback (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right; printed as one or two lines, without a traceback.

    Args:
        message: What is wrong and where (dotted path, file, line).
        hint: What to do next, preferably a command to type.
    """

    exit_code = 2
    kind = "usage"

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(UserError):
    """A recipe, an option or an output directory that cannot be used as asked."""

    kind = "config"


class DataError(UserError):
    """Input data that is missing, empty, unreadable or inconsistent."""

    exit_code = 3
    kind = "data"


class SetupError(UserError):
    """An environment that cannot do the work: a missing extra, no permission, a full disk."""

    exit_code = 4
    kind = "environment"


class MemoryLimitError(UserError):
    """Not enough memory; the hint says what to lower."""

    exit_code = 5
    kind = "memory"


class DivergedError(UserError):
    """Training produced a loss that is not a finite number."""

    exit_code = 6
    kind = "diverged"


class CheckFailedError(UserError):
    """A check that was asked for failed: parity, a regression gate, lineage."""

    exit_code = 7
    kind = "check"


class Interrupted(BaseException):
    """SIGINT or SIGTERM. A BaseException, so that no `except Exception` on the way swallows it."""

    exit_code = 75
    kind = "interrupted"

    def __init__(self, message: str = "interrupted", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the closest valid name, else the list of valid names, else nothing.

    Up to 12 names are listed; beyond that a list helps nobody.
    """
    names = sorted(set(valid))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    if names and len(names) <= 12:
        return "; valid: " + ", ".join(names)
    return ""
