"""Say what a word of other tools is called here, or which name was likely meant; the words are in glossary_words.py."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from llmkit.core.glossary_words import COMMANDS, PARTS, TERMS

NEVER = frozenset({"--force", "--remove"})
"""What destroys is suggested to nobody: who wants it types it whole."""
NEAR = 0.7
"""Likeness (of difflib) from which on another name may be meant."""


@dataclass(frozen=True)
class Word:
    """What a word is here.

    Attributes:
        names: What it may be called: a command, a member, `--option`, `dotted.field` or `dotted.field=value`. The first
            that there is in the place where it was typed is meant.
        note: What is different here or, where there is no name, that there is nothing of the kind.
    """

    names: tuple[str, ...]
    note: str = ""

    def there(self, valid: Collection[str]) -> list[str]:
        """Return those of its names that there are."""
        return [name for name in self.names if name.partition("=")[0] in valid and name not in NEVER]


def bare(name: str) -> str:
    """Return a name without what tools write differently: case, dashes and underscores."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())


@cache
def _table(of: str) -> Mapping[str, Word]:
    rows = {"command": COMMANDS, "term": TERMS}.get(of) or PARTS.get(of, ())
    return {bare(typed): Word(tuple(here.split()), note) for words, here, note in rows for typed in words.split()}


def look_up(of: str, typed: str) -> Word | None:
    """Return what a word is here; `of` is `command`, `term` or the name of a family."""
    return _table(of).get(bare(typed))


def near(typed: str, names: Iterable[str]) -> str | None:
    """Return the name that was likely meant, never one that destroys."""
    known = {bare(name): name for name in sorted(set(names) - NEVER, reverse=True)}
    close = difflib.get_close_matches(bare(typed), known, n=1, cutoff=NEAR)
    return known[close[0]] if close else None


def field_of(typed: str, paths: Collection[str]) -> str | None:
    """Return the one field that is called so wherever it stands, dashes and underscores alike."""
    found = [path for path in paths if bare(path) == bare(typed)]
    found = found or [path for path in paths if bare(path.rpartition(".")[2]) == bare(typed)]
    return found[0] if len(found) == 1 else None


def instead(of: str, typed: str, valid: Collection[str]) -> str:
    """Return what to say of an unknown word: `; did you mean 'x'?`, that there is nothing of the kind, or nothing.

    Args:
        of: `command`, `term` or the name of a family.
        typed: The word.
        valid: The names that there are.
    """
    word = look_up(of, typed)
    if word is None:
        return ""
    if not word.names:
        return f"; {word.note}"
    names = word.there(valid)
    if not names:
        return ""
    shown = " or ".join(f"'{name.replace('=', ': ')}'" for name in (names if of == "command" else names[:1]))
    return f"; here it is {shown}: {word.note}" if word.note else f"; did you mean {shown}?"
