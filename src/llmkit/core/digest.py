"""Digests of files, cached by (path, size, mtime, inode), so that unchanged raw data is hashed once."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from llmkit.core.json import dumps


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return dumps(value, sort_keys=True, compact=True)


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text, as 64 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_path() -> Path:
    """Return the digest cache's file, under `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "llmkit" / "digests.sqlite"


def digest_files(paths: Iterable[str]) -> list[str]:
    """Digest many files, reading only those that changed since they were last seen.

    A cache that cannot be read or written costs time, never correctness: the files are hashed.
    """
    paths = list(paths)
    try:
        cache_path().parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(cache_path(), timeout=10)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS digests (key TEXT PRIMARY KEY, digest TEXT NOT NULL)")
            return [_cached(connection, path) for path in paths]
    except (sqlite3.Error, OSError):
        return [digest_file(path) for path in paths]


def _cached(connection: sqlite3.Connection, path: str) -> str:
    stat = Path(path).stat()
    key = f"{Path(path).absolute()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
    row = connection.execute("SELECT digest FROM digests WHERE key = ?", (key,)).fetchone()
    if row:
        return str(row[0])
    digest = digest_file(path)
    connection.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (key, digest))
    return digest
