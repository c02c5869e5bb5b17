"""`llmkit search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from llmkit.cli import options as o

if TYPE_CHECKING:
    from llmkit.core.console import Console
    from llmkit.retrieval import Passage


def search(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="An index.")],
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="What is looked for; by default what comes on stdin.")
    ] = None,
    count: Annotated[int, typer.Option("--count", "-k", min=1, help="Passages to show.")] = 5,
    by: Annotated[
        Literal["auto", "words", "vectors", "both"],
        typer.Option("--by", help="What passages are found by; auto is both, where the index has vectors."),
    ] = "auto",
    model: Annotated[
        str | None, typer.Option("--model", metavar="DIR", help="The model of the vectors, if it has moved.")
    ] = None,
    json: o.Json = False,
) -> None:
    """Find the passages of an index that go with a question."""
    from dataclasses import asdict

    from llmkit.core.console import Console
    from llmkit.core.errors import ConfigError
    from llmkit.core.given import check_given, read_stdin
    from llmkit.retrieval import Retriever

    if question is None and not sys.stdin.isatty():
        question = read_stdin()
    if question is None or not question.strip():
        raise ConfigError("QUESTION: there is nothing to look for", f'llmkit search {directory} "..."')
    check_given(question, "QUESTION")
    found = Retriever.open(directory, model=model).search(question, count, by=by)
    console = Console(json_mode=json)
    if json:
        passages = [asdict(passage) for passage in found]
        console.print_json({"status": "done", "exit_code": 0, "question": question.strip(), "passages": passages})
        return
    if not found:
        console.info("nothing found: no passage has a word of the question")
    for number, passage in enumerate(found, 1):
        _show(number, passage, console)


def _show(number: int, passage: Passage, console: Console) -> None:
    """Print a passage with where it is from and what it was found by."""
    place = passage.source if passage.row is None else f"{passage.file}, row {passage.row + 1:,}"
    where = f"{place}, characters {passage.start:,} to {passage.end:,}" if passage.kind == "document" else place
    ranks = ", ".join(f"{way} {rank}" for way, rank in passage.ranks.items())
    console.print(f"[{number}] {where} ({ranks})")
    console.print("\n".join(f"    {line}" for line in passage.text.splitlines()))
