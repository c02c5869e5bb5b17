"""Who may ask, and how much: keys, rates, sizes and times."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from llmkit.core.errors import ConfigError

KEY_NAME = "LLMKIT_API_KEY"
"""Environment variable with a key, or several with commas between them."""
LINE = re.compile(r"([0-9a-f]{64})(?:\s+(\S.*))?")
ADD_HINT = 'printf %s "$KEY" | sha256sum >> {file} adds one'
KNOWN = 10_000
"""Clients whose rates are remembered, the latest ones."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the server.

    Attributes:
        body_bytes: Of a request.
        read_s: For a client to send one.
        request_s: For all of a request, from when it has been read.
        drain_s: For what is being written, once the server is told to stop.
        rate: Requests a minute, of a key, or of an address where there are no keys; None for any number.
    """

    body_bytes: int = 4 << 20
    read_s: float = 30.0
    request_s: float = 600.0
    drain_s: float = 30.0
    rate: int | None = None


@dataclass(frozen=True)
class Keys:
    """Keys that open the server; only their SHA-256 is kept.

    Attributes:
        digests: Each with its name.
    """

    digests: tuple[tuple[bytes, str], ...] = ()

    @classmethod
    def read(cls, file: Path | None) -> Keys:
        """Read the keys of a file, and of the environment.

        Args:
            file: Lines of a key's SHA-256 in hexadecimal digits and, behind a blank, a name.

        Raises:
            ConfigError: A line is none, or the file has no key: nobody asks for keys and wants an open server.
        """
        found: list[tuple[bytes, str]] = []
        for number, line in enumerate([] if file is None else _lines(file), 1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            parts = LINE.fullmatch(text)
            if parts is None:
                raise ConfigError(
                    f"{file}:{number}: no SHA-256 of a key",
                    ADD_HINT.format(file=file),
                )
            found.append(
                (bytes.fromhex(parts[1]), (parts[2] or f"line {number}").removeprefix("-").strip() or f"{number}")
            )
        if file is not None and not found:
            raise ConfigError(f"--keys: {file} has no key in it", ADD_HINT.format(file=file))
        given = [key for each in os.environ.get(KEY_NAME, "").split(",") if (key := each.strip())]
        found += [(hashlib.sha256(key.encode()).digest(), KEY_NAME) for key in given]
        return cls(tuple(found))

    def __bool__(self) -> bool:
        """Whether a key is needed."""
        return bool(self.digests)

    def name(self, key: str) -> str | None:
        """Return whose key it is; it takes as long for any."""
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, name in self.digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        words = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise ConfigError(f"--keys: {file} cannot be read: {words}", ADD_HINT.format(file=file)) from None


@dataclass
class Rate:
    """Buckets that fill up evenly: a minute's requests may come at once.

    Attributes:
        per_minute: Requests.
    """

    per_minute: int
    _levels: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def wait_s(self, who: str, now: float | None = None) -> float:
        """Take a request, and return 0; or return the seconds until there is one."""
        now = time.monotonic() if now is None else now
        level, since = self._levels.pop(who, (float(self.per_minute), now))
        level = min(self.per_minute, level + (now - since) * self.per_minute / 60)
        enough = level >= 1
        self._levels[who] = (level - enough, now)
        if len(self._levels) > KNOWN:
            self._levels.popitem(last=False)
        return 0.0 if enough else (1 - level) * 60 / self.per_minute
