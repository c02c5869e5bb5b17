"""chat as a program: in a pipe it prints the answer and nothing else, on a terminal a person talks with it."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from test_generate_answers import saved

from headed import SENTIMENT, save_headed

GREEDY = ("--temperature", "0", "--max-tokens", "8")


@pytest.fixture
def chatty(tmp_path):
    return saved(tmp_path / "chatty")


@pytest.fixture
def typed(monkeypatch):
    """What comes on stdin, which is no terminal."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_in_a_pipe_the_answer_is_all_that_is_printed(cli, chatty, typed, jsonl):
    typed("天下大势？\n")
    outcome = cli("chat", chatty, *GREEDY, "--system", "Be brief.", "--save", "chat.jsonl")
    assert outcome.code == 0, outcome.err
    (row,) = [json.loads(line) for line in Path("chat.jsonl").read_text(encoding="utf-8").splitlines()]
    system, question, answer = row["messages"]
    assert (system["content"], question["content"]) == ("Be brief.", "天下大势？")
    assert outcome.out.strip() == answer["content"]
    # The same as generate writes.
    data = jsonl("rows.jsonl", [{"messages": [system, question]}])
    made = cli("generate", chatty, "-i", data, "-o", "out", "--max-new-tokens", "8")
    assert made.code == 0, made.err
    import pyarrow.parquet as pq

    (written,) = pq.read_table("out/data-00000.parquet")["messages"].to_pylist()
    assert written[-1]["content"].strip() == answer["content"]
    typed("and then?")
    more = cli("chat", chatty, *GREEDY, "--load", "chat.jsonl", "--save", "chat.jsonl", "-q")
    assert more.code == 0, more.err
    assert "error" not in more.err
    lengths = [
        len(json.loads(line)["messages"]) for line in Path("chat.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert lengths == [3, 5]


def test_answers_come_from_what_was_indexed(cli, chatty, typed, jsonl):
    data = jsonl("facts.jsonl", [{"subject": "曹操", "relation": "字", "object": "孟德"}])
    assert cli("index", "-i", data, "-o", "idx").code == 0
    typed("曹操字什么？")
    outcome = cli("chat", chatty, *GREEDY, "--documents", "idx")
    assert outcome.code == 0, outcome.err
    assert "[1] facts.jsonl: 曹操 字 孟德" in outcome.err


def test_bad_input_is_told_in_words(cli, chatty, typed, tmp_path):
    (tmp_path / "notes.md").write_text("# A page\n")
    cases = [
        ((chatty,), "", 2, "there is no question on stdin"),
        (("none",), "x", 3, "none"),
        ((chatty, "--load", "gone.jsonl"), "x", 3, "gone.jsonl cannot be read"),
        ((chatty, "--load", "notes.md"), "x", 3, "notes.md:1 is no conversation"),
        ((chatty,), "word " * 300, 2, "the prompt is 1519 tokens long, more than what the model has room for"),
        ((saved(tmp_path / "plain", None),), "x", 3, "llmkit generate"),
        ((chatty,), "word " * 300, 2, "-> a shorter question; or a model with more positions"),
        ((chatty, "--max-tokens", "300"), "x", 2, "-> a smaller --max-tokens"),
        ((save_headed(tmp_path / "labels", SENTIMENT),), "x", 3, "llmkit predict"),
        (("no-model", "--documents", "chatty"), "x", 3, "-> llmkit index -i TEXTS --model chatty -o DIR makes one"),
        ((chatty, "--runtime", "lama"), "x", 2, "lama"),
        ((chatty, "--save", "none/a.jsonl"), "x", 4, "none/a.jsonl cannot be written: there is no directory none"),
        (("no-model", "--save", "."), "x", 2, ". is a directory"),
        (("no-model", "--save", "notes.md"), "x", 3, "notes.md:1 is no conversation"),
        (("no-model", "--system", "x\udcff"), "x", 2, "--system is not UTF-8 (character 2)"),
        (("no-model",), "x\udcff", 2, "stdin is not UTF-8"),
        (("no-model", "--temperature", "inf"), "x", 2, "--temperature: should be a finite number, not inf"),
    ]  # fmt: skip
    for words, question, code, said in cases:
        typed(question)
        outcome = cli("chat", *words)
        found = outcome.code, said in outcome.err, "Traceback" in outcome.err, outcome.out
        assert found == (code, True, False, ""), (words, outcome.err)


def test_a_person_talks_with_it(chatty, tmp_path):
    mine, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "llmkit", "chat", str(chatty), "--temperature", "0", "--max-tokens", "20"],
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, start_new_session=True, cwd=tmp_path,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1", "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    seen = ""

    def wait(text, seconds=240.0, again=None):
        nonlocal seen
        began = time.monotonic()
        while text not in seen:
            assert time.monotonic() < began + seconds, seen
            if again and time.monotonic() > began + 5:
                again()
                began, seconds = time.monotonic(), seconds - 5
            if select.select([mine], [], [], 0.2)[0]:
                seen += os.read(mine, 65536).decode("utf-8", "replace")
        head, seen = seen.split(text, 1)
        return head

    try:
        wait(">>> ")
        os.write(mine, b"/hlep\n")
        wait("did you mean '/help'?")
        wait(">>> ")
        # A signal between the prompt and readline's wait for a key is only seen with the next key: one presses again.
        press = partial(os.kill, process.pid, signal.SIGINT)
        press()
        wait("Ctrl-D or /exit leaves", again=press)
        wait(">>> ")
        os.write(mine, "你好\n".encode())
        wait(">>> ")
        os.write(mine, b"/save chat.jsonl\n")
        wait("saved: chat.jsonl has 1 row")
        os.write(mine, b"/exit\n")
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
        os.close(mine)
    row = json.loads((tmp_path / "chat.jsonl").read_text(encoding="utf-8"))
    assert row["messages"][0] == {"role": "user", "content": "你好"}
    assert "你好" in (tmp_path / "state/llmkit/chat_history").read_text(encoding="utf-8")
