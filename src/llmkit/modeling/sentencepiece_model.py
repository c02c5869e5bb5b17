"""Read a SentencePiece model.

The file is a protocol buffer, `ModelProto` of sentencepiece_model.proto (Kudo and Richardson 2018). Only the fields
that decide ids are read, so that neither sentencepiece nor protobuf has to be there.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from llmkit.core.errors import DataError

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE = 1, 2
MODEL_TYPES = {UNIGRAM: "unigram", BPE: "bpe", 3: "word", 4: "char"}


class Piece(NamedTuple):
    """One entry of the vocabulary; its id is its position."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """What of a model decides ids.

    Attributes:
        pieces: The vocabulary in the order of its ids.
        model_type: `UNIGRAM` or `BPE`; others exist and are not converted.
        byte_fallback: Whether unknown characters become bytes.
        specials: `bos`, `eos`, `pad` and `unk` -> id, of those that the model has.
        character_map: Normalization rules, compiled; empty for none.
        prefix_space: Whether a space is put before the text.
        collapse_spaces: Whether spaces at either end and runs of spaces are dropped.
    """

    pieces: list[Piece]
    model_type: int
    byte_fallback: bool
    specials: dict[str, int]
    character_map: bytes
    prefix_space: bool
    collapse_spaces: bool


def read_model(content: bytes, name: str) -> SentencePieceModel:
    """Parse a model file.

    Args:
        content: The bytes of the file.
        name: What to call it in errors.

    Raises:
        DataError: It is no SentencePiece model, or one whose ids `tokenizers` cannot give.
    """
    try:
        fields = _message(content)
        pieces = [_piece(_message(piece)) for piece in fields.get(1, [])]
        trainer, normalizer = (_message(fields[number][0]) for number in (2, 3))
        model = SentencePieceModel(
            pieces=pieces,
            model_type=_number(trainer, 3, 1),
            byte_fallback=bool(_number(trainer, 35, 0)),
            specials=_specials(trainer, len(pieces)),
            character_map=normalizer.get(2, [b""])[-1],
            prefix_space=bool(_number(normalizer, 3, 1)),
            collapse_spaces=bool(_number(normalizer, 4, 1)),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error) as error:
        raise DataError(f"{name} is not a SentencePiece model") from error
    if not pieces:
        raise DataError(f"{name} is not a SentencePiece model: it holds no pieces")
    kind = MODEL_TYPES.get(model.model_type, "unknown")
    if model.model_type not in (UNIGRAM, BPE):
        raise DataError(f"{name} is a SentencePiece model of type {kind}; only unigram and bpe can be used")
    if _number(trainer, 24, 0):
        raise DataError(f"{name} puts spaces behind words (treat_whitespace_as_suffix), which cannot be converted")
    return model


def _specials(trainer: dict[int, list[bytes]], num_pieces: int) -> dict[str, int]:
    defaults = {"unk": (40, 0), "bos": (41, 1), "eos": (42, 2), "pad": (43, -1)}
    ids = {role: _number(trainer, field, default) for role, (field, default) in defaults.items()}
    return {role: i for role, i in ids.items() if 0 <= i < num_pieces}


def _piece(fields: dict[int, list[bytes]]) -> Piece:
    score = struct.unpack("<f", fields[2][-1])[0] if 2 in fields else 0.0
    return Piece(fields[1][-1].decode("utf-8"), score, _number(fields, 3, NORMAL))


def _number(fields: dict[int, list[bytes]], field: int, default: int) -> int:
    """Return a number; negative ones are written as 64-bit two's complement."""
    if field not in fields:
        return default
    value = int.from_bytes(fields[field][-1], "little")
    return value - (1 << 64) if value >> 63 else value


def _message(content: bytes) -> dict[int, list[bytes]]:
    """Split a protocol buffer message into its fields: number -> the bytes of every value, numbers as little endian."""
    fields: dict[int, list[bytes]] = {}
    for number, value in _fields(content):
        fields.setdefault(number, []).append(value)
    return fields


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        wire = key & 7
        if wire == 0:
            value, place = _varint(content, place)
            yield key >> 3, value.to_bytes(8, "little")
            continue
        if wire == 2:
            length, place = _varint(content, place)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + length > len(content):
            raise ValueError("cut short")
        yield key >> 3, content[place : place + length]
        place += length


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value & (1 << 64) - 1, place
        shift += 7
