"""Folders that processes share: made once, and gone with the last of them, however the others ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from llmkit.core.errors import SetupError
from llmkit.work import shared

PROGRAM = """
import sys, time
from pathlib import Path
from llmkit.work.shared import shared_folder

def make(folder):
    with open(sys.argv[1], "a") as log: log.write("made\\n")
    time.sleep(0.2)
    (folder / "file").write_text("whole")

folder = shared_folder("name", make)
print((folder / "file").read_text(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    return place


@pytest.fixture
def start(tmp_path, place):
    started = []

    def start():
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "log")]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def end(process):
    process.communicate("")
    assert process.returncode == 0


def test_it_is_made_once_and_removed_by_the_last(start, tmp_path, place):
    first, second = start(), start()
    assert [process.stdout.readline() for process in (first, second)] == ["whole\n"] * 2
    assert (tmp_path / "log").read_text() == "made\n"
    end(first)
    assert [path.name for path in next(place.iterdir()).iterdir()] == ["name"]
    end(second)
    assert list(place.iterdir()) == []


def test_what_a_killed_process_leaves_is_made_anew_and_removed(start, tmp_path, place):
    first = start()
    assert first.stdout.readline() == "whole\n"
    first.send_signal(signal.SIGKILL)
    first.wait()
    base = next(place.iterdir())
    (base / "name/file").write_text("torn")
    (base / "other.new").mkdir()  # of one that was killed while it made it
    second = start()
    assert second.stdout.readline() == "whole\n"
    assert [path.name for path in base.iterdir()] == ["name"]
    end(second)
    assert list(place.iterdir()) == []
    assert (tmp_path / "log").read_text() == "made\n" * 2


def test_a_base_that_another_process_removes_is_made_anew(place, monkeypatch):
    """The last of others removes the empty base between two steps of this one."""
    monkeypatch.setattr(shared, "place", lambda: place)
    base = place / f"llmkit-{os.getuid()}"
    sweep = shared._sweep

    def late(found):
        found.rmdir()
        sweep(found)

    monkeypatch.setattr(shared, "_sweep", late)
    folder = shared.shared_folder("name", lambda new: (new / "file").write_text("whole"))
    assert (folder / "file").read_text() == "whole"
    shared._leave(os.getpid())
    assert not base.exists()


def test_processes_that_come_and_go_at_once_do_not_hinder_each_other(place):
    program = """
import os, random
from llmkit.work import shared
for _ in range(150):
    folder = shared.shared_folder(random.choice("ab"), lambda new: (new / "file").write_text("whole"))
    assert (folder / "file").read_text() == "whole"
    shared._leave(os.getpid())
"""
    started = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in started] == [""] * 4
    assert list(place.iterdir()) == []


def test_what_fails_leaves_nothing(place, monkeypatch):
    monkeypatch.setattr(shared, "place", lambda: place)

    def fail(folder):
        (folder / "half").write_text("")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        shared.shared_folder("name", fail)
    assert list((place / f"llmkit-{os.getuid()}").iterdir()) == []


def test_a_place_that_others_may_write_is_not_used(place, monkeypatch):
    monkeypatch.setattr(shared, "place", lambda: place)
    base = place / f"llmkit-{os.getuid()}"
    base.mkdir()
    base.chmod(0o777)
    with pytest.raises(SetupError, match="can be written by others"):
        shared.shared_folder("name", lambda folder: None)
    base.rmdir()
    base.symlink_to(place)
    with pytest.raises(SetupError, match="can be written by others"):
        shared.shared_folder("name", lambda folder: None)
