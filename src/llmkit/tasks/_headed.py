"""What tasks for models with a head share: labelled rows, what is too long for the model, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llmkit.core.errors import DataError
from llmkit.evaluation.exchanges import Skipped
from llmkit.evaluation.reading import Unreadable, read_labelled, shown
from llmkit.runtimes import Request, Running
from llmkit.tasks import DataTask, Measurement

if TYPE_CHECKING:
    from llmkit.data.rows import Row
    from llmkit.evaluation.reading import Item

EMPTY = "have a text that no token stands for"
LONG = "are longer than what the model reads"
TOP_CLASSES = 20
"""Classes that a figure shows, the most frequent: more do not fit on a screen."""


class HeadTask(DataTask):
    """A measurement of models with a head over texts, on labelled rows.

    Attributes:
        kinds: The kinds of rows that it takes.
    """

    kinds: ClassVar[tuple[str, ...]]

    columns: dict[str, str] = {}
    """Column of the data that holds a field of the row, where its name is another: `{text: review, label: stars}`."""
    overlength: Literal["skip", "truncate"] = "skip"
    """What becomes of a text that is longer than what the model reads: it is left out, or read without its end. Both
    are counted."""

    def read(self, unreadable: Unreadable) -> tuple[Row, list[Item]]:
        """Return what kind of rows the data hold, and the rows.

        Raises:
            ConfigError: They hold no rows of `kinds`.
            DataError: There are none that can be read.
        """
        kind, rows = read_labelled(self.data, self.kinds, self.columns, unreadable)
        return kind, list(islice(rows, self.limit))


class Headed(Measurement):
    """A task on one model: leaves out, or counts, what the model does not read whole."""

    def __init__(self, task: HeadTask, model: Running) -> None:
        super().__init__(model)
        self.skipped, self.unreadable, self.truncated = Skipped(), Unreadable(), 0
        self.skip_long, self.data = task.overlength == "skip", task.data

    def reads(self, requests: Sequence[Request]) -> bool:
        """Tell whether a row can be asked about; one that cannot is counted."""
        if not all(map(self.model.tokens, requests)):
            self.skipped.add(EMPTY)
            return False
        cut = any(map(self.model.cuts, requests))
        if cut and self.skip_long:
            self.skipped.add(LONG)
            return False
        self.truncated += cut
        return True

    def asked(self, rows: Iterator[Any]) -> Iterator[Any]:
        """Yield the rows that can be asked about.

        Raises:
            DataError: There are none.
        """
        is_empty = True
        for row in rows:
            if self.reads(self.requests(row)):
                is_empty = False
                yield row
        if is_empty:
            raise DataError(
                f"tasks.data: {shown(self.data)} has no row to ask about: {'; '.join(self.notes()) or 'it is empty'}",
                "overlength: truncate reads the beginnings" if LONG in self.skipped.reasons else None,
            )

    def cut(self, requests: Sequence[Request]) -> dict[str, bool]:
        """Return what a sample says of being read without its end; nothing where it is read whole."""
        return {"truncated": True} if any(map(self.model.cuts, requests)) else {}

    def notes(self) -> list[str]:
        """Say what is left out, and what is read in part."""
        cut = [f"{self.truncated:,} are read without their ends: they {LONG}"] if self.truncated else []
        return [*self.skipped.notes(), *cut, *self.unreadable.notes()]


def key_of_text(text: str) -> str:
    """Return a short name that equal texts share, for `cluster`."""
    return blake2b(text.encode(), digest_size=8).hexdigest()


def short(numbers: Iterable[Any]) -> list[float]:
    """Return float32 numbers with as few digits as give them back."""
    return [float(str(number)) for number in numbers]
