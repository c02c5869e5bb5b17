"""Source "python_docs": the documentation every Python carries, about 2 MB of English text that needs no network.

It is the reference behind `help("for")` (`pydoc_data.topics`), the docstrings of the standard library, and IDLE's help
page where it is installed. As pairs it is a question-answering set: "What does textwrap.fill do?".
"""

from __future__ import annotations

import ast
import hashlib
import html
import inspect
import os
import re
import sysconfig
import unicodedata
import warnings
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from llmkit.core.errors import DataError
from llmkit.data.chat import CONVERSATION, conversation
from llmkit.data.rows import Row
from llmkit.data.sources import Broken, RawFile, Record, Source

TOPICS = "pydoc_data/topics.py"
HTML = "idlelib/help.html"

# Third-party packages, and tests: their docstrings describe nothing. Bundled wheels are not Python files anyway.
_SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}

_SIGNATURE = re.compile(r"([\w, ]+ = )?[\w.]+\(.*\)(\s*->.*)?[.:]?")
_NOT_PROSE = re.compile(r">>>|\.\.|[^\w\"'`(\[]|[A-Z]\.\w+\(|\w+\s*[:=]\s|[\w.]+\(.*\)\s*(->|--|=)")
"""Doctests, directives, lists, rules, and definitions of parameters."""


class PythonDocs(Source):
    """Read the documentation of the Python that runs, as text or as question-answer pairs with a held-out side.

    A pair is held out if the hash of its normalized answer says so, hence the same answer under two names is on one
    side. A docstring, topic or page that contains a held-out answer is left out of the text and of the training pairs.

    Files are parsed, never imported. Each process that reads parses all of them once, which takes about 3 seconds.
    """

    form: Literal["text", "pairs"] = "text"
    """Documents to train on, or labelled rows of one question and one answer."""

    split: Literal["train", "heldout"] = "train"
    """Which side of the pairs; the text is always the training side."""

    heldout_fraction: float = Field(default=0.05, ge=0, le=0.5)
    """Fraction of the distinct answers that is held out."""

    min_answer_chars: int = Field(default=40, ge=20)
    """Shortest answer of a pair, in characters. A very short one would be contained in most documents."""

    max_answer_chars: int = Field(default=400, ge=20)
    """Longest answer of a pair, in characters."""

    include: list[Literal["topics", "docstrings", "html"]] = Field(
        default=["topics", "docstrings", "html"], min_length=1
    )
    """Which documents; pairs are made of docstrings only."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.form == "text" and self.split == "heldout":
            raise ValueError("form 'text' has no held-out split; use form: pairs")
        if self.form == "pairs" and "docstrings" not in self.include:
            raise ValueError("form 'pairs' needs 'docstrings' in include")
        if self.min_answer_chars > self.max_answer_chars:
            raise ValueError("min_answer_chars is greater than max_answer_chars")
        return self

    def row_kind(self) -> Row | None:
        """Return conversations for pairs, nothing for text."""
        return None if self.form == "text" else CONVERSATION

    def root(self) -> str:
        """Return the directory of the standard library."""
        return _stdlib()

    def files(self) -> list[RawFile]:
        """List the modules by their paths in the standard library (`textwrap.py`), and the topics and the help page.

        Raises:
            DataError: The standard library has no source files here.
        """
        root = _stdlib()
        found = [
            RawFile(str(Path(root, name)), name, Path(root, name).stat().st_size)
            for name in _names(root)
            if self._includes(name)
        ]
        if not found:
            raise DataError(
                f"no documentation ({', '.join(self.include)}) in {root}",
                hint="use a Python whose standard library is installed as files, or more of `include`",
            )
        return found

    def read(self, file: RawFile) -> Iterator[Record | Broken]:
        """Yield the documents or pairs of one file; rows are numbered by the file's docstrings or topics."""
        root = str(Path(file.path).parents[file.name.count("/")])
        documents = _documents(root, file.name)
        if isinstance(documents, Broken):
            yield documents
            return
        heldout = self._heldout(root)
        for row, document in enumerate(documents):
            if self.form == "text":
                if (file.name, row) not in heldout.containing:
                    meta = {"name": document.name} | ({"format": "html"} if document.kind == "html" else {})
                    yield Record(row, document.text, "python_docs", meta=meta, language="en")
            elif self._accepts(document) and (
                normalize(document.answer) in heldout.answers
                if self.split == "heldout"
                else (file.name, row) not in heldout.containing
            ):
                yield _pair(row, document)

    def left_out(self) -> int:
        """Count the documents (or pairs) that are held out at the source: what `read` passes over on the train side."""
        if self.split == "heldout":
            return 0
        root = _stdlib()
        count = 0
        for name, row in self._heldout(root).containing:
            documents = _documents(root, name)
            assert not isinstance(documents, Broken)
            wanted = self.form == "text" or self._accepts(documents[row])
            count += self._includes(name) and wanted
        return count

    def _includes(self, name: str) -> bool:
        group = {TOPICS: "topics", HTML: "html"}.get(name, "docstrings")
        return group in self.include and (self.form == "text" or group == "docstrings")

    def _accepts(self, document: _Document) -> bool:
        return self.min_answer_chars <= len(document.answer) <= self.max_answer_chars

    def _heldout(self, root: str) -> _Heldout:
        return _find_heldout(root, self.heldout_fraction, self.min_answer_chars, self.max_answer_chars)


@dataclass(frozen=True, slots=True)
class _Document:
    """One docstring, topic or page.

    Attributes:
        kind: "module", "class", "function", "topic" or "html".
        name: Dotted name.
        text: Docstring with its indentation removed; for "html" the page as it is.
        answer: First paragraph in one line, if it explains something public; else empty.
    """

    kind: str
    name: str
    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class _Heldout:
    """Normalized held-out answers, and the (file name, row) of every document that contains one."""

    answers: frozenset[str]
    containing: frozenset[tuple[str, int]]


def normalize(text: str) -> str:
    """Return the text in NFKC, case-folded, with single spaces: what counts as the same answer."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _stdlib() -> str:
    return sysconfig.get_paths()["stdlib"]


@cache
def _names(root: str) -> tuple[str, ...]:
    """Return the relative paths of all files that are read, sorted."""
    names = [name for name in (HTML,) if Path(root, name).is_file()]
    for folder, folders, files in os.walk(root):
        # `config-3.11-x86_64-linux-gnu` and other folders that cannot be imported are part of the build.
        folders[:] = [name for name in folders if name.isidentifier() and name not in _SKIPPED]
        parts = Path(folder).relative_to(root)
        names += [(parts / file).as_posix() for file in files if re.fullmatch(r"[^\W\d]\w*\.py", file)]
    return tuple(sorted(names))


@cache
def _documents(root: str, name: str) -> tuple[_Document, ...] | Broken:
    """Parse one file; kept for the process, since the search for held-out answers needs all files before the first."""
    data = Path(root, name).read_bytes()
    if name == HTML:
        return (_Document("html", "idlelib.help", data.decode("utf-8", "replace")),)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in old modules
            tree = ast.parse(data)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        return Broken(0, f"not valid Python: {error}", line)
    if name == TOPICS:
        return tuple(_topics(tree))
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return tuple(_docstrings(tree, module))


def _topics(tree: ast.Module) -> Iterator[_Document]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for topic, text in sorted(ast.literal_eval(node.value).items()):
                yield _Document("topic", f"topics.{topic}", inspect.cleandoc(text))


def _docstrings(node: ast.AST, name: str, *, public: bool = True) -> Iterator[_Document]:
    """Yield the docstrings of a definition and of all inside it; what a function defines inside is not public."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        kind = {"Module": "module", "ClassDef": "class"}.get(type(node).__name__, "function")
        public = public and not name.rpartition(".")[2].startswith("_")
        if text := (ast.get_docstring(node) or "").encode(errors="replace").decode():  # an escape may be a surrogate
            yield _Document(kind, name, text, _answer(text) if public and kind != "module" else "")
        public = public and kind != "function"
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            continue
        inner = (
            f"{name}.{child.name}" if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else name
        )
        yield from _docstrings(child, inner, public=public)


def _answer(text: str) -> str:
    """Return the first paragraph in one line, without the signatures before it; nothing if it is no prose."""
    lines = [line.strip() for line in text.strip().split("\n")]
    while lines and (not lines[0] or _SIGNATURE.fullmatch(lines[0])):
        lines.pop(0)
    paragraph = lines[: lines.index("")] if "" in lines else lines
    if any(_NOT_PROSE.match(line) for line in paragraph) or not paragraph:
        return ""
    answer = " ".join(" ".join(paragraph).split())
    return "" if answer.endswith(":") else answer


def _pair(row: int, document: _Document) -> Record:
    name, answer = document.name, document.answer
    question = f"What is {name}?" if document.kind == "class" else f"What does {name} do?"
    fields = conversation(question, answer)
    return Record(row, CONVERSATION.key_text(fields), "python_docs", fields, meta={"name": name}, language="en")


@cache
def _find_heldout(root: str, fraction: float, min_chars: int, max_chars: int) -> _Heldout:
    """Choose the held-out answers and find every document that contains one."""
    if not fraction:
        return _Heldout(frozenset(), frozenset())
    places: list[tuple[str, int]] = []
    contents: list[str] = []
    answers: set[str] = set()
    for name in _names(root):
        documents = _documents(root, name)
        for row, document in enumerate(() if isinstance(documents, Broken) else documents):
            text = document.text
            if document.kind == "html":  # what a cleaning step will make of it
                text = html.unescape(re.sub(r"<[^>]*>", "", text))
            places.append((name, row))
            contents.append(normalize(text))
            if min_chars <= len(document.answer) <= max_chars and _share(document.answer) < fraction:
                answers.add(normalize(document.answer))
    # One search over everything per answer: a newline never occurs in normalized text, so no match crosses a border.
    everything = "\n".join(contents)
    starts = [0]
    for content in contents:
        starts.append(starts[-1] + len(content) + 1)
    containing = set()
    for answer in answers:
        at = everything.find(answer)
        while at >= 0:
            index = bisect_right(starts, at) - 1
            containing.add(places[index])
            at = everything.find(answer, starts[index + 1])
    return _Heldout(frozenset(answers), frozenset(containing))


def _share(answer: str) -> float:
    """Map an answer to [0, 1), equally for all that normalize to the same."""
    digest = hashlib.blake2b(normalize(answer).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
