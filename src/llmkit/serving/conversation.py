"""A conversation with a model: its turns, the answer to the last one, and files of rows that finetune reads."""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmkit.core.errors import ConfigError, DataError, Interrupted, SetupError, UserError
from llmkit.core.json import dumps
from llmkit.core.reading import reading
from llmkit.data.rows._values import RowError
from llmkit.data.rows.messages import Messages

if TYPE_CHECKING:
    from llmkit.retrieval import Passage, Retriever
    from llmkit.serving.engine import Engine, Sampling

PASSAGES = 4
"""Put before a question, where there are documents."""


@dataclass
class Conversation:
    """Turns, and how the next one is written.

    Attributes:
        engine: The model.
        sampling: How answers are written.
        documents: What is searched for each question.
        turns: The conversation, the system's message first if there is one.
        found: What was found for the last question.
    """

    engine: Engine
    sampling: Sampling
    documents: Retriever | None = None
    turns: list[dict[str, Any]] = field(default_factory=list)
    found: list[Passage] = field(default_factory=list)
    _asked_again: int = 0

    @property
    def system(self) -> str:
        """What the system says; empty for nothing."""
        return str(self.turns[0]["content"]) if self.turns and self.turns[0]["role"] == "system" else ""

    @system.setter
    def system(self, text: str) -> None:
        rest = self.turns[1:] if self.system else self.turns
        self.turns = [*([{"role": "system", "content": text}] if text else []), *rest]

    def ask(self, question: str) -> Iterator[str]:
        """Yield the answer to a question as it grows; both are turns then.

        What was written of an answer that its reader closes early stays. A question that fails is no turn.

        Raises:
            RefusedError: The conversation does not fit, or the template refuses it.
            EngineDiedError: The engine has failed.
        """
        self._asked_again = 0
        return self._answer([*self.turns, {"role": "user", "content": question}])

    def retry(self) -> Iterator[str]:
        """Yield another answer to the last question, in the place of the one that it has; see `ask`.

        Raises:
            DataError: Nothing was asked.
        """
        last = next((i for i, turn in reversed(list(enumerate(self.turns))) if turn["role"] == "user"), None)
        if last is None:
            raise DataError("nothing has been asked yet")
        self._asked_again += 1
        return self._answer(self.turns[: last + 1])

    def clear(self) -> None:
        """Forget all but what the system says."""
        self.turns = self.turns[:1] if self.system else []

    def _answer(self, turns: list[dict[str, Any]]) -> Iterator[str]:
        from llmkit.retrieval import prompt
        from llmkit.serving.engine import RefusedError

        self.found = [] if self.documents is None else self.documents.search(turns[-1]["content"], PASSAGES)
        sampling = self.sampling
        if sampling.seed is not None and self._asked_again:
            sampling = replace(sampling, seed=sampling.seed + self._asked_again)
        try:
            stream = self.engine.submit(prompt(turns, self.found), sampling)
        except RefusedError as error:
            error.hint = error.hint or self._less(error.field, turns)
            raise
        said: list[str] = []
        try:
            for piece in stream:
                said.append(piece.text)
                yield piece.text
        finally:
            stream.cancel()
            if answer := "".join(said).strip():
                self.turns = [*turns, {"role": "assistant", "content": answer}]

    def _less(self, field: str, turns: list[dict[str, Any]]) -> str | None:
        """Return what makes room where a conversation does not fit."""
        ways = ["a shorter question", "a model with more positions"]
        if field == "max_tokens":
            ways = ["a smaller --max-tokens"]
        if any(turn["role"] == "assistant" for turn in turns):
            ways.insert(0, "/new, or a start without --load, leaves out what was said before")
        if self.found:
            ways.insert(0, "no --documents, whose passages stand before the question")
        return "; or ".join(ways) if field in ("prompt", "max_tokens") else None

    def save(self, path: Path) -> int:
        """Add the conversation to a file as a row; return how many rows it has.

        Raises:
            ConfigError: It is a directory.
            DataError: There is no answer yet, or the file holds something else.
            SetupError: It cannot be written.
        """
        if not any(turn["role"] == "assistant" for turn in self.turns):
            raise DataError("there is no answer to save yet")
        count = check_saving(path)
        row = dumps({"messages": self.turns}).encode() + b"\n"
        with _writing(path), path.open("ab", buffering=0) as file:
            size = file.tell()
            rest = b"\n" + row if size and _is_open(path) else row
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError:
                with suppress(OSError):
                    file.truncate(size)  # half a row would keep the others from being read
                raise
        return count + 1

    @contextmanager
    def saved_at_the_end(self, path: Path | None) -> Iterator[None]:
        """Save what was said at the end, also where a signal is the end; None for nowhere.

        Raises:
            UserError: The file is no longer what can be written; the conversation is in another one, which is named.
        """
        try:
            yield
        except Interrupted:
            self._keep(path)
            raise
        self._keep(path)

    def _keep(self, path: Path | None) -> None:
        if path is None or len(self.turns) < 2:
            return
        try:
            self.save(path)
        except UserError as error:
            error.hint = self._kept_elsewhere()
            raise

    def _kept_elsewhere(self) -> str:
        """Save the conversation where a file can be made; return where, for people."""
        for folder in (state_folder(), Path(tempfile.gettempdir())):
            place = folder / f"chat-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"
            with suppress(UserError, OSError):
                folder.mkdir(parents=True, exist_ok=True)
                self.save(place)
                return f"the conversation is in {place}; cat {place} >> FILE adds it to another file"
        sys.stderr.write(dumps({"messages": self.turns}) + "\n")
        return "the conversation is the line above"

    def load(self, path: Path) -> int:
        """Take up the last conversation of a file; return of how many.

        Raises:
            DataError: There is none.
        """
        rows = load_rows(path)
        if not rows:
            raise DataError(f"{path} holds no conversation")
        self.turns = rows[-1]
        return len(rows)


def state_folder() -> Path:
    """Return the folder of what is kept from one conversation to the next."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "llmkit"


def check_saving(path: Path) -> int:
    """Make sure that conversations can be added to a file; return how many it has. Nothing is made.

    Raises:
        ConfigError: It is a directory.
        DataError: It holds something else.
        SetupError: It cannot be written.
    """
    with _writing(path):
        if path.is_dir():
            raise ConfigError(f"{path} is a directory: conversations are saved in a file", f"{path / 'chat.jsonl'}")
        there = path.exists()
        if there and not path.is_file():
            raise ConfigError(f"{path} is no file that conversations can be saved in", "chat.jsonl")
        if not there and not path.parent.is_dir():
            raise OSError(errno.ENOENT, f"there is no directory {path.parent}")
        if not os.access(path if there else path.parent, os.W_OK if there else os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    return len(load_rows(path)) if there else 0


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # a name with a null byte is a ValueError
        words = (error.strerror if isinstance(error, OSError) else None) or error
        raise SetupError(f"{path} cannot be written: {words}", "name a file in a directory of yours") from None


def _is_open(path: Path) -> bool:
    """Tell whether the last line of a file has no end."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def load_rows(path: Path) -> list[list[dict[str, Any]]]:
    """Return the conversations in a file.

    Raises:
        DataError: It is not there, or a line of it is none.
    """
    found, kind = [], Messages()
    with reading(path, f"ls -l {path}"):
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # JSON may hold other ends of lines
    for number, line in enumerate(lines if lines != [""] else [], 1):
        try:
            found.append(kind.turns(kind.parse(json.loads(line))))
        except (ValueError, TypeError, AttributeError, RowError) as error:
            raise DataError(
                f"{path}:{number} is no conversation: {error}", 'rows are {"messages": [{"role": "user", ...}, ...]}'
            ) from None
    return found


def printable(text: str) -> str:
    """Return a text without what would steer a terminal: nothing that a model writes may move its cursor."""
    return "".join(
        one for one in text if one in "\n\t" or unicodedata.category(one) not in ("Cc", "Cf") or one == "\u200d"
    )
