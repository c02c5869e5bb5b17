"""Text that a model was not trained on, for comparing it with its export: the user's, or found through its lineage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from llmkit.core.errors import DataError
from llmkit.core.lineage import Node, trace
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus, Examples, Tokens
from llmkit.data.sources import Source
from llmkit.data.split import split_of

CHARACTERS = 2000
"""Of a text, at most: more than what rows take of it."""
LEAST = 40
"""Characters of a text that is taken, if there are such."""
ROWS = 200_000
"""Rows that are looked through for some that were held out."""
STARTS, DATA, HELD = ("model", "init_from", "model base"), ("data", "inputs"), "validation_data"


@dataclass(frozen=True)
class HeldOut:
    """Texts, and where they are from.

    Attributes:
        texts: The texts; none where nothing is known of any.
        source: In words, without a path.
    """

    texts: tuple[str, ...]
    source: str


def held_out(directory: Path, most: int) -> HeldOut:
    """Follow the lineage of a model to the nearest data of which something was held out.

    Args:
        directory: The model's.
        most: How many texts.
    """
    try:
        manifest = read_manifest(directory) if directory.is_dir() else None
        if manifest is not None:
            for node in _trainings(trace(directory, manifest)):
                for item in node.inputs:
                    if texts := _taken(_texts(node, item), most):
                        return HeldOut(tuple(texts), f"text held out from training ({item.kind} {item.id[:12]})")
    except DataError:  # an artifact of long ago is damaged, which says nothing about the export
        pass
    return HeldOut((), "texts that come with llmkit")


def given_text(source: Source, most: int) -> HeldOut:
    """Return texts of the user's.

    Raises:
        DataError: There are none.
    """
    from llmkit.evaluation.reading import Unreadable, read_texts, shown

    texts = _taken((item.fields["text"] for item in read_texts(source, Unreadable())), most)
    if not texts:
        raise DataError(f"text: {shown(source)} has none")
    return HeldOut(tuple(texts), "text that was given")


def _taken(texts: Iterator[str], most: int) -> list[str]:
    """Return some of the first texts, those that are long enough before others."""
    found = [text for text in islice(texts, 50 * most) if text.strip()]
    return [text[:CHARACTERS] for text in sorted(found, key=lambda text: len(text) < LEAST)[:most]]


def _trainings(node: Node) -> Iterator[Node]:
    """Yield a model and those that it goes on from."""
    yield node
    for item in node.inputs:
        if item.role in STARTS and item.manifest is not None:
            yield from _trainings(item)


def _texts(training: Node, item: Node) -> Iterator[str]:
    """Yield the texts of an input of a training that it was not trained on."""
    if item.manifest is None or training.manifest is None or item.role not in (*DATA, HELD):
        return
    written: dict[str, Any] = training.manifest.config["written"]
    if item.kind == Tokens.KIND:
        yield from _decoded(Path(item.path))
    elif item.kind in (Corpus.KIND, Examples.KIND):
        if item.role == HELD:
            yield from (row["text"] for row in Corpus(item.path).rows(["text"]))
        elif not written.get("validation_data"):
            shares = written.get("validation_fraction") or 0.0, written.get("test_fraction") or 0.0
            yield from _split(Path(item.path), item.kind, *shares)


def _split(directory: Path, kind: str, validation: float, test: float) -> Iterator[str]:
    from llmkit.data.corpus import examples_row

    row = examples_row(directory) if kind == Examples.KIND else None
    for each in islice(Corpus(directory).rows(), ROWS) if validation else ():
        text = each["text"] if row is None else row.split_text(each)
        if split_of(text, validation_fraction=validation, test_fraction=test) == "validation":
            yield each["text"]


def _decoded(directory: Path) -> Iterator[str]:
    from llmkit.data.token_reader import TokenSplit
    from llmkit.modeling.tokenizer import load_tokenizer

    if not Tokens(directory).has("validation"):
        return
    split, tokenizer = TokenSplit(directory, "validation"), load_tokenizer(directory)
    for number in range(split.num_documents):
        yield tokenizer.decode(split.document(number)[:CHARACTERS], clean_up_tokenization_spaces=False)
