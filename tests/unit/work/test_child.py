from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmkit.core import stop
from llmkit.core.errors import Interrupted
from llmkit.work.child import run_child

WITHOUT_LINUX = Path(__file__).resolve().parents[2] / "without_linux"


def test_a_child_says_how_it_ended():
    done = run_child([sys.executable, "-S", "-c", "import sys; print('out'); sys.exit('err')"], os.environ)
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "err\n")


def test_a_signal_ends_the_wait_and_the_child(tmp_path):
    mark = tmp_path / "pid"
    program = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)"

    def send():
        while not (mark.exists() and mark.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    with stop.listening():
        threading.Thread(target=send).start()
        with pytest.raises(Interrupted):
            run_child([sys.executable, "-S", "-c", program], os.environ)
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)


# A parent of two workers that is killed while both are at work; they hold the pipe as long as they live.
PARENT = """
import os, sys, time
from llmkit.work.engine import Engine
from tests_of_child import work
if __name__ == "__main__":
    with Engine(workers=2) as engine:
        list(engine.map(work, [1, 2]))
"""
WORK = "import os, time\ndef work(_):\n    os.write(1, b'at work\\n')\n    time.sleep(60)\n"


@pytest.mark.parametrize("system", [(), (str(WITHOUT_LINUX),)], ids=["here", "without prctl"])
def test_workers_die_with_a_killed_parent(tmp_path, system):
    (tmp_path / "tests_of_child.py").write_text(WORK)
    (tmp_path / "parent.py").write_text(PARENT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*system, str(tmp_path), *sys.path])}
    with subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert [parent.stdout.readline() for _ in range(2)] == ["at work\n"] * 2
        parent.kill()
        assert parent.communicate(timeout=20)[0] == ""  # ends only when nobody holds the pipe any more
