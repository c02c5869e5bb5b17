from __future__ import annotations

import hashlib
import os
import sqlite3
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.core import digest
from llmkit.core.digest import (
    cache_path,
    canonical_json,
    checksums,
    digest_and_checksum,
    digest_file,
    digest_files,
    digest_text,
)

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"""SHA-256 of `abc`, the first example of FIPS 180-2."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "llmkit" / "digests.sqlite"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    return path


def test_sha256(file):
    assert digest_text("abc") == digest_file(file) == digest_files([str(file)])[0] == ABC


def test_text_that_is_not_valid_unicode_has_a_digest_too():
    assert digest_text("a\udce9") != digest_text("a\udcea")


def test_canonical_json():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'


@given(st.dictionaries(st.text(), st.integers() | st.text(), max_size=6))
def test_canonical_json_does_not_depend_on_order(values):
    assert canonical_json(dict(reversed(values.items()))) == canonical_json(values)


def test_unchanged_files_are_read_once(file, monkeypatch):
    digest_files([str(file)])
    monkeypatch.setattr("llmkit.core.digest.digest_file", lambda _: pytest.fail("hashed again"))
    assert digest_files([str(file), str(file)]) == [ABC, ABC]


@pytest.mark.parametrize("change", ["size", "mtime", "inode"])
def test_changed_files_are_read_again(file, tmp_path, change):
    digest_files([str(file)])
    before = file.stat()
    if change == "size":
        file.write_bytes(b"abcd")
    elif change == "mtime":
        file.write_bytes(b"xyz")
    else:
        (tmp_path / "other").write_bytes(b"xyz")
        (tmp_path / "other").replace(file)
    later = before.st_mtime_ns + (1 if change == "mtime" else 0)
    os.utime(file, ns=(before.st_atime_ns, later))
    assert digest_files([str(file)]) == [digest_file(file)] != [ABC]


def test_the_cache_lies_under_the_users_cache_folder(cache, file, monkeypatch, tmp_path):
    assert cache_path() == cache
    digest_files([str(file)])
    with sqlite3.connect(cache) as connection:
        assert [row[0] for row in connection.execute("SELECT digest FROM digests")] == [ABC]
    connection.close()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_path() == tmp_path / "home" / ".cache" / "llmkit" / "digests.sqlite"


@pytest.mark.parametrize("damage", ["not a database", "a folder", "no folder possible"])
def test_a_cache_that_cannot_be_used_costs_time_only(cache, file, damage):
    if damage == "not a database":
        cache.parent.mkdir(parents=True)
        cache.write_text("not a database, but long enough to be read as the header of one: " + "x" * 100)
    elif damage == "a folder":
        cache.mkdir(parents=True)
    else:
        cache.parent.parent.write_text("a file where the folder should be")
    assert digest_files([str(file)]) == [ABC]


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        digest_files([str(tmp_path / "none")])


@pytest.mark.parametrize("content", [b"", b"a", b"abcd", b"abcde", b"0123456789" * 5])
def test_a_checksum_is_that_of_the_checksums_of_pieces(tmp_path, monkeypatch, content):
    monkeypatch.setattr(digest, "PIECE", 4)
    monkeypatch.setattr(digest, "_BUFFER", 2)
    path = tmp_path / "file"
    path.write_bytes(content)
    pieces = [content[start : start + 4] for start in range(0, len(content), 4)] or [b""]
    expected = f"{zlib.crc32(b''.join(struct.pack('>I', zlib.crc32(piece)) for piece in pieces)):08x}"
    assert checksums([path, tmp_path / "gone", path]) == [expected, "", expected]
    assert digest_and_checksum(path) == (hashlib.sha256(content).hexdigest(), expected)


def test_any_flipped_bit_changes_the_checksum(tmp_path):
    path, found = tmp_path / "file", set()
    for bit in range(-1, 64):
        content = bytearray(b"checksum")
        if bit >= 0:
            content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        found.update(checksums([path]))
    assert len(found) == 65
