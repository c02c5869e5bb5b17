"""The head of a GGUF file, llama.cpp's format: what the model is and where its tensors lie, without reading them.

The magic `GGUF`, a version, how many tensors and settings there are; the settings; of each tensor its name, shape, type
and place; the tensors. See https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import mmap
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from llmkit.core.errors import DataError
from llmkit.core.found import GGUF_MAGIC
from llmkit.core.reading import damaged, reading

VERSIONS = (2, 3)
NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
MOST_DIMENSIONS = 4
ALIGNMENT = 32
TO_DIRECTORY = "name the directory that it was made from, with config.json and *.safetensors"
AGAIN = "download or write it again: it may have been cut on the way"
LINK = "model.gguf"
"""What an export calls its file, and what transformers finds any as: it asks for a directory and a name."""
OTHER_TYPES = {
    "adapter": "a LoRA adapter, not a whole model",
    "mmproj": "what a model sees pictures with, not the model",
    "imatrix": "what a model was quantized by, not the model",
}
"""`general.type` of files that hold no model, in words."""
SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


class Tensor(NamedTuple):
    """One tensor; `shape` begins with the fastest axis, `offset` counts from the start of the tensors."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes:
        path: The file.
        settings: Its settings by name; of an array, how many values it has.
        tensors: Its tensors.
        start: Where they begin, in bytes.
        size: Bytes of the file.
    """

    path: Path
    settings: Mapping[str, Any]
    tensors: tuple[Tensor, ...]
    start: int
    size: int

    @property
    def architecture(self) -> str:
        """What llama.cpp calls the architecture."""
        return str(self.settings.get("general.architecture", ""))

    @property
    def names(self) -> frozenset[str]:
        """Names of the tensors."""
        return frozenset(tensor.name for tensor in self.tensors)

    @property
    def elements(self) -> int:
        """How many numbers there are."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    def of_architecture(self, name: str) -> Any:
        """Return a setting that is the architecture's own: `rope.scaling.type`; None if it is not there."""
        return self.settings.get(f"{self.architecture}.{name}")


def read_header(path: Path) -> Header:
    """Read the head of a file; takes some tenths of a second with a large vocabulary.

    Raises:
        DataError: It is no GGUF file, of a version that is not read, cut in its head, or holds no model.
    """
    with reading(path, AGAIN), path.open("rb") as file:
        if file.read(len(GGUF_MAGIC)) != GGUF_MAGIC:
            raise damaged(path, "it is no GGUF file: those begin with the letters GGUF", AGAIN)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                header = _Reader(path, data).header()
            except (struct.error, IndexError):
                raise damaged(path, f"it ends in the midst of its head, after {len(data):,} bytes", AGAIN) from None
            except UnicodeDecodeError:
                raise damaged(path, "a name in its head is no text", AGAIN) from None
    return _checked(header)


def _checked(header: Header) -> Header:
    path, part = header.path, SPLIT.search(header.path.name)
    count = int(part[2]) if part else header.settings.get("split.count") or 0
    if count > 1:
        first = path.name[: part.start()] + f"-00001-of-{part[2]}.gguf" if part else "FIRST.gguf"
        raise DataError(
            f"{path} is one of {count} parts of a model, and only whole ones are read",
            f"put them together: llama-gguf-split --merge {path.with_name(first)} WHOLE.gguf",
        )
    if (kind := header.settings.get("general.type")) in OTHER_TYPES:
        raise DataError(f"{path} holds {OTHER_TYPES[kind]}", "name the file of the model itself")
    if not header.architecture:
        raise damaged(path, "it names no architecture (general.architecture)", AGAIN)
    return header


class _Reader:
    """Reads a head from its start; a read beyond the end raises struct.error or IndexError."""

    def __init__(self, path: Path, data: mmap.mmap) -> None:
        self.path, self.data, self.at = path, data, len(GGUF_MAGIC)

    def header(self) -> Header:
        version, num_tensors, num_settings = self.numbers("<IQQ")
        if version not in VERSIONS:
            other = "for machines of the other byte order" if version & 0xFFFF == 0 else f"of version {version}"
            raise damaged(self.path, f"it is GGUF {other}, and versions 2 and 3 are read", AGAIN)
        if max(num_tensors, num_settings) > len(self.data):
            raise damaged(self.path, f"it states {num_tensors:,} tensors, more than it has bytes", AGAIN)
        settings = {}
        for _ in range(num_settings):
            name = self.text()
            settings[name] = self.value(*self.numbers("<I"))
        tensors = tuple(self.tensor() for _ in range(num_tensors))
        step = settings.get("general.alignment", ALIGNMENT)
        if not isinstance(step, int) or step < 1:
            raise damaged(self.path, f"general.alignment is {step}", AGAIN)
        return Header(self.path, settings, tensors, -(-self.at // step) * step, len(self.data))

    def numbers(self, form: str) -> tuple[Any, ...]:
        found = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return found

    def skip(self, size: int) -> None:
        if self.at + size > len(self.data):
            raise IndexError
        self.at += size

    def text(self) -> str:
        (size,) = self.numbers("<Q")
        begin = self.at
        self.skip(size)
        return self.data[begin : self.at].decode()

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind in NUMBERS:
            return self.numbers(NUMBERS[kind])[0]
        if kind == STRING:
            return self.text()
        if kind != ARRAY or depth > MOST_DIMENSIONS:
            raise damaged(self.path, f"its head has a value of the unknown type {kind}", AGAIN)
        kind, count = self.numbers("<IQ")
        if kind in NUMBERS:
            self.skip(count * struct.calcsize(NUMBERS[kind]))
        elif kind == STRING:  # a vocabulary: nothing but walking finds its end
            for _ in range(count):
                self.skip(self.numbers("<Q")[0])
        else:
            for _ in range(count):
                self.value(kind, depth + 1)
        return count

    def tensor(self) -> Tensor:
        name = self.text()
        (dimensions,) = self.numbers("<I")
        if dimensions > MOST_DIMENSIONS:
            raise damaged(self.path, f"its tensor {name!r} has {dimensions:,} dimensions", AGAIN)
        shape = self.numbers(f"<{dimensions}Q")
        kind, offset = self.numbers("<IQ")
        return Tensor(name, shape, kind, offset)


@contextmanager
def linked(file: Path, folder: Path) -> Iterator[None]:
    """Let a file be found in a folder by a name that ends in .gguf."""
    link = folder / LINK
    link.symlink_to(file)
    try:
        yield
    finally:
        link.unlink()
