"""Find and open files at URLs (`s3://`, `hf://`, `https://`, `zip://...::...`) through fsspec."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from llmkit.core.digest import canonical_json, digest_text
from llmkit.core.errors import DataError, SetupError, UserError, nearest
from llmkit.core.inputs import RawFile
from llmkit.core.machine import raise_limit
from llmkit.core.manifest import MANIFEST
from llmkit.data.artifacts import Corpus
from llmkit.data.rows import Row
from llmkit.data.sources._formats import companions, listing, suffix_of
from llmkit.data.sources._streams import BUFFER_BYTES

T = TypeVar("T")
_URL = re.compile(r"[A-Za-z][\w+.-]*(::[A-Za-z][\w+.-]*)*://")
_CHECKSUMS = ("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "Digest", "sha256", "blob_id", "sha", "crc32c")
"""Keys under which file systems tell a checksum or a version of the contents."""


def is_url(path: str) -> bool:
    """Tell whether a path is a URL for fsspec; `file://` is not: it names a local file."""
    return _URL.match(path) is not None and not path.startswith("file://")


def find_urls(url: str) -> list[RawFile]:
    """List the files at a URL that can be read, by name: one file, a directory, or a glob."""
    url = url.rstrip("/") if not url.endswith("://") else url
    system, root = _asked(url, lambda: _open_system(url))
    magic = "*" if url.startswith("http") else "*?["
    searched = False
    if any(character in root for character in magic):
        infos = _asked(url, lambda: system.glob(root, detail=True))
        fixed = re.split(rf"[{re.escape(magic)}]", root)[0]
        base = fixed.rpartition("/")[0]
    elif _suffix(root) and _asked(url, lambda: system.isfile(root)):
        infos, base = {root: _asked(url, lambda: system.info(root))}, root.rpartition("/")[0]
    else:
        infos, base, searched = _asked(url, lambda: system.find(root, detail=True)), root, True
        if not infos:  # some file systems say "no file" of a server that does not answer
            _asked(url, lambda: system.info(root))
        if list(infos) == [root]:
            raise DataError(f"cannot read {url}: unknown file type", hint=listing(PurePosixPath(root).suffix))
        if f"{root}/{MANIFEST}" in infos:  # a corpus of ours: not its reports and rejects
            infos = {path: info for path, info in infos.items() if Corpus.is_shard(path[len(base) + 1 :])}
    names = {path: _bare(path)[len(base) :].lstrip("/") for path, info in infos.items() if info["type"] == "file"}
    names = {path: name for path, name in names.items() if _suffix(name) and "/." not in f"/{name}"}
    left_out = companions(list(names.values())) if searched else set()
    found = [
        RawFile(_full(url, root, path), name, infos[path].get("size") or 0, _digest(system, path, infos[path], url))
        for path, name in names.items()
        if name not in left_out
    ]
    if not found:
        raise DataError(f"no files to read in {url}", hint=listing())
    return sorted(found, key=lambda file: file.name)


def open_url(url: str) -> BinaryIO:
    """Open a file for reading; what fails underneath is an `OSError` with a number, since it may pass."""
    system, path = _asked(url, lambda: _open_system(url))
    return cast(
        "BinaryIO", io.BufferedReader(_Remote(system, _asked(url, lambda: system.open(path, "rb"))), BUFFER_BYTES)
    )


def remote_row(url: str) -> Row | None:
    """Return what kind of labelled rows the artifact at a URL holds; None where it is none, or no artifact of ours.

    Raises:
        DataError: The kind is not known here.
    """
    from llmkit.data.corpus import kept_row

    try:
        system, root = _open_system(url.rstrip("/"))
        folder = root.rpartition("/")[0] if _suffix(root) else root
        manifest = json.loads(system.cat_file(f"{folder}/{MANIFEST}"))
        kind, details = manifest["kind"], manifest.get("details", {})
    except Exception:  # noqa: BLE001 - whatever is wrong with the place, listing its files says it better
        return None
    return kept_row(details, url) if kind == "examples" else None


class _Remote(io.RawIOBase):
    def __init__(self, system: Any, file: Any) -> None:
        self._system = system  # an archive is closed when nobody holds its file system
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except Exception as error:
            raise OSError(getattr(error, "errno", None) or errno.EIO, str(error) or repr(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def _open_system(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    system, path = url_to_fs(url)
    return system, str(path).rstrip("/")


def _asked(url: str, ask: Callable[[], T]) -> T:
    """Return the answer of a file system, whose errors are of any class."""
    try:
        return ask()
    except UserError:
        raise
    except ImportError as error:  # "Install s3fs to access S3"
        raise SetupError(f"cannot read {url}: {error}", hint="pip install the package that it names") from error
    except FileNotFoundError as error:
        # fsspec says so of a server that does not answer, too; why, it says in the cause.
        why = f" ({error.__cause__})" if error.__cause__ else ""
        raise DataError(
            f"no such file or directory: {url}{why}", hint="check the name, and what you are logged in as"
        ) from error
    except Exception as error:
        raise_limit(error)
        guess, hint = "", "check the network (and HF_HUB_OFFLINE), the name and the credentials"
        if "Protocol not known" in str(error):
            from fsspec import available_protocols

            guess = nearest(url.partition(":")[0], available_protocols())
            hint = "URLs that are read: https://, s3://, gs://, hf://, zip://*::a.zip and whatever else fsspec opens"
        raise DataError(f"cannot read {url}: {str(error) or repr(error)}{guess}", hint=hint) from error


def _bare(path: str) -> str:
    """Return a path without the query of a web address: `https://host/a.jsonl?download=1`."""
    return path.partition("?")[0] if path.startswith("http") else path


def _suffix(path: str) -> str:
    return suffix_of(_bare(path).rpartition("/")[2])


def _full(url: str, root: str, path: str) -> str:
    """Return the URL of a path in the file system of `url`, so that it can be opened by itself.

    fsspec's own `unstrip_protocol` forgets what `zip://*.txt::s3://bucket/a.zip` and `github://org:repo@` refer to.
    """
    first, chain, rest = url.partition("::") if "://" in url.partition("::")[0] else (url, "", "")
    if not first.endswith(root):
        return f"{first.partition('://')[0]}://{path}{chain}{rest}"
    return f"{first[: len(first) - len(root)]}{path}{chain}{rest}"


def _digest(system: Any, path: str, info: dict[str, Any], url: str) -> str:
    """Return a digest of what the place says about the contents; where it says nothing, of the contents."""
    key = next((key for key in _CHECKSUMS if info.get(key)), None)
    if key is not None:
        return digest_text(canonical_json([key, str(info[key]), info.get("size")]))
    if modified := info.get("Last-Modified"):
        return digest_text(canonical_json([modified, info.get("size")]))

    def read() -> str:
        with system.open(path, "rb") as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            return digest.hexdigest()

    return _asked(url, read)
