from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref

import pytest

from llmkit.core import stop
from llmkit.core.errors import Interrupted


class Thing:
    """Something a weak reference can point at."""


def in_a_destructor():
    class Signals:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)

    Signals()


def in_a_weak_reference():
    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del thing
    assert kept() is None


def while_garbage_is_collected():
    callback = lambda phase, _: os.kill(os.getpid(), signal.SIGTERM) if phase == "stop" else None  # noqa: E731
    gc.callbacks.append(callback)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(callback)


def in_a_callback_of_c_code():
    def key(number):
        os.kill(os.getpid(), signal.SIGTERM)
        return number

    min([1], key=key)


def where_every_exception_is_caught():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.001)
    except BaseException:  # noqa: BLE001 - as numba, pyarrow and tokenizers have it around what they call
        pytest.fail("the handler has raised")


@pytest.mark.parametrize(
    "happen",
    [
        in_a_destructor, in_a_weak_reference, while_garbage_is_collected, in_a_callback_of_c_code,
        where_every_exception_is_caught,
    ],
)  # fmt: skip
def test_a_signal_is_never_lost(happen, capsys):
    with stop.listening():
        happen()
        with pytest.raises(Interrupted, match=r"^interrupted by SIGTERM$") as raised:
            stop.check()
        with pytest.raises(Interrupted):  # also if somebody has swallowed the first
            stop.check()
    assert (raised.value.exit_code, raised.value.hint) == (75, "run the same command again to go on")
    assert "ignored" not in capsys.readouterr().err
    stop.check()


def test_handlers_are_given_back():
    before = [signal.getsignal(number) for number in stop.NUMBERS]
    with stop.listening() as outer:
        heard = [signal.getsignal(number) for number in stop.NUMBERS]
        with stop.listening() as inner:
            assert inner is outer
        assert [signal.getsignal(number) for number in stop.NUMBERS] == heard != before
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as a library may do
        stop.retake()
        assert [signal.getsignal(number) for number in stop.NUMBERS] == heard
    assert [signal.getsignal(number) for number in stop.NUMBERS] == before


def test_a_forked_child_is_ended_alone():
    with stop.listening() as listener:
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        time.sleep(2 * stop.POLL_S)
        assert listener.number is None
        stop.check()


def test_who_holds_looks_by_itself():
    with stop.listening():
        with stop.held() as first:
            assert first.name is None
            os.kill(os.getpid(), signal.SIGINT)
            stop.check()
            assert first.name == "SIGINT"
            with stop.held() as second:
                assert second.name == "SIGINT"
            stop.check()
        with pytest.raises(Interrupted, match="SIGINT"):
            stop.check()


# A library's call that never comes back, and what is printed on the way: `LATE` is said if the process is not ended.
CALL = """
import ctypes, os, signal, sys, threading, time
from llmkit.core import stop
stop.GRACE_S, stop.LAST_WORDS_S = 0.2, 0.2
def say(interrupted):
    print(interrupted.message, flush=True)
with stop.listening(say):
    stop._listener._left_s = stop.GRACE_S
    print("ready", flush=True)
    exec(sys.argv[1])
    print("LATE", flush=True)
"""


def ended(line: str, *numbers: int) -> tuple[int, str]:
    with subprocess.Popen([sys.executable, "-c", CALL, line], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.02)
        out, _ = process.communicate(timeout=30)
    return process.returncode, out


def test_a_call_that_does_not_come_back_is_ended():
    for line in ("lock = threading.Lock(); lock.acquire(); lock.acquire()", "while True: pass"):
        assert ended(line, signal.SIGTERM) == (75, "interrupted by SIGTERM\n")


def test_one_that_holds_is_not_ended_by_the_first_signal_but_by_the_second():
    line = "held = stop.held(); held.__enter__(); time.sleep(0.6); print('saved', flush=True); sys.exit(3)"
    assert ended(line, signal.SIGTERM) == (3, "saved\n")
    assert ended(line, signal.SIGINT, signal.SIGINT) == (-signal.SIGINT, "")


def test_last_words_that_hang_hold_nothing_up():
    line = "stop.before_the_end(lambda _: time.sleep(60)); time.sleep(60)"
    assert ended(line, signal.SIGINT) == (75, "interrupted by SIGINT\n")


def test_of_two_threads_one_says_how_it_ended():
    late = "stop.before_the_end(lambda _: time.sleep(0.1)); time.sleep(0.25); stop.conclude()"
    assert ended(late, signal.SIGINT) == (75, "interrupted by SIGINT\n")
    first = "time.sleep(0.1); stop.conclude(); time.sleep(0.4); print('done', flush=True); sys.exit(3)"
    assert ended(first, signal.SIGINT) == (3, "done\n")
    mute = "stop.UNWIND_S = 0.3; stop.conclude(); time.sleep(60)"  # whose reader never reads
    assert ended(mute, signal.SIGINT) == (75, "")


def test_without_threads_the_flag_does(monkeypatch):
    def start(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(stop.threading.Thread, "start", start)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted):
            stop.check()
