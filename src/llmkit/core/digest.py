"""Digests of files, cached by (path, size, mtime, inode), so that unchanged raw data is hashed once.

Beside the digest stands a checksum: it proves nothing to an adversary, but finds what a disk has lost at the speed of
reading. Rot keeps size and mtime, so no cache may answer for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

from llmkit.core.cores import num_threads
from llmkit.core.json import dumps
from llmkit.core.machine import raise_limit

_BUFFER = 1 << 20
PIECE = 64 << 20
"""Bytes of a file that one thread sums up: a multiple of the buffer."""
_THREADS = 4
"""More of them than a disk can feed only wait."""


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: equal values give equal text."""
    return dumps(value, sort_keys=True, compact=True)


def digest_text(text: str) -> str:
    """Return the SHA-256 of a text, as 64 hexadecimal digits."""
    return digest_bytes(text.encode("utf-8", "surrogatepass"))


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_and_checksum(path: Path) -> tuple[str, str]:
    """Return what `digest_file` and `checksums` say of a file, which is read once."""
    digest, sums, done = hashlib.sha256(), [0], 0
    buffer = memoryview(bytearray(_BUFFER))
    with path.open("rb", buffering=0) as file:
        while size := _fill(file, buffer):
            if done and done % PIECE == 0:
                sums.append(0)
            digest.update(buffer[:size])
            sums[-1] = zlib.crc32(buffer[:size], sums[-1])
            done += size
    return digest.hexdigest(), _joined(sums)


def checksums(paths: Sequence[Path]) -> list[str]:
    """Return the CRC-32 over the CRC-32s of each file's 64 MiB pieces, as 8 hexadecimal digits; "" if unreadable.

    One core does 3 GB/s on what is in memory (SHA-256: 1.4 with the processor's help, 0.5 without); zlib lets go of
    Python's lock, so that several pieces are summed up at a time.
    """
    starts = [range(0, max(1, path.stat().st_size) if path.is_file() else 1, PIECE) for path in paths]
    pieces = [(path, start) for path, range_ in zip(paths, starts, strict=True) for start in range_]
    threads = min(_THREADS, num_threads(), len(pieces))
    if threads > 1 and any(len(range_) > 1 for range_ in starts):
        with ThreadPoolExecutor(threads) as pool:
            found = iter(list(pool.map(lambda piece: _sum_piece(*piece), pieces)))
    else:
        found = iter([_sum_piece(*piece) for piece in pieces])
    sums = [[next(found) for _ in range_] for range_ in starts]
    return ["" if None in values else _joined([value for value in values if value is not None]) for values in sums]


def _sum_piece(path: Path, start: int) -> int | None:
    total, left = 0, PIECE
    buffer = memoryview(bytearray(_BUFFER))
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            while left and (size := _fill(file, buffer[: min(left, _BUFFER)])):
                total, left = zlib.crc32(buffer[:size], total), left - size
    except OSError as error:  # gone, or a sector that cannot be read
        raise_limit(error)
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EIO):
            raise  # what may not be read, or is not there for a while, is not damaged
        return None
    return total


def _fill(file: Any, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends: a network's file system may give less at a time."""
    done = 0
    while done < len(buffer) and (size := file.readinto(buffer[done:])):
        done += size
    return done


def _joined(sums: Sequence[int]) -> str:
    return f"{zlib.crc32(b''.join(value.to_bytes(4, 'big') for value in sums)):08x}"


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
