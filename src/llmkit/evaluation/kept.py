"""Answers on disk as they come: an append-only file, of which a kill leaves every record but the last whole.

A record is one line, `KEY CRC JSON`: the digest of the request, a checksum of the answer and the answer itself.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import zlib
from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from io import BufferedRandom
from pathlib import Path
from typing import Any, Self

from llmkit import runtimes
from llmkit.core.errors import SetupError
from llmkit.core.json import dumps
from llmkit.core.registry import Part
from llmkit.runtimes import Request

KEY = 32
"""Hexadecimal digits of a request's digest."""


def key_of(request: Request) -> str:
    """Return the digest of what is asked: equal requests have the same one, in any process."""
    digest = blake2b(request.kind.encode(), digest_size=KEY // 2)
    for field in dataclasses.fields(request):
        for part in _bytes(getattr(request, field.name)):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.hexdigest()


class Kept:
    """Answers by the digest of their request; a context manager that closes the file.

    Args:
        file: Where they are kept, and may be from an interrupted run; None keeps them in memory.
        owner: What answered: a file of another model is refused.

    Raises:
        SetupError: The answers in the file are another model's.
    """

    def __init__(self, file: Path | None = None, owner: str = "") -> None:
        self.file, self.owner = file, owner
        self._memory: dict[str, Any] = {}
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._opened: BufferedRandom | None = None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            self._opened = file.open("r+b")
            try:
                self._read()
            except BaseException:
                self._opened.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._memory

    def __len__(self) -> int:
        return len(self._places) + len(self._memory)

    def __getitem__(self, key: str) -> Any:
        if self._opened is None:
            return self._memory[key]
        place, size = self._places[key]
        self._opened.seek(place)
        return _value(json.loads(self._opened.read(size)))

    def add(self, answers: Iterable[tuple[str, Any]]) -> None:
        """Keep answers: once this returns, a kill of the process does not lose them."""
        if self._opened is None:
            self._memory |= dict(answers)
            return
        lines = []
        for key, answer in answers:
            line = _line(key, answer)
            self._places[key] = (self._end + KEY + 10, len(line) - KEY - 11)
            self._end += len(line)
            lines.append(line)
        self._opened.seek(0, 2)
        self._opened.write(b"".join(lines))
        self._opened.flush()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()

    def _read(self) -> None:
        """Find the records; what is behind the last whole one was being written when a process was killed."""
        assert self._opened is not None
        first = True
        for line in self._opened:
            if len(line) < KEY + 11 or line[-1:] != b"\n" or _crc(line[KEY + 10 : -1]) != line[KEY + 1 : KEY + 9]:
                break
            if first and (owner := json.loads(line[KEY + 10 :])) != self.owner:
                raise SetupError(f"{self.file} holds answers of another model: {owner}", f"rm {self.file}")
            if not first:
                self._places[line[:KEY].decode()] = (self._end + KEY + 10, len(line) - KEY - 11)
            self._end += len(line)
            first = False
        self._opened.truncate(self._end)
        if first:
            header = _line("0" * KEY, self.owner)
            self._opened.seek(0)
            self._opened.write(header)
            self._opened.flush()
            self._end = len(header)


def _line(key: str, answer: Any) -> bytes:
    content = dumps(_plain(answer), compact=True, ascii_only=True).encode()
    return b"%s %s %s\n" % (key.encode(), _crc(content), content)


def _crc(content: bytes) -> bytes:
    return b"%08x" % zlib.crc32(content)


def _bytes(value: Any) -> Iterable[bytes]:
    """Yield what tells a field's value from all others."""
    if isinstance(value, Mapping):
        yield b"{%d" % len(value)
        for name in sorted(value):
            yield name.encode()
            yield from _bytes(value[name])
    elif isinstance(value, tuple) and value and all(type(one) is int for one in value):
        yield array("q", value).tobytes()
    elif hasattr(value, "dtype"):
        import numpy as np

        numbers = np.asarray(value)
        yield f"{numbers.dtype.str}{numbers.shape}".encode()
        yield np.ascontiguousarray(numbers).tobytes()
    elif isinstance(value, list | tuple):
        yield b"[%d" % len(value)
        for one in value:
            yield from _bytes(one)
    elif isinstance(value, Part):
        yield from _bytes(value.spec(mode="json", identity=True))
    else:  # an object that JSON does not know is an error: what `str` says of two may be the same
        yield dumps(value, ascii_only=True).encode()


def _plain(answer: Any) -> Any:
    """Return an answer as JSON has it; floats keep every bit."""
    if dataclasses.is_dataclass(answer):
        fields = {field.name: _plain(getattr(answer, field.name)) for field in dataclasses.fields(answer)}
        return {"of": type(answer).__name__, **fields}
    if hasattr(answer, "dtype"):
        import numpy as np

        numbers = np.ascontiguousarray(answer)
        return {
            "dtype": numbers.dtype.str,
            "shape": numbers.shape,
            "bytes": base64.b64encode(numbers.tobytes()).decode(),
        }
    return list(answer) if isinstance(answer, tuple) else answer


def _value(plain: Any) -> Any:
    """Return the answer that JSON stands for."""
    if isinstance(plain, list):
        return tuple(plain)
    if not isinstance(plain, dict):
        return plain
    if "dtype" in plain:
        import numpy as np

        numbers = np.frombuffer(base64.b64decode(plain["bytes"]), plain["dtype"])
        return numbers.reshape(plain["shape"])
    return getattr(runtimes, plain.pop("of"))(**{name: _value(value) for name, value in plain.items()})
