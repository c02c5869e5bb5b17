"""A conversation in a terminal: lines in, answers out as they grow, and commands that begin with a slash."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import Interrupted, UserError, nearest
from llmkit.core.given import check_given
from llmkit.serving.conversation import Conversation, printable, state_folder

if TYPE_CHECKING:
    from llmkit.core.console import Console

PROMPT, MORE = ">>> ", "... "
BLOCK = '"""'
HISTORY_LINES = 1000
HELP = f"""\
/system TEXT  what the system says; alone shows it, /system - takes it away
/retry        another answer to the last question
/new          forget the conversation
/save FILE    add it to a file of rows, which finetune reads
/load FILE    go on with the last one of such a file
/help         this
/exit         leave; so does Ctrl-D
Ctrl-C stops an answer. A line that ends with \\ goes on in the next one; {BLOCK} begins and ends several lines."""


class Terminal:
    """Reads what a person types, and shows what the model says.

    Args:
        conversation: The conversation.
        console: For what is said beside it.
        write: Takes what the model says.
    """

    def __init__(self, conversation: Conversation, console: Console, write: Callable[[str], object]) -> None:
        self.conversation, self.console, self.write = conversation, console, write
        self.commands: dict[str, Callable[[str], None]] = {
            "/system": self._system, "/retry": lambda _: self._show(self.conversation.retry()),
            "/new": lambda _: self.conversation.clear(), "/save": self._save, "/load": self._load,
            "/help": lambda _: self.console.info(HELP),
        }  # fmt: skip

    def run(self) -> None:
        """Talk until the person leaves."""
        with _own_signals(), _history():
            while True:
                try:
                    text = self._read()
                except KeyboardInterrupt:
                    self.console.info("\nCtrl-D or /exit leaves")
                    continue
                except UnicodeDecodeError:
                    self.console.error("what was typed is not UTF-8")
                    continue
                except EOFError:
                    self.console.info("")
                    return
                if text == "/exit":
                    return
                try:
                    self._take(text)
                except UserError as error:
                    self.console.error(error.message, error.hint)

    def _take(self, text: str) -> None:
        """Do what a command says, or ask the model."""
        check_given(text, "what was typed")
        if not text.startswith("/"):
            if text:
                self._show(self.conversation.ask(text))
            return
        name, _, rest = text.partition(" ")
        if name not in self.commands:
            raise UserError(f"no command {name}{nearest(name, [*self.commands, '/exit'])}", "/help lists them")
        self.commands[name](rest.strip())

    def _read(self) -> str:
        """Return what the person types, several lines as one text."""
        line = input(PROMPT)
        if line.strip().startswith(BLOCK):
            return self._block(line.strip().removeprefix(BLOCK))
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(input(MORE))
        return "\n".join(lines).strip()

    def _block(self, first: str) -> str:
        lines = [first]
        while BLOCK not in lines[-1]:
            lines.append(input(MORE))
        lines[-1] = lines[-1].partition(BLOCK)[0]
        return "\n".join(lines).strip()

    def _show(self, answer: Iterator[str]) -> None:
        """Write an answer as it grows; Ctrl-C stops it, and what is there stays."""
        try:
            for text in answer:
                self.write(printable(text))
        except KeyboardInterrupt:
            answer.close()  # type: ignore[attr-defined]
            self.write(" (stopped)")
        self.write("\n")
        for line in sources(self.conversation):
            self.console.info(line)

    def _system(self, text: str) -> None:
        if text:
            self.conversation.system = "" if text == "-" else text
        else:
            self.console.info(self.conversation.system or "the system says nothing")

    def _save(self, name: str) -> None:
        count = self.conversation.save(_path(name, "/save"))
        self.console.info(f"saved: {name} has {count:,} row{'s' if count > 1 else ''}")

    def _load(self, name: str) -> None:
        count = self.conversation.load(_path(name, "/load"))
        turns = len(self.conversation.turns)
        self.console.info(
            f"going on with {turns:,} turns, the last of {count:,} conversation{'s' if count > 1 else ''}"
        )


def sources(conversation: Conversation) -> Iterator[str]:
    """Yield a line for each passage that an answer may cite."""
    for number, passage in enumerate(conversation.found, 1):
        yield f"[{number}] {passage.file or passage.source}: {' '.join(printable(passage.text).split())[:80]}"


def _path(name: str, command: str) -> Path:
    if not name:
        raise UserError(f"{command}: which file?", f"{command} chat.jsonl")
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise UserError(f"{command}: {name}: no user has this name", f"{command} ./{name}") from None


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Let Ctrl-C raise where it is pressed: here it stops an answer, and not the program."""

    def ended(number: int, _frame: Any) -> None:
        raise Interrupted(f"interrupted by {signal.Signals(number).name}", "/save FILE keeps a conversation")

    wakes = signal.set_wakeup_fd(-1)  # what listens there would end the process
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGTERM, ended)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Let lines be edited and fetched again, those of earlier conversations too, where Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    file = state_folder() / "chat_history"
    with contextlib.suppress(OSError):
        readline.read_history_file(file)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # a home that cannot be written to is no reason to fail
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(0o600)
            readline.write_history_file(file)


def is_terminal() -> bool:
    """Tell whether a person types."""
    return sys.stdin.isatty()
