"""What a chain is: runs in their order, each a stage with its config, and what each reads of those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from llmkit.core.config import Resolved
from llmkit.core.config import parse_key as key_path
from llmkit.core.stage import Stage

ABSENT = "(not given)"
"""Stands for what a recipe leaves to the command line."""
MODELS = ("model", "export")
Level = Literal["problem", "warning", "unknown", "ok"]


@dataclass(frozen=True)
class Finding:
    """What a check has found of a run.

    Attributes:
        level: How it is: `unknown` is what cannot be known before an earlier stage has run.
        message: A sentence.
        run: The label of the run; empty for the chain as a whole.
        field: The dotted path of the field that it is about.
        origin: Where the field's value came from: `FILE:LINE`, an option, `default`.
        hint: The next command to type.
        code: The exit code of a problem: 2 for a config, 3 for data, 4 for the machine.
        check: The name of the check.
    """

    level: Level
    message: str
    run: str = ""
    field: str = ""
    origin: str = ""
    hint: str | None = None
    code: int = 0
    check: str = ""


@dataclass
class Read:
    """A path that a run reads.

    Attributes:
        field: Dotted path of the field.
        path: The path as the recipe or an option has it; `ABSENT` for none.
        kinds: Kinds of artifacts that can stand there; empty for any.
        source: The part that reads raw files there; None where it has to be an artifact or a directory.
        maker: The run before that writes it.
        late: The run that writes it too late: itself, or one behind.
        broken: It is not there and nobody writes it, or it is something else.
    """

    field: str
    path: str
    kinds: tuple[str, ...] = ()
    source: Any = None
    maker: Run | None = None
    late: Run | None = None
    broken: bool = False

    @property
    def place(self) -> Run | Path | None:
        """The run that writes it, else the path; None where nothing is known."""
        return None if self.broken else self.maker or (None if self.path == ABSENT else Path(self.path))

    @property
    def shown(self) -> str:
        """The path for people."""
        return f"what {self.maker.label} writes" if self.path == ABSENT and self.maker else self.path


@dataclass(frozen=True)
class Given:
    """What the command line says of one run.

    Attributes:
        label: What it is called: the recipe's name.
        stage: The stage.
        recipe: Its file.
        sets: `--set` expressions.
        options: Named options.
        output: Where it is to write.
        nproc: Processes that share it.
    """

    label: str
    stage: Stage[Any]
    recipe: Path | None = None
    sets: Sequence[str] = ()
    options: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    output: Path | None = None
    nproc: int = 1


@dataclass(eq=False)
class Run:
    """A stage of the chain.

    Attributes:
        given: What the command line says of it.
        resolved: Its config and where the values came from; None where it cannot be.
        reads: What it reads.
        output: Where it writes, as said or as the others read it; None where nobody says.
        makes: The kind of artifact that it writes.
        problems: Why it has no config.
    """

    given: Given
    resolved: Resolved[Any] | None = None
    reads: list[Read] = field(default_factory=list)
    output: Path | None = None
    makes: str = ""
    problems: list[Finding] = field(default_factory=list)

    @property
    def label(self) -> str:
        """What it is called."""
        return self.given.label

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return self.given.stage.name

    @property
    def config(self) -> Any:
        """Its config."""
        assert self.resolved is not None
        return self.resolved.config

    def reading(self, name: str) -> list[Read]:
        """Return what a field reads, with the fields inside it."""
        return [read for read in self.reads if read.field == name or read.field.startswith(f"{name}.")]

    def raw(self, name: str) -> Iterator[tuple[str, Any]]:
        """Yield the sources of a field, each with its own, that can be read now: no run of the chain writes them."""
        by_source = {id(read.source): read for read in self.reads}
        for number, source in enumerate(getattr(self.config, name, ())):
            read = by_source.get(id(source))
            if hasattr(source, "row_kind") and (read is None or (isinstance(read.place, Path))):
                yield f"{name}.{number}", self.as_read(source)

    def as_read(self, source: Any) -> Any:
        """Return a source as the stage reads it, which the config says where it is another."""
        read = getattr(self.config, "as_read", None)
        return read(source) if read is not None else source

    def is_given(self, name: str) -> bool:
        """Whether a recipe or an option gives a field."""
        return self.origin(name) != "default"

    def origin(self, name: str) -> str:
        """Return where the value of a field came from."""
        return self.resolved.origin(key_path(name)) if self.resolved is not None and name else ""

    def found(self, level: Level, message: str, *, about: str = "", code: int = 0, hint: str | None = None) -> Finding:
        """Return a finding about this run."""
        origin = self.origin(about)
        return Finding(level, message, self.label, about, "" if origin == "default" else origin, hint, code)

    def problem(self, message: str, *, about: str = "", code: int = 2, hint: str | None = None) -> Finding:
        """Return a problem of this run."""
        return self.found("problem", message, about=about, code=code, hint=hint)


@dataclass
class Chain:
    """The runs in their order.

    Attributes:
        runs: The runs.
        facts: What was found out about a run or a path, so that it is done once.
    """

    runs: list[Run]
    facts: dict[Any, Any] = field(default_factory=dict)

    def before(self, run: Run) -> list[Run]:
        """Return the runs that come before one."""
        return self.runs[: self.runs.index(run)]
