"""Being told to stop: SIGINT and SIGTERM set a flag, and the work looks at it where stopping is safe.

A handler never raises. Python runs it between any two instructions, also in a destructor, in a callback of C code or
inside somebody's `except Exception`: an exception raised there is swallowed, and the signal with it. So long loops call
`check` once a task, batch or step, and waits wake up to call it. What does not look in time, such as one long call into
a library, is ended together with the process by a thread that needs no safe point: all that is on disk is whole or
absent, as after a `kill -9`, and the same command goes on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from llmkit.core.errors import Interrupted

NUMBERS = (signal.SIGINT, signal.SIGTERM)
POLL_S = 0.05
"""Seconds between two looks of a wait."""
GRACE_S = 1.5
"""Seconds that the work has to look; then the process is ended where it is."""
UNWIND_S = 10.0
"""Seconds that it has to clean up after it has looked."""
LAST_WORDS_S = 1.0
"""Seconds to say why; a pipe that nobody reads holds nothing up."""
LastWords = Callable[[Interrupted], object]


class Held:
    """Work that looks by itself, in its own time, and saves first.

    Attributes:
        name: The signal that has come, such as `SIGTERM`; None before.
    """

    def __init__(self, name: str | None) -> None:
        self.name = name


class Listener:
    """What has come since the command began.

    Attributes:
        number: The first signal.
        held: Who looks by itself at the moment.
        last_words: What is said, or written down, if the process has to be ended.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.held: list[Held] = []
        self.last_words: list[LastWords] = []
        self._left_s = GRACE_S
        self._closed = threading.Event()
        self._before: dict[int, Any] = {}
        self._thread: threading.Thread | None = None
        self._word = threading.Lock()
        self._said_by: str | None = None
        """Who has the last word, `the work` or `the end`; None as long as nobody has it."""
        self._speaker: int | None = None

    def open(self) -> None:
        """Take the signals over; in the main thread."""
        for number in NUMBERS:
            self._before[number] = signal.signal(number, self._heard)
        with contextlib.suppress(OSError, RuntimeError):  # no more files or threads: the flag alone has to do
            self._listen()

    def _listen(self) -> None:
        """Start the thread; a pipe wakes it also while the main thread is in C code, where no handler runs."""
        self._ear, self._mouth = os.pipe()
        os.set_blocking(self._mouth, False)
        thread = threading.Thread(target=self._watch, name="stop", daemon=True)
        thread.start()
        self._thread = thread
        self._fd_before = signal.set_wakeup_fd(self._mouth, warn_on_full_buffer=False)

    def retake(self) -> None:
        """Take the signals back from a library that has put its own handlers in place."""
        for number in NUMBERS if self.number is None else ():
            signal.signal(number, self._heard)

    def close(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._thread is None:
            return
        signal.set_wakeup_fd(self._fd_before)
        self._closed.set()
        os.write(self._mouth, b"\0")
        self._thread.join()
        os.close(self._mouth)
        os.close(self._ear)

    def check(self) -> None:
        """Raise if a signal has come, unless somebody looks by itself."""
        if self.number is not None and not self.held:
            self._left_s = UNWIND_S
            raise self._interrupted()

    def hold(self) -> Held:
        """Leave it to the caller to look, until `let_go`."""
        held = Held(None if self.number is None else signal.Signals(self.number).name)
        self.held.append(held)
        return held

    def let_go(self, held: Held) -> None:
        """End what `hold` began."""
        self._left_s = UNWIND_S
        self.held.remove(held)

    def conclude(self) -> None:
        """Have the last word for the work; where the thread that ends the process has it already, wait for that."""
        if threading.get_ident() == self._speaker:
            return
        with self._word:
            if self._said_by is None:
                self._said_by, self._left_s = "the work", UNWIND_S
            mine = self._said_by == "the work"
        if not mine:
            time.sleep(UNWIND_S)  # the process is ended meanwhile

    def _interrupted(self) -> Interrupted:
        name = signal.Signals(self.number or signal.SIGTERM).name
        return Interrupted(f"interrupted by {name}", hint="run the same command again to go on")

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        """Note the first signal; a second one of its kind ends the process at once."""
        signal.signal(number, signal.SIG_DFL)
        self._note(number)

    def _note(self, number: int) -> None:
        self.number = self.number or number
        for held in self.held:
            held.name = held.name or signal.Signals(number).name

    def _watch(self) -> None:
        """Wait for a signal, and then for the work to end; end the process if it does not."""
        while not self._closed.is_set():
            (number,) = os.read(self._ear, 1)
            if number in NUMBERS:
                self._note(number)
                break
        last = time.monotonic()
        while not self._closed.wait(POLL_S):
            now = time.monotonic()  # on a busy machine a wait takes longer than asked for
            if not self.held:
                self._left_s -= now - last
            last = now
            if self._left_s <= 0:
                self._end()

    def _end(self) -> None:
        with self._word:
            if self._said_by == "the work" and self._left_s > 0:
                return  # it has just begun to say how it has ended
            silent, self._said_by = self._said_by is not None, "the end"
        # In a thread of its own, since it may have to wait for a lock that the main thread holds for ever.
        with contextlib.suppress(RuntimeError):
            speaker = threading.Thread(target=self._speak, daemon=True)
            if not silent:
                speaker.start()
                speaker.join(LAST_WORDS_S)
        os._exit(Interrupted.exit_code)

    def _speak(self) -> None:
        self._speaker = threading.get_ident()
        if sys.stderr.isatty():
            os.write(2, b"\r\x1b[K\x1b[?25h")  # what a live bar has left: half a line, and a hidden cursor
        for say in self.last_words:
            with contextlib.suppress(Exception):
                say(self._interrupted())


_listener: Listener | None = None


_forking = threading.local()


def _before_fork() -> None:
    """Hold back what comes to the child before it has forgotten."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)


def _after_fork() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _in_forked_child() -> None:
    """Forget: what is sent to the child, such as `terminate`, must not wake the parent by the pipe that they share."""
    global _listener  # noqa: PLW0603 - signals belong to the process
    if _listener is not None:
        _listener = None
        signal.set_wakeup_fd(-1)
        for number in NUMBERS:
            signal.signal(number, signal.SIG_DFL)
    _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_forked_child)


@contextlib.contextmanager
def listening(last_words: LastWords | None = None) -> Iterator[Listener]:
    """Let SIGINT and SIGTERM set the flag; inside another one this does nothing more.

    Args:
        last_words: Called with the interruption if the work does not look in time and the process has to be ended.
    """
    global _listener  # noqa: PLW0603 - signals belong to the process
    if _listener is not None:
        yield _listener
        return
    listener = Listener()
    if last_words is not None:
        listener.last_words.append(last_words)
    listener.open()
    _listener = listener
    try:
        yield listener
    finally:
        _listener = None
        listener.close()


def check() -> None:
    """Stop here if a signal has come. Cheap enough for every row.

    Raises:
        Interrupted: SIGINT or SIGTERM.
    """
    if _listener is not None:
        _listener.check()


def conclude() -> None:
    """Call before the result of a command, or its error, is said: two threads never say how it has ended."""
    if _listener is not None:
        _listener.conclude()


def retake() -> None:
    """Take the signals back from a library that has put its own handlers in place."""
    if _listener is not None:
        _listener.retake()


@contextlib.contextmanager
def held() -> Iterator[Held]:
    """Look at what has come oneself: inside nothing is raised, and the process is not ended."""
    with listening() as listener:
        mine = listener.hold()
        try:
            yield mine
        finally:
            listener.let_go(mine)


def before_the_end(say: LastWords) -> None:
    """Have something written down if the process has to be ended."""
    if _listener is not None:
        _listener.last_words.append(say)
