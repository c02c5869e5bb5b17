from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
import rich.console

from llmkit.core import progress as progress_module
from llmkit.core.console import Console
from llmkit.core.progress import PlainProgress, Progress, RichProgress, clock

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


@pytest.fixture
def now(monkeypatch):
    """Stop the clock; `now[0]` is the time in seconds."""
    time = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: time[0])
    return time


def say_all(console):
    console.debug("a debug line")
    console.info("an info line")
    console.warn("a warning line")
    console.error("an error line", "a hint line")
    console.print("a result line")


@pytest.mark.parametrize(
    ("how", "out", "err"),
    [
        (
            {},
            ["a result line"],
            ["an info line", "warning: a warning line", "error: an error line", "  -> a hint line"],
        ),
        ({"quiet": True}, ["a result line"], ["warning: a warning line", "error: an error line", "  -> a hint line"]),
        (
            {"verbose": True},
            ["a result line"],
            ["a debug line", "an info line", "warning: a warning line", "error: an error line", "  -> a hint line"],
        ),
        (
            {"json_mode": True, "quiet": True},
            [],
            ["warning: a warning line", "error: an error line", "  -> a hint line"],
        ),
    ],
)
def test_what_goes_where(capsys, how, out, err):
    say_all(Console(**how))
    captured = capsys.readouterr()
    assert captured.out.splitlines() == out
    assert captured.err.splitlines() == err


def test_text_is_never_markup_and_never_wrapped(capsys):
    text = "[red]data[/red] :smile: https://x.y/" + "z" * 500
    console = Console(verbose=True)
    for say in (console.info, console.debug, console.print):
        say(text)
    captured = capsys.readouterr()
    assert captured.out == f"{text}\n"
    assert captured.err == f"{text}\n{text}\n"


def test_json_is_one_object_whatever_it_holds(capsys):
    console = Console(json_mode=True)
    console.print("no")
    console.table([("a", "b")])
    console.print_json({"text": "文\n[red]", "path": sys.executable, "other": {1}})
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"text": "文\n[red]", "path": sys.executable, "other": "{1}"}
    assert captured.err == ""


def test_tables(capsys):
    Console().table([("a", "1"), ("[b]", "20"), ("c",)], headers=("name", "count"), numbers_from=1)
    assert capsys.readouterr().out.splitlines() == [
        "name  count", "a         1", "[b]      20", "c",
    ]  # fmt: skip
    Console().table([])
    assert capsys.readouterr().out.strip() == ""


def test_plain_progress_is_a_line_every_few_seconds(capsys, now):
    console = Console()
    with console.progress("reading", total=200, unit="files") as progress:
        assert isinstance(progress, PlainProgress)
        for _ in range(100):
            now[0] += 0.125
            progress.advance(note="loss 2.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "reading: 40/200 files (20%), 8.0/s, 0:20 left, loss 2.5",
        "reading: 80/200 files (40%), 8.0/s, 0:15 left, loss 2.5",
    ]
    assert not CONTROL.search(captured.err)


def test_plain_progress_is_shown_ever_more_seldom(capsys, now):
    with Console().progress("training", unit="steps") as progress:
        for _ in range(36_000):
            now[0] += 1
            progress.advance()
    steps = [
        int(re.search(r"training: ([\d,]+)", line)[1].replace(",", "")) for line in capsys.readouterr().err.splitlines()
    ]
    gaps = [after - before for before, after in zip([0, *steps], steps, strict=False)]
    assert steps[:5] == [5, 10, 15, 20, 25]
    assert gaps == sorted(gaps)  # a day of training is no thousand lines, and never silent for long
    assert gaps[-1] == 600
    assert len(steps) < 90


@pytest.mark.parametrize(
    ("count", "seconds", "shown"),
    [(0, 10, "0.0/s"), (350, 10, "35/s"), (45, 10, "4.5/s"), (2, 10, "12.0/min"), (1, 3000, "1.2/h"), (1, 1, "1.0/s")],
)
def test_rates_below_one_have_a_longer_unit(now, count, seconds, shown):
    progress = Progress("training")
    now[0] += seconds
    progress.advance(count)
    assert progress.line() == f"training: {count}, {shown}"


def test_progress_without_a_total_and_after_a_resume(now):
    progress = Progress("training")
    assert progress.line() == "training: 0, 0.0/s"
    progress.begin_at(1000)
    now[0] += 10
    progress.advance(500)
    assert progress.line() == "training: 1,500, 50/s"
    progress.total = 3000
    assert progress.line() == "training: 1,500/3,000 (50%), 50/s, 0:30 left"


def test_quiet_progress_shows_nothing(capsys, now):
    with Console(quiet=True).progress("reading", total=2) as progress:
        now[0] += 60
        progress.advance()
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_failing_piece_of_work_takes_the_bar_away():
    stream = io.StringIO()
    console = rich.console.Console(file=stream, force_terminal=True, width=100)
    with pytest.raises(ValueError, match="broken"), RichProgress("reading", total=2, console=console) as progress:
        progress.advance()
        assert not progress.bar.finished
        raise ValueError("broken")
    assert not progress.bar.live.is_started
    assert "\x1b[?25h" in stream.getvalue()  # the cursor is back


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03"), (-5, "0:00")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": f"Text number {i}."}) + "\n" for i in range(9)) + "{broken\n")
    return path


def test_cli_for_people(cli, texts, monkeypatch):
    monkeypatch.setattr(progress_module, "INTERVAL_S", 0.0)
    outcome = cli("clean", "-i", texts, "-o", "out")
    assert outcome.code == 0
    assert "clean: out (corpus " in outcome.out
    assert "9 kept of 10" in outcome.out
    assert "cleaning: " in outcome.err
    assert "texts.jsonl" in outcome.err  # the broken row, with its file and line
    assert not CONTROL.search(outcome.out + outcome.err)


def test_cli_quiet(cli, texts, monkeypatch):
    monkeypatch.setattr(progress_module, "INTERVAL_S", 0.0)
    outcome = cli("clean", "-i", texts, "-o", "out", "-q")
    assert outcome.code == 0
    assert "cleaning: " not in outcome.err
    assert all(line.startswith("warning: ") for line in outcome.err.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "status"),
    [
        (["clean", "-i", "texts.jsonl", "-o", "out"], 0, "done"),
        (["clean", "-i", "texts.jsonl", "--dry-run"], 0, "dry run"),
        (["clean", "-i", "none.jsonl", "-o", "out"], 3, "error"),
        (["clean", "-i", "texts.jsonl"], 2, "error"),
        (["clean", "-i", "texts.jsonl", "-o", "out", "-s", "stps=1"], 2, "error"),
        (["clean", "--nonsense"], 2, "error"),
        (["nonsense"], 2, "error"),
        (["recipes", "list"], 0, "done"),
        (["lineage", "none"], 3, "error"),
    ],
)
def test_cli_json_is_one_object(cli, texts, arguments, code, status):
    outcome = cli(*arguments, "--json")
    assert outcome.code == code
    assert outcome.json["status"] == status
    assert outcome.json["exit_code"] == code
    if status == "error":
        assert outcome.json["message"] in outcome.err
        assert "Traceback" not in outcome.err


def test_a_terminal_gets_colours_only_where_it_wants_them(tmp_path):
    code = (
        "import os, pty, sys\n"
        "from llmkit.core.console import Console\n"
        "def child():\n"
        "    Console().warn('careful')\n"
        "pid, terminal = pty.fork()\n"
        "if pid == 0:\n"
        "    child(); os._exit(0)\n"
        "data = b''\n"
        "try:\n"
        "    while part := os.read(terminal, 1000): data += part\n"
        "except OSError: pass\n"
        "os.waitpid(pid, 0)\n"
        "print(repr(data.decode()))\n"
    )

    def shown(**extra):
        environment = {"PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "HOME": str(tmp_path), **extra}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        return done.stdout

    assert "\\x1b[33mwarning:" in shown()
    assert "\\x1b[33m" not in shown(NO_COLOR="1")
    assert "warning:" in shown(NO_COLOR="1")
