"""Conversations as rows, and what a terminal makes of what is typed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from llmkit.core.console import Console
from llmkit.core.errors import DataError, Interrupted, SetupError
from llmkit.serving.conversation import Conversation, load_rows, printable
from llmkit.serving.engine import Piece, RefusedError, Sampling
from llmkit.serving.stream import Stream
from llmkit.serving.terminal import Terminal


class Parrot:
    """An engine that says what it was asked, word by word, and notes what it was given."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self.asked: list[tuple[list[dict], Sampling]] = []
        self.cancelled, self.pause_s = 0, pause_s

    def submit(self, turns, sampling):
        self.asked.append((turns, sampling))
        if "refuse" in turns[-1]["content"]:
            raise RefusedError("messages", "the prompt is too long")
        stream = Stream(0, self._cancel)

        def write():
            for word in turns[-1]["content"].split():
                stream.put(Piece(f"{word} "))
                time.sleep(self.pause_s)
            stream.put(Piece(finish="stop"))

        threading.Thread(target=write, daemon=True).start()
        return stream

    def _cancel(self):
        self.cancelled += 1


def talk(monkeypatch, *lines, engine=None, conversation=None):
    """Type lines; return the conversation and what was written."""
    conversation = conversation or Conversation(engine or Parrot(), Sampling(seed=5))
    typed, written = iter(lines), []

    def read(_prompt):
        line = next(typed, None)
        if line is None:
            raise EOFError
        if isinstance(line, type):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)
    monkeypatch.setenv("XDG_STATE_HOME", os.devnull)
    Terminal(conversation, Console(), written.append).run()
    return conversation, "".join(written)


def contents(conversation):
    return [(turn["role"], turn["content"]) for turn in conversation.turns]


def test_questions_answers_and_what_the_system_says(monkeypatch, capsys):
    engine = Parrot()
    found, written = talk(
        monkeypatch,
        "/system Be brief.",
        "hello there",
        "",
        "/system",
        "/system -",
        "again",
        "/exit",
        "never",
        engine=engine,
    )
    assert written == "hello there \nagain \n"
    assert contents(found) == [
        ("user", "hello there"),
        ("assistant", "hello there"),
        ("user", "again"),
        ("assistant", "again"),
    ]
    assert engine.asked[0][0][0] == {"role": "system", "content": "Be brief."}
    assert "Be brief." in capsys.readouterr().err


def test_several_lines_are_one_question(monkeypatch):
    found, _ = talk(monkeypatch, "one \\", "two", '"""', "three", 'four"""', '"""five"""', "天下\\", "大势")
    said = [content for role, content in contents(found) if role == "user"]
    assert said == ["one \ntwo", "three\nfour", "five", "天下\n大势"]


def test_retry_draws_again_in_the_place_of_the_last_answer(monkeypatch):
    engine = Parrot()
    found, _ = talk(monkeypatch, "first", "second", "/retry", "/retry", engine=engine)
    assert contents(found)[2:] == [("user", "second"), ("assistant", "second")]
    assert [sampling.seed for _, sampling in engine.asked] == [5, 5, 6, 7]


def test_what_fails_is_said_and_the_conversation_goes_on(monkeypatch, capsys):
    found, written = talk(
        monkeypatch, "/retry", "/sav x", "refuse this", "/save", "/load gone.jsonl", KeyboardInterrupt, "good"
    )
    err = capsys.readouterr().err
    for words in (
        "nothing has been asked yet", "no command /sav; did you mean '/save'?", "the prompt is too long",
        "/save: which file?", "gone.jsonl cannot be read", "Ctrl-D or /exit leaves",
    ):  # fmt: skip
        assert words in err
    assert (contents(found), written) == ([("user", "good"), ("assistant", "good")], "good \n")


def test_ctrl_c_stops_the_answer_and_not_the_program(monkeypatch):
    engine = Parrot(pause_s=0.2)
    conversation = Conversation(engine, Sampling())
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    found, written = talk(monkeypatch, "word " * 60, "short", conversation=conversation)
    assert written.startswith("word ")
    assert " (stopped)\nshort \n" in written
    assert engine.cancelled == 1
    answer = contents(found)[1][1]
    assert 0 < len(answer.split()) < 60
    assert contents(found)[3] == ("assistant", "short")


def test_conversations_are_saved_as_rows_and_taken_up_again(monkeypatch, tmp_path, capsys):
    file = tmp_path / "chat.jsonl"
    talk(monkeypatch, "/system Be brief.", "你好", f"/save {file}", "/new", "second", f"/save {file}")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [len(row["messages"]) for row in rows] == [3, 3]
    assert rows[0]["messages"][1:] == [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "你好"}]
    assert "has 2 rows" in capsys.readouterr().err
    found, _ = talk(monkeypatch, f"/load {file}", "more")
    assert [content for _, content in contents(found)] == ["Be brief.", "second", "second", "more", "more"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("# A page\n", "notes.md:1 is no conversation"),
        ('{"messages": [{"role": "user", "content": "x"}]}\n', "has no message of the assistant"),
        ("[1, 2]\n", "notes.md:1 is no conversation"),
    ],
)
def test_a_file_of_something_else_is_left_alone(tmp_path, content, words):
    file = tmp_path / "notes.md"
    file.write_text(content)
    conversation = Conversation(
        Parrot(), Sampling(), turns=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    )
    for act in (conversation.save, conversation.load):
        with pytest.raises(DataError) as error:
            act(file)
        assert words in error.value.message
    assert file.read_text() == content


def test_a_file_that_cannot_be_written_costs_no_conversation(monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    good = tmp_path / "good.jsonl"
    bad = [
        tmp_path / "none/a.jsonl",
        tmp_path,
        tmp_path / "file/a.jsonl",
        tmp_path / ("x" * 300),
        Path("~nobody-here/a"),
    ]
    bad += [Path(os.devnull)]
    found, _ = talk(monkeypatch, "one", *(f"/save {path}" for path in bad), "two", f"/save {good}")
    err = " ".join(capsys.readouterr().err.split())
    for words in (
        "none/a.jsonl cannot be written: there is no directory", "is a directory: conversations are saved in a file",
        "file/a.jsonl cannot be written", "name too long", "no user has this name",
        "is no file that conversations can be saved in",
    ):  # fmt: skip
        assert words in err
    assert len(found.turns) == 4
    assert json.loads(good.read_text())["messages"] == found.turns


def test_a_full_disk_leaves_the_rows_that_were_there(monkeypatch, tmp_path, capsys):
    file = tmp_path / "chat.jsonl"
    conversation, _ = talk(monkeypatch, "one", f"/save {file}")
    before, size = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, size[1]))
    try:
        with pytest.raises(SetupError, match=r"chat\.jsonl cannot be written: File too large"):
            conversation.save(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, size)
    assert file.read_bytes() == before


def test_rows_are_added_behind_a_line_without_an_end_and_hold_any_character(monkeypatch, tmp_path):
    file = tmp_path / "chat.jsonl"
    talk(monkeypatch, "one\u2028\x85two", f"/save {file}")
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    talk(monkeypatch, "second", f"/save {file}")
    assert len(load_rows(file)) == 2
    assert load_rows(file)[0][0]["content"] == "one\u2028\x85two"


def test_what_is_typed_in_another_encoding_is_told_and_asked_of_nobody(monkeypatch, capsys):
    engine = Parrot()
    talk(monkeypatch, "caf\udce9", "/system caf\udce9", "good", engine=engine)
    assert capsys.readouterr().err.count("what was typed is not UTF-8") == 2
    assert len(engine.asked) == 1


def test_nothing_that_a_model_writes_steers_the_terminal():
    assert printable("a\x1b[2J\x07b\tc\n\u202ed é天👨\u200d👩") == "a[2Jb\tc\nd é天👨\u200d👩"


def test_what_cannot_be_saved_where_it_was_to_be_is_saved_elsewhere(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
    place = tmp_path / "there"
    place.mkdir()

    def talk(ending=None):
        conversation = Conversation(None, None, turns=[])
        with conversation.saved_at_the_end(place / "chat.jsonl"):
            conversation.turns = turns
            shutil.rmtree(place, ignore_errors=True)  # the place goes away while they talk
            if ending is not None:
                raise ending

    with pytest.raises(SetupError, match="there is no directory") as caught:
        talk()
    (kept,) = (tmp_path / "state" / "llmkit").glob("chat-*.jsonl")
    assert load_rows(kept) == [turns]
    assert f"the conversation is in {kept}" in caught.value.hint
    kept.unlink()
    with pytest.raises(SetupError):
        talk(Interrupted())
    (kept,) = (tmp_path / "state" / "llmkit").glob("chat-*.jsonl")
    assert load_rows(kept) == [turns], "SIGTERM loses nothing either"
    (tmp_path / "no").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "no"))
    with pytest.raises(SetupError) as caught:
        talk()
    assert json.loads(capsys.readouterr().err) == {"messages": turns}
    assert caught.value.hint == "the conversation is the line above"


def test_a_conversation_that_a_signal_ends_is_saved(tmp_path):
    conversation = Conversation(None, None, turns=[])
    with pytest.raises(Interrupted), conversation.saved_at_the_end(tmp_path / "chat.jsonl"):
        conversation.turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]
        raise Interrupted
    assert load_rows(tmp_path / "chat.jsonl") == [conversation.turns]
