from __future__ import annotations

import errno
import os
import resource

import pytest

from llmkit.core.errors import DataError, Interrupted
from llmkit.core.machine import LIMITS, exit_code, explain, raise_limit


def system(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), *([name] if name else []))


class OutOfMemoryError(RuntimeError):
    """As torch's is called."""


AGAIN = "run the same command again: it goes on"


@pytest.mark.parametrize(("error", "code", "message", "hint"), [
    (system(errno.EMFILE, "a"), 4, "too many open files: a", f"ulimit -n 4096; then {AGAIN}"),
    (system(errno.ENFILE), 4, "too many open files: [Errno 23] Too many open files in system", None),
    (RuntimeError("I/O error: Too many open files (os error 24)"), 4, "too many open files: I/O error", None),
    (system(errno.EFBIG, "a"), 4, "a file is larger than this shell allows: a", f"ulimit -f unlimited; then {AGAIN}"),
    (system(errno.ENAMETOOLONG, f"a/{'n' * 400}"), 2,
     f"a name is too long for this file system: a/{'n' * 40}... (400 characters)", None),
    (system(errno.ENOTDIR, "a/b"), 2, "a part of this path is a file, not a directory: a/b", None),
    (system(errno.ELOOP, "a"), 2, "links that lead in a circle: a", None),
    (ValueError("embedded null byte"), 2, "a name holds a zero byte", None),
    (UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"), 2,
     "a name or a value is not UTF-8: '\\udce9'", "rename it"),
    (system(errno.EROFS, "a"), 4, "the disk is read-only: a", "choose a path you may write"),
    (system(errno.EACCES, "a"), 4, "no permission: a", "choose a path you may read and write"),
    (system(errno.EPERM, "a"), 4, "no permission: a", None),
    (system(errno.EIO, "a"), 4, "the disk does not answer: a", AGAIN),
    (system(errno.ESTALE, "a"), 4, "the disk does not answer: a", None),
    (RuntimeError("can't start new thread"), 4, "this machine starts no more threads or processes", None),
    (system(errno.EAGAIN), 4, "this machine starts no more threads or processes", None),
    (MemoryError(), 5, "out of memory", "lower batch_tokens, context_length or workers"),
    (system(errno.ENOMEM), 5, "out of memory", None),
    (OutOfMemoryError("CUDA out of memory"), 5, "out of memory", None),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 5, "out of memory", None),
    (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 5, "out of memory", None),
])  # fmt: skip
def test_what_the_machine_refuses_is_said_with_its_code(error, code, message, hint):
    found = explain(error)
    assert (found.exit_code, exit_code(error)) == (code, code)
    assert found.message.startswith(message)
    assert found.hint == hint if hint else found.hint


@pytest.mark.parametrize("error", [
    system(errno.ENOSPC), system(errno.EDQUOT), RuntimeError("No space left on device (os error 28)"),
    RuntimeError("[enforce fail at inline_container.cc:672] . iostream error"),
])  # fmt: skip
def test_a_full_disk_is_that_of_the_file_or_of_the_output(error, tmp_path):
    found = explain(error, tmp_path / "not/there/yet")
    assert found.exit_code == 4
    assert found.message.startswith(f"the disk is full: {tmp_path} (")
    assert found.message.endswith(" MB are free there)")
    assert found.hint == f"free some space and {AGAIN}; llmkit tidy DIR lists what runs left behind"


def test_a_write_that_fails_without_a_number_is_one_beyond_the_limit_where_there_is_one(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (4096, 4096))
    assert explain(RuntimeError("iostream error")).message.startswith("a file is larger than this shell allows")
    assert explain(system(errno.ENOSPC)).message.startswith("the disk is full")


def raised(error: Exception, beneath: Exception, *, direct: bool) -> Exception:
    try:
        try:
            raise beneath
        except (OSError, RuntimeError) as cause:
            if direct:
                raise error from cause
            raise error  # noqa: B904 - as libraries do
    except (ValueError, KeyError) as found:
        return found


@pytest.mark.parametrize("direct", [True, False])
def test_a_shortage_lies_beneath_a_librarys_own_error_but_a_permission_does_not(direct):
    deep = raised(ValueError("could not save"), system(errno.ENOSPC, "/tmp"), direct=direct)
    assert explain(deep).message.startswith("the disk is full: /tmp (")
    assert explain(raised(KeyError("x"), system(errno.EACCES), direct=direct)) is None
    assert exit_code(raised(KeyError("x"), system(errno.EACCES), direct=direct)) == 1


def test_our_own_errors_and_the_readers_that_left_keep_their_codes():
    for error in (DataError("Permission denied"), Interrupted("x")):
        assert explain(error) is error
    assert [exit_code(error) for error in (DataError("x"), Interrupted("x"), BrokenPipeError(), KeyError("x"))] == [
        3, 75, 0, 1,
    ]  # fmt: skip


def test_what_was_read_is_not_blamed_for_a_shortage():
    for error in (system(errno.EMFILE), MemoryError(), system(errno.ENAMETOOLONG)):
        with pytest.raises(type(error)):
            raise_limit(error)
    for error in (system(errno.EACCES), system(errno.ENOENT), ValueError("damaged")):
        raise_limit(error)


def test_each_number_is_in_the_table_once():
    numbers = [number for limit in LIMITS for number in limit.numbers]
    assert len(numbers) == len(set(numbers))
