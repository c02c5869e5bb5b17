"""Drop documents by the address they come from: blocked domains, blocked words, blocked patterns."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from llmkit.cleaning.steps import Drop, Step
from llmkit.cleaning.steps._lists import Pattern, find_list, read_list
from llmkit.data.corpus import Document

# RFC 3986: scheme, user information, host; an address without a scheme begins with the host. Not urlsplit, which
# raises on some of what is found in the wild and costs three times as much.
_HOST = re.compile(r"\s*(?:(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//)?+(?:[^/?#\s@]*@)?(\[[^\]/]*\]|[^/?#:\s@]+)")
_WORD = re.compile(r"[^\W_]+")
# A longer one is data or an attack; patterns written by users may take quadratic time.
_MAX_URL_CHARS = 4096


class Url(Step):
    """Drop documents whose `meta.url` is on a list."""

    key: str = "url"
    """Where the address stands in `meta`."""
    domains: list[str] = []
    """Blocked domains, their subdomains included: `example.com` blocks `www.example.com`, not `notexample.com`."""
    domains_path: str | None = None
    """File with more of them, one a line; lines that begin with `#` are comments."""
    words: list[str] = []
    """Blocked words of an address, whole ones between characters that are no letters and digits, in any case."""
    words_path: str | None = None
    """File with more of them, one a line."""
    patterns: list[Pattern] = []
    """Blocked regular expressions, searched for anywhere in the address, in any case."""
    allow: list[str] = []
    """Domains, their subdomains included, that are kept whatever the other lists say."""
    missing: Literal["keep", "drop"] = "keep"
    """What becomes of documents without an address."""

    def reads(self) -> list[Path]:
        """Return the list files, so that their content is part of the run's identity.

        Raises:
            DataError: A file is not there.
        """
        given = {"url.domains_path": self.domains_path, "url.words_path": self.words_path}
        return [find_list(path, role=role) for role, path in given.items() if path]

    def apply(self, document: Document) -> Drop | None:
        """Return why the document falls, if it does."""
        url = document.meta.get(self.key)
        if not isinstance(url, str) or not url:
            return Drop("url.missing", "none", f"meta.{self.key}") if self.missing == "drop" else None
        url = url[:_MAX_URL_CHARS]
        domains, words, pattern, allow = self._lists
        host = host_of(url)
        if allow and _listed(host, allow):
            return None
        if domains and (domain := _listed(host, domains)):
            return Drop("url.domains", host, domain)
        if words and (found := words.intersection(_WORD.findall(url.lower()))):
            return Drop("url.words", url, min(found))
        if pattern and (match := pattern.search(url)):
            return Drop("url.patterns", url, match[0])
        return None

    @cached_property
    def _lists(self) -> tuple[frozenset[str], frozenset[str], re.Pattern[str] | None, frozenset[str]]:
        listed = read_list(self.domains_path, role="url.domains_path") if self.domains_path else []
        words = self.words + (read_list(self.words_path, role="url.words_path") if self.words_path else [])
        pattern = re.compile("|".join(f"(?:{p})" for p in self.patterns), re.IGNORECASE) if self.patterns else None
        return (
            frozenset(map(host_of, [*self.domains, *listed])) - {""},  # a comment has no host
            frozenset(map(str.lower, words)),
            pattern,
            frozenset(map(host_of, self.allow)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A list may hold millions of domains: each worker reads its own instead of receiving it with every task.
        return type(self).model_validate, (self.model_dump(),)


def host_of(url: str) -> str:
    """Return the host of an address in lower case, in its ASCII form (`例子.中国` is `xn--fsqu00a.xn--fiqs8s`)."""
    match = _HOST.match(url)
    host = match[1].lower().rstrip(".") if match else ""
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _listed(host: str, domains: frozenset[str]) -> str | None:
    """Return the host, or the domain above it, that is on the list."""
    while host:
        if host in domains:
            return host
        host = host.partition(".")[2]
    return None
