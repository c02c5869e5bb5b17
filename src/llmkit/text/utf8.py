"""UTF-8 as tokenizers meet it: the characters that stand for bytes, and bytes that hold a part of a character."""

from __future__ import annotations


def byte_characters() -> list[str]:
    """Return the character that stands for each byte (Radford et al. 2019): itself if visible, else one from U+0100."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in visible else chr(next(others)) for byte in range(256)]


def first_character(data: bytes) -> range:
    """Return the code points that bytes may begin with.

    They are one where the first character is whole, those that it may become where its end is missing, and none where
    the bytes begin within a character.
    """
    lead = data[0]
    size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if 0x80 <= lead < 0xC2 or lead > 0xF4:
        return range(0)
    point, there = lead if size == 1 else lead & (0x7F >> size), 1
    while there < min(size, len(data)) and data[there] & 0xC0 == 0x80:
        point = point << 6 | data[there] & 0x3F
        there += 1
    missing = 6 * (size - there)
    least = (0, 0, 0x80, 0x800, 0x10000)[size]  # less is written in fewer bytes
    return range(max(point << missing, least), min((point + 1) << missing, 0x110000))
