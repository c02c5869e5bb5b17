"""Write language tags in one form (BCP 47, RFC 5646), and tell which languages a tag stands for.

eng, en-latn, EN   ->  en          cmn, zho, zh_cn  ->  zh, zh, zh-CN          zh covers zh-Hant, yue, wuu
"""

from __future__ import annotations

import functools
import re
from collections.abc import Container
from importlib.resources import files
from typing import NamedTuple

_TAG = re.compile("(?:[a-z]{2,3}|[A-Z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")
_OLD_REGIONS = {"UK": "GB", "BU": "MM", "DD": "DE", "FX": "FR", "TP": "TL", "YD": "YE", "ZR": "CD"}


class _Tags(NamedTuple):
    """What is written as what, the macrolanguage of a language, and the script that a language is always written in."""

    aliases: dict[str, str]
    macrolanguages: dict[str, str]
    scripts: dict[str, str]


@functools.lru_cache(4096)
def canonical(tag: str) -> str | None:
    """Return a tag in the one form that llmkit uses; None for what is no tag, such as `Python` and `PHP`.

    ISO 639-2 and 639-3 codes become the two letters where a language has them, the standard variety becomes its
    macrolanguage, `zh-yue` is `yue`; a script that goes without saying is left out. Capitals alone are a tag if it has
    two letters or is the code of such a language: other words of three capitals are likelier names of something else.
    """
    if not _TAG.fullmatch(tag):
        return None
    tags = _tags()
    whole = tag.lower().replace("_", "-")
    primary, *rest = tags.aliases.get(whole, whole).split("-")
    if tag[0].isupper() and len(primary) == 3 and primary not in tags.aliases:
        return None
    primary = tags.aliases.get(primary, primary)
    if rest and len(rest[0]) == 3 and rest[0].isalpha():  # a language behind its macrolanguage
        within = tags.aliases.get(rest[0], rest[0])
        if primary in (within, tags.macrolanguages.get(within)):
            primary, rest = within, rest[1:]
    parts = [primary]
    for position, part in enumerate(rest):
        if len(part) == 1:  # an extension or private use
            parts += rest[position:]
            break
        parts.append(_cased(part))
    if len(parts) > 1 and parts[1] == tags.scripts.get(primary):
        del parts[1]
    return "-".join(parts)


def _cased(part: str) -> str:
    if len(part) == 2:
        return _OLD_REGIONS.get(part.upper(), part.upper())
    return part.title() if len(part) == 4 and part.isalpha() else part


def covers(wanted: Container[str], tag: str) -> bool:
    """Say whether one of some tags stands for a language: its own, a shorter one, or that of its macrolanguage."""
    return any(name in wanted for name in _names(tag))


@functools.lru_cache(4096)
def _names(tag: str) -> tuple[str, ...]:
    """Return the tags that stand for a language: `zh-Hant-TW`, `zh-Hant` and `zh`; `yue` and `zh`."""
    parts = (canonical(tag) or tag).split("-")
    names = ["-".join(parts[:length]) for length in range(len(parts), 0, -1)]
    macrolanguage = _tags().macrolanguages.get(parts[0])
    return (*names, *([macrolanguage] if macrolanguage else []))


@functools.cache
def _tags() -> _Tags:
    tags = _Tags({}, {}, {})
    kinds = {"=": tags.aliases, ">": tags.macrolanguages, "~": tags.scripts}
    text = files(__package__).joinpath("language_tags.txt").read_text(encoding="ascii")
    for line in text.replace("\n  ", " ").splitlines():
        if not line.startswith("#"):
            target, kind, *names = line.split()
            kinds[kind].update(dict.fromkeys(names, target))
    return tags


def check_tag(tag: str) -> str:
    """Return a tag of a config in its canonical form.

    Raises:
        ValueError: It is none.
    """
    if (found := canonical(tag)) is None:
        raise ValueError(f"'{tag}' is no language tag, such as en or zh-Hant (BCP 47)")
    return found


def check_language(tag: str) -> str:
    """Return a tag of a config as a language alone, in its canonical form.

    Raises:
        ValueError: It is none, or has a script or region as well.
    """
    if (found := canonical(tag)) is None or "-" in found:
        raise ValueError(f"'{tag}' is no primary language tag, such as en or zh (BCP 47)")
    return found
