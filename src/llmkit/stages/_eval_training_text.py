"""The text that a model was trained on, found through its lineage: corpora and examples that are still there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.lineage import Node, trace
from llmkit.core.manifest import read_manifest
from llmkit.data.artifacts import Corpus, Examples, Tokens
from llmkit.data.split import split_of

STARTS, DATA = ("model", "init_from", "model base"), ("data", "inputs")
"""Roles of what a training goes on from, and of what it learns; tokenizers, teachers and held-out data are neither."""


@dataclass(frozen=True)
class Text:
    """An artifact that a model was trained on.

    Attributes:
        kind: corpus, examples or tokens.
        id: Its id.
        part: What tells the part that was trained on: the fractions that were held out.
        read: Yields the texts of that part.
    """

    kind: str
    id: str
    part: tuple[float, float]
    read: Callable[[], Iterator[str]]


@dataclass
class TrainingText:
    """What a model was trained on, as far as it is known.

    Attributes:
        texts: What can be read.
        unknown: What cannot, in words.
    """

    texts: list[Text] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, directory: Path | None) -> TrainingText:
        """Follow the lineage of a model."""
        found = cls()
        manifest = read_manifest(directory) if directory is not None and directory.is_dir() else None
        if directory is None or manifest is None:
            found.unknown.append("the model was made elsewhere: it has no lineage")
        else:
            found._follow(trace(directory, manifest))
        return found

    def _follow(self, node: Node) -> None:
        for item in node.inputs:
            if item.role in STARTS:
                if item.manifest is not None:
                    self._follow(item)
                else:
                    self._miss(item, "the model that it starts from was made elsewhere")
            elif item.role in DATA and item.kind == "tokens":
                self._add_tokens(item)
            elif item.role in DATA:
                self._add(item, _held_out(node))

    def _miss(self, node: Node, why: str) -> None:
        words = f"{node.path}: {node.problems[0] if node.problems else why}"
        if words not in self.unknown:
            self.unknown.append(words)

    def _add_tokens(self, node: Node) -> None:
        """Take the corpora that tokens were made of or, where one is gone, the text of the tokens themselves."""
        if node.manifest is None:
            self._miss(node, "the tokens are gone")
            return
        made = [item for item in node.inputs if item.role in DATA]
        if made and all(item.kind == Corpus.KIND and item.manifest is not None for item in made):
            for item in made:
                self._add(item, _held_out(node))
        else:
            self._keep(Text("tokens", node.id, (0.0, 0.0), lambda: _decoded(Path(node.path))))

    def _add(self, node: Node, held_out: tuple[float, float]) -> None:
        if node.manifest is None or node.kind not in (Corpus.KIND, Examples.KIND):
            self._miss(node, "raw files, which were trained on as they were")
            return
        self._keep(Text(node.kind, node.id, held_out, lambda: _trained(Path(node.path), node.kind, held_out)))

    def _keep(self, text: Text) -> None:
        if not any((one.id, one.part) == (text.id, text.part) for one in self.texts):
            self.texts.append(text)


def _held_out(node: Node) -> tuple[float, float]:
    """Return the shares of documents that were kept for validation and test."""
    written: dict[str, Any] = node.manifest.config["written"] if node.manifest is not None else {}
    if written.get("validation_data"):
        return 0.0, 0.0
    return written.get("validation_fraction") or 0.0, written.get("test_fraction") or 0.0


def _trained(directory: Path, kind: str, held_out: tuple[float, float]) -> Iterator[str]:
    from llmkit.data.corpus import examples_row
    from llmkit.data.rows import Row

    row = examples_row(directory) if kind == Examples.KIND else None
    own = row is not None and type(row).split_text is not Row.split_text
    validation, test = held_out
    for each in Corpus(directory).rows(None if own else ["text"]):
        text = row.split_text(each) if row is not None and own else each["text"]
        if not (validation or test) or split_of(text, validation_fraction=validation, test_fraction=test) == "train":
            yield each["text"]


def _decoded(directory: Path) -> Iterator[str]:
    from llmkit.data.token_reader import TokenSplit
    from llmkit.modeling.tokenizer import load_tokenizer

    split, tokenizer = TokenSplit(Tokens(directory).path, "train"), load_tokenizer(directory)
    for number in range(split.num_documents):
        yield tokenizer.decode(split.document(number), clean_up_tokenization_spaces=False)
