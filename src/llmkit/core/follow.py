"""A build that several processes share: rank 0 makes it, the others learn where it is and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

from llmkit.core.artifact import Build
from llmkit.core.errors import DataError
from llmkit.core.manifest import PARTIAL, Artifact, read_manifest
from llmkit.core.move import RUN


class Team(Protocol):
    """The processes of one run, as a build needs them."""

    rank: int

    def tell(self, key: str, value: dict[str, Any]) -> None:
        """Say something to the others; rank 0 does."""

    def hear(self, key: str) -> dict[str, Any]:
        """Wait for what rank 0 tells; raises if it fails instead."""


class LeadingBuild(Build):
    """The build as rank 0 makes it."""

    team: Team

    def __enter__(self) -> Self:
        super().__enter__()
        self.team.tell("build", {"finished": self.finished is not None, "resumed": self.resumed})
        return self

    def finish(self, *arguments: Any, **named: Any) -> Artifact:
        """Turn `.partial/` into the artifact and tell the others."""
        artifact = super().finish(*arguments, **named)
        self.team.tell("artifact", {"id": artifact.id})
        return artifact


class FollowingBuild(Build):
    """The same build as another process sees it: it locks, writes and moves nothing."""

    team: Team

    def __enter__(self) -> Self:
        told = self.team.hear("build")
        self.resumed = told["resumed"]
        if told["finished"]:
            self.finished = self._read()
        elif not (self.dir / RUN).exists():
            raise self._blind(self.out / PARTIAL)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self, *_: Any, **__: Any) -> Artifact:
        """Wait until rank 0 has finished, and return what it made."""
        self.team.hear("artifact")
        return self._read()

    def _read(self) -> Artifact:
        manifest = read_manifest(self.out)
        if manifest is None:
            raise self._blind(self.out)
        return Artifact(self.out, manifest)

    def _blind(self, path: Path) -> DataError:
        return DataError(
            f"rank {self.team.rank} cannot see {path}, where rank 0 writes",
            hint="choose an --output on a file system that all machines share",
        )
