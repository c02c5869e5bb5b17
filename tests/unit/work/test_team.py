from __future__ import annotations

import json
import signal
import sys

import pytest
import torch

from llmkit.cli import main
from llmkit.core.errors import DataError, DivergedError, Interrupted, SetupError
from llmkit.work import child
from llmkit.work import team as team_module
from llmkit.work.launch import PARENT, start
from llmkit.work.team import Team

# One process of two, in which something happens to this rank or that one; errors are printed as the command line does.
PROGRAM = """
import os, sys, time
import torch
from pathlib import Path
from llmkit.cli.main import _report
from llmkit.core.errors import DataError, DivergedError, Interrupted, UserError
from llmkit.work import team as team_module
from llmkit.work.team import Team
team_module.HOLD_S = 600  # until the launcher ends it
rank = int(os.environ["RANK"])
try:
    with Team(Path(sys.argv[2])) as team:
        exec(sys.argv[1])
except (UserError, Interrupted) as error:
    sys.exit(_report(error, []))
"""


@pytest.fixture
def together(tmp_path, capfd, monkeypatch):
    """Run a line of Python in two processes; returns exit code, stdout and stderr."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(line: str) -> tuple[int, str, str]:
        code = start(2, [sys.executable, "-c", PROGRAM, line, str(tmp_path / "out")])
        captured = capfd.readouterr()
        assert not (tmp_path / "out").exists(), "exit.json is for foreign launchers"
        return code, captured.out, captured.err

    return run


def test_only_rank_0_is_heard_and_the_others_know_what_it_says(together):
    line = (
        "if team.leads: team.tell('x', {'n': 7})\nprint(rank, team.hear('x'), team.size)\nprint('e', file=sys.stderr)"
    )
    assert together(line) == (0, "0 {'n': 7} 2\n", "e\n")


@pytest.mark.slow
def test_what_all_do_wrong_is_told_once(together):
    code, out, err = together("raise DivergedError('the loss is nan', hint='lower it')")
    assert (code, out) == (6, "")
    assert err.splitlines() == ["error: the loss is nan", "  -> lower it"]


@pytest.mark.slow
def test_others_that_wait_for_a_failed_rank_0_end_with_its_code(together):
    code, _, err = together("raise DataError('empty') if team.leads else team.hear('build')")
    assert code == 3
    assert err == "error: empty\n"


def test_a_rank_that_alone_fails_is_shown_with_its_number(together, capfd):
    work = "torch.distributed.all_reduce(torch.ones(1))"
    with pytest.raises(Exception, match="process 1 of 2 alone has failed, with exit code 3") as caught:
        together(f"print('noise', file=sys.stderr); exec('raise DataError(\"torn\")' if rank else '{work}')")
    assert caught.value.exit_code == 3
    assert sorted(capfd.readouterr().err.splitlines()) == ["noise", "rank 1: error: torn", "rank 1: noise"]


def alone(monkeypatch, tmp_path, *, rank: int = 0) -> Team:
    """A team whose other member is only pretended, under a foreign launcher."""
    monkeypatch.delenv(PARENT, raising=False)
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(team_module, "VERDICT_S", 0.05)
    monkeypatch.setattr(team_module, "SAVE_S", 0.05)
    monkeypatch.setattr(team_module, "HOLD_S", 0.0)
    team = Team(tmp_path / "out")
    team.store = torch.distributed.HashStore()
    return team


def report(tmp_path):
    return json.loads((tmp_path / "out/exit.json").read_text())


def fail(team, error):
    team.__exit__(type(error), error, None)


def test_a_foreign_launcher_finds_the_code_in_a_file(monkeypatch, tmp_path):
    fail(alone(monkeypatch, tmp_path), Interrupted("interrupted by SIGTERM after step 3"))
    assert report(tmp_path) == {
        "exit_code": 75, "rank": 0, "processes": 2, "message": "interrupted by SIGTERM after step 3",
    }  # fmt: skip


@pytest.mark.parametrize(("error", "code"), [
    (DivergedError("x"), 6), (MemoryError(), 5), (OSError(28, "full"), 4), (KeyError("x"), 1),
    (OSError(24, "Too many open files"), 4), (OSError(27, "File too large"), 4), (OSError(36, "File name too long"), 2),
    (RuntimeError("can't start new thread"), 4), (RuntimeError("iostream error"), 4),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 5),
])  # fmt: skip
def test_the_code_of_every_kind_of_error(monkeypatch, tmp_path, error, code):
    fail(alone(monkeypatch, tmp_path), error)
    assert report(tmp_path)["exit_code"] == code

    def command():
        raise error

    monkeypatch.setattr(main, "_command", lambda _: lambda *_, **__: command())
    assert main.run([]) == code  # what the command line itself ends with


def test_the_first_to_fail_has_the_say(monkeypatch, tmp_path):
    fail(alone(monkeypatch, tmp_path, rank=1), DataError("torn"))
    with pytest.raises(SetupError, match="the connection to another process of this training is lost"):
        fail(alone(monkeypatch, tmp_path), RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"))
    assert (report(tmp_path)["exit_code"], report(tmp_path)["rank"]) == (3, 1)


def test_a_rank_that_fails_like_rank_0_writes_nothing(monkeypatch, tmp_path):
    team = alone(monkeypatch, tmp_path, rank=1)
    team.store.set("failed", "3")
    fail(team, DataError("torn"))
    assert not (tmp_path / "out").exists()


def test_a_directory_of_someone_else_gets_no_file(monkeypatch, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("")
    fail(alone(monkeypatch, tmp_path), DataError("x"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_a_process_does_not_outlive_its_launcher(monkeypatch):
    sent = []
    monkeypatch.setattr(child.os, "kill", lambda pid, number: sent.append(number))
    monkeypatch.setattr(child.ctypes, "CDLL", lambda _: type("C", (), {"prctl": lambda *_: sent.append("ask")})())
    monkeypatch.setenv(PARENT, str(team_module.os.getppid()))
    team_module._die_with_launcher()
    assert sent == ["ask"]
    monkeypatch.setenv(PARENT, "1")  # it has died before this process could ask
    team_module._die_with_launcher()
    assert sent == ["ask", "ask", signal.SIGKILL]
