"""A runtime that is asked in a process of its own: whatever happens there is told here, with what is to blame."""

from __future__ import annotations

import errno
import pickle
import sys

import pytest

from llmkit.core.errors import CheckFailedError, ConfigError, DataError, MemoryLimitError, SetupError, UserError
from llmkit.evaluation import fresh
from llmkit.modeling.finite import NotFiniteError


def test_what_the_machine_does_to_the_fresh_process_says_nothing_about_the_export():
    with pytest.raises(OSError, match="No space left on device") as full:
        fresh._run([sys.executable, "-c", "import errno, os; raise OSError(errno.ENOSPC, os.strerror(28))"])
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(SetupError, match=r"was killed by signal 9 \(out of memory\?\)"):
        fresh._run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(CheckFailedError, match="the export does not load: ValueError: odd"):
        fresh._run([sys.executable, "-c", "raise ValueError('odd')"])


def test_what_a_library_says_before_it_ends_its_process_is_told():
    said = "x.cpp:7: GGML_ASSERT(a == b) failed\n#1 0x00 in f\n"
    code = f"import os, sys; sys.stderr.write({said!r}); sys.stderr.flush(); os.abort()"
    with pytest.raises(CheckFailedError) as caught:
        fresh._run([sys.executable, "-c", code])
    assert caught.value.message == "the export does not load: x.cpp:7: GGML_ASSERT(a == b) failed"


@pytest.mark.parametrize(("error", "step", "told", "words"), [
    (DataError("no weights", "ls DIR"), "load", CheckFailedError, "the export does not load: no weights"),
    (ValueError("odd\nand long"), "load", CheckFailedError, "the export does not load: ValueError: odd and long"),
    (ValueError("odd"), "answer", CheckFailedError, "the export does not answer: ValueError: odd"),
    (NotFiniteError("NaN"), "answer", NotFiniteError, "NaN"),
    (ConfigError("not that kind"), "answer", ConfigError, "not that kind"),
    (SetupError("no such extra", "pip install it"), "load", SetupError, "no such extra"),
    (MemoryError(), "load", MemoryLimitError, "out of memory"),
    (OSError(errno.ENOSPC, "No space left on device"), "load", SetupError, "the disk is full"),
])  # fmt: skip
def test_only_what_the_export_is_to_blame_for_fails_its_check(error, step, told, words):
    found = fresh._told(error, step)
    assert type(found) is told
    assert found.message.startswith(words)
    if isinstance(error, UserError):
        assert found.hint == error.hint
    again = pickle.loads(pickle.dumps(found))
    assert (type(again), again.message, again.hint) == (told, found.message, found.hint)


def test_the_fresh_process_takes_nothing_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "pickle.py").write_text("raise ImportError('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    fresh._run([sys.executable, "-P", "-c", "import pickle"])
