"""What a stage gets beside its config, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.core.artifact import Build
from llmkit.core.config import Config
from llmkit.core.console import Console
from llmkit.core.errors import DataError
from llmkit.core.fingerprint import Fingerprint
from llmkit.core.follow import FollowingBuild, LeadingBuild, Team
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import PARTIAL, Artifact
from llmkit.core.move import UNLISTED


@dataclass
class Context:
    """The run's surroundings: nothing in here changes a result.

    Attributes:
        output: Where the artifact goes.
        console: Where notices and progress go.
        force: Replace a finished artifact of another config.
        strict: Stop at the first broken record instead of quarantining it.
        resume: `auto` goes on where an interrupted run of the same config stopped; `never` starts anew; anything else
            is the checkpoint to go on from.
        team: The other processes of this run, if there are any.
    """

    output: Path
    console: Console = field(default_factory=Console)
    force: bool = False
    strict: bool = False
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

    def add_checkpoint(self, inputs: Inputs) -> None:
        """Add the checkpoint that `--resume PATH` names to what the run reads, unless it is the run's own.

        Raises:
            DataError: It is no checkpoint.
        """
        path = self.checkpoint
        if path is not None and not (path / "state.json").is_file():
            inside = [*path.glob("step-*"), *path.glob("checkpoints/step-*")]
            hint = f"--resume {max(inside)}" if inside else "checkpoints are in OUT/checkpoints, one per step"
            raise DataError(f"--resume {self.resume} is not a whole checkpoint", hint)
        out = self.output.resolve()
        if path is not None and path.parent not in (out / UNLISTED, out / PARTIAL / UNLISTED):
            inputs.add_directory(path, (), role="resume")  # what was moved aside is another run's

    def build(self, stage: str, version: int, config: Config, inputs: Inputs, *, resumable: bool = False) -> Build:
        """Return the build of this run's artifact, to be entered with `with`.

        Of several processes rank 0 makes it; in the others entering it waits for rank 0 and so does `finish`.
        """
        fingerprint = Fingerprint(stage, version, config, inputs)
        kind = Build if self.team is None else LeadingBuild if self.leads else FollowingBuild
        build = kind(
            self.output,
            fingerprint,
            config=config,
            inputs=inputs,
            force=self.force,
            resumable=resumable,
            fresh=self.resume == "never",
        )
        if isinstance(build, LeadingBuild | FollowingBuild) and self.team is not None:
            build.team = self.team
        return build

    def announce(self, build: Build) -> None:
        """Say what of an earlier run is used, moved or replaced."""
        if build.damaged:
            self.console.warn(f"{build.out} has lost {build.damaged[0]}: it is made again")
        if build.moved_aside:
            self.console.warn(f"the unfinished run was moved to {build.moved_aside}")
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
            "duration_s": manifest.duration_s,
        }
