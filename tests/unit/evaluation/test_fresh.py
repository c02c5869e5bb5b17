"""A runtime that is asked in a process of its own: whatever happens there is told here, with what is to blame."""

from __future__ import annotations

import errno
import sys

import pytest

from llmkit.core.errors import CheckFailedError, SetupError
from llmkit.evaluation import fresh


def test_what_the_machine_does_to_the_fresh_process_says_nothing_about_the_export():
    with pytest.raises(OSError, match="No space left on device") as full:
        fresh._run([sys.executable, "-c", "import errno, os; raise OSError(errno.ENOSPC, os.strerror(28))"])
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(SetupError, match=r"was killed by signal 9 \(out of memory\?\)"):
        fresh._run([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(CheckFailedError, match="the export does not load: ValueError: odd"):
        fresh._run([sys.executable, "-c", "raise ValueError('odd')"])
