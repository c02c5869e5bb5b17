"""What a stage gets beside its config, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.artifact import Build
from llmkit.core.console import Console
from llmkit.core.follow import Team
from llmkit.core.manifest import Artifact


@dataclass
class Context:
    """The run's surroundings: nothing in here changes a result.

    Attributes:
        output: Where the artifact goes.
        console: Where notices and progress go.
        force: Replace a finished artifact of another config.
        strict: Stop at the first broken record instead of quarantining it.
        max_failed: Share of unreadable rows at which the run fails; 0 for any such row.
        resume: `auto` goes on where an interrupted run of the same config stopped; `never` starts anew; anything else
            is the checkpoint to go on from.
        team: The other processes of this run, if there are any.
    """

    output: Path
    console: Console = field(default_factory=Console)
    force: bool = False
    strict: bool = False
    max_failed: float = 0.5
    resume: str = "auto"
    team: Team | None = None

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes files: the only one, or rank 0."""
        return self.team is None or self.team.rank == 0

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that `--resume PATH` names, absolute."""
        return None if self.resume in ("auto", "never") else Path(self.resume).resolve()

    def shared(self, key: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what rank 0 makes, as JSON has it; the other processes wait for it, or fail as it does."""
        if self.team is None:
            return make()
        if not self.leads:
            return self.team.hear(key)
        value = make()
        self.team.tell(key, value)
        return value

    def announce(self, build: Build) -> None:
        """Say what of an earlier run is used, moved or replaced."""
        if build.damaged:
            self.console.warn(f"{build.out} has lost {build.damaged[0]}: it is made again")
        if build.moved_aside:
            self.console.warn(
                f"the unfinished run was moved to {build.moved_aside}; llmkit tidy {build.out} lists what may go"
            )
        if build.extends:
            self.console.info(f"{build.out} is finished: going on from its last checkpoint")


@dataclass
class Result:
    """Outcome of a stage.

    Attributes:
        artifact: The finished artifact.
        up_to_date: It was already there.
        notes: Sentences for people: what stands out, what to do next.
    """

    artifact: Artifact
    up_to_date: bool = False
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the object that `--json` prints."""
        manifest = self.artifact.manifest
        return {
            "status": "up to date" if self.up_to_date else "done",
            "exit_code": 0,
            "stage": manifest.stage,
            "output": str(self.artifact.path),
            "kind": manifest.kind,
            "id": manifest.id,
            "metrics": manifest.metrics,
            "notes": [note.removeprefix("note: ") for note in self.notes],
            "duration_s": manifest.duration_s,
        }
