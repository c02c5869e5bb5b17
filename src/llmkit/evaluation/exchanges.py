"""Questions and answers of an examples artifact, whatever kind of conversation its rows are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmkit.data.artifacts import Examples
from llmkit.data.chat import exchange


def read_exchanges(path: str) -> Iterator[tuple[str, list[dict[str, str]], str | None]]:
    """Yield each row's id, the turns before its last answer, and that; None where it does not end with an answer.

    Raises:
        ConfigError: The rows are no conversations.
    """
    from llmkit.data.corpus import examples_row

    kind = examples_row(Path(path))
    for row in Examples(path).rows(["id", *(field.name for field in kind.schema())]):
        before, answer = exchange(kind, row) or ([], None)
        yield row["id"], before, answer
