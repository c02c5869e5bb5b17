from __future__ import annotations

import gzip
import hashlib
import json
import socket
import zipfile

import fsspec
import pytest
from source_rows import rows, summary, texts, write

from llmkit.core.digest import digest_text
from llmkit.core.errors import DataError, SetupError
from llmkit.core.inputs import Inputs
from llmkit.data.sources import RawFile, _remote
from llmkit.data.sources.files import Files


@pytest.fixture
def bucket():
    system = fsspec.filesystem("memory")
    for name, data in {
        "a.jsonl": rows("a", "b"),
        "sub/c.txt.gz": gzip.compress("你好".encode()),
        "sub/.hidden.txt": b"x",
        "sub/image.png": b"x",
    }.items():
        system.pipe(f"/bucket/{name}", data)
    yield system
    system.rm("/bucket", recursive=True)


def read(url, **fields):
    source = Files(path=url, **fields)
    return [row for file in source.files() for row in source.read(file)]


def names(url):
    return [file.name for file in Files(path=url).files()]


def test_a_directory_is_searched(bucket):
    source = Files(path="memory://bucket")
    first, second = source.files()
    assert first == RawFile("memory://bucket/a.jsonl", "a.jsonl", 28, hashlib.sha256(rows("a", "b")).hexdigest())
    assert (second.path, second.name) == ("memory://bucket/sub/c.txt.gz", "sub/c.txt.gz")
    assert texts(read("memory://bucket/")) == ["a", "b", "你好"]
    assert source.root() == "memory://bucket"
    assert source.kind() == "corpus"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("memory://bucket/a.jsonl", ["a.jsonl"]),
        ("memory://bucket/*.jsonl", ["a.jsonl"]),
        ("memory://bucket/**/*.gz", ["sub/c.txt.gz"]),
        ("memory://bucket/s*/c*", ["sub/c.txt.gz"]),
        ("memory://bucket/sub", ["c.txt.gz"]),
    ],
)
def test_files_and_globs(bucket, url, expected):
    assert names(url) == expected


def test_names_and_ids_do_not_depend_on_the_place(bucket, tmp_path):
    write(tmp_path / "a.jsonl", rows("a", "b"))
    assert names(str(tmp_path)) == names("memory://bucket/*.jsonl")
    assert read(str(tmp_path)) == read("memory://bucket/*.jsonl")


def test_archives_inside_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/a.jsonl", rows("x"))
        archive.writestr("in/b.txt", "y")
    for url in (f"zip://in/*::file://{tmp_path}/z.zip", f"zip://in::file://{tmp_path}/z.zip"):
        files = Files(path=url).files()
        assert [file.path for file in files] == [
            f"zip://in/{name}::file://{tmp_path}/z.zip" for name in ("a.jsonl", "b.txt")
        ]
        assert texts(read(url)) == ["x", "y"]


def test_a_file_url_is_a_local_path(tmp_path):
    write(tmp_path / "a b.txt", "x")
    for url in (f"file://{tmp_path}/a b.txt", f"file://{tmp_path}/a%20b.txt"):
        (file,) = Files(path=url).files()
        assert file == RawFile(str(tmp_path / "a b.txt"), "a b.txt", 1)


def test_the_digest_is_the_checksum_that_the_place_tells(bucket, monkeypatch):
    class Store:
        def open(self, *_):
            raise AssertionError("nothing has to be read")

    first = _remote._digest(Store(), "p", {"ETag": '"1"', "size": 3}, "s3://p")
    assert first == digest_text('["ETag","\\"1\\"",3]')
    assert first != _remote._digest(Store(), "p", {"ETag": '"2"', "size": 3}, "s3://p")
    inputs = Inputs()
    inputs.add_files("memory://bucket", Files(path="memory://bucket/a.jsonl").files(), role="files")
    entry = json.loads(inputs.listing[0])
    assert (entry["digest"], entry["stated"]) == (hashlib.sha256(rows("a", "b")).hexdigest(), True)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/nothing.jsonl", "no such file or directory: memory://bucket/nothing.jsonl"),
        ("memory://bucket/sub/image.png", "cannot read memory://bucket/sub/image.png: unknown file type"),
        ("memory://bucket/*.csv", "no files to read in memory://bucket/*.csv"),
        ("memroy://bucket", "cannot read memroy://bucket: Protocol not known: memroy; did you mean 'memory'?"),
    ],
)
def test_nothing_there(bucket, url, message):
    with pytest.raises(DataError) as caught:
        names(url)
    assert caught.value.message.startswith(message)
    assert caught.value.hint


def test_a_missing_package_is_named(monkeypatch):
    def fail(_):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(_remote, "_open_system", fail)
    with pytest.raises(SetupError, match="cannot read s3://b/x: Install s3fs to access S3"):
        names("s3://b/x")


def test_a_network_that_fails_is_an_error_and_not_a_broken_row(bucket, monkeypatch):
    source = Files(path="memory://bucket/a.jsonl")
    (file,) = source.files()

    class Failing:
        def read(self, _):
            raise RuntimeError("payload is not completed")

        def close(self):
            pass

    monkeypatch.setattr(fsspec.implementations.memory.MemoryFileSystem, "open", lambda *_, **__: Failing())
    with pytest.raises(DataError, match=r"cannot read memory://bucket/a\.jsonl: payload is not completed"):
        list(source.read(file))


def test_the_query_of_a_web_address_is_no_suffix():
    assert _remote._suffix("https://a.b/x/a.jsonl.gz?download=true") == ".jsonl.gz"
    assert (
        _remote._full("https://a.b/x.txt?d=1", "https://a.b/x.txt?d=1", "https://a.b/x.txt?d=1")
        == "https://a.b/x.txt?d=1"
    )
    assert _remote._full("s3://b/x/*.txt", "b/x/*.txt", "b/x/1.txt") == "s3://b/x/1.txt"
    assert _remote._full("github://o:r@main/d", "d", "d/a.md") == "github://o:r@main/d/a.md"


def test_a_damaged_file_far_away_is_still_a_broken_row(bucket):
    whole = gzip.compress(rows(*map(str, range(50_000))))
    bucket.pipe("/bucket/t.jsonl.gz", whole[: len(whole) // 2])
    assert summary(read("memory://bucket/t.jsonl.gz"))[-1].startswith("! file is truncated after row ")


def test_a_server_that_does_not_answer_is_not_an_empty_one():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # not listening: connections are refused
        url = f"http://127.0.0.1:{held.getsockname()[1]}/rows.jsonl"
        with pytest.raises(DataError) as caught:
            names(url)
    assert "no files" not in caught.value.message
    assert url in caught.value.message
