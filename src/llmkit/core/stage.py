"""What a stage of the lifecycle is: its config, what it checks before it runs, and what it can say without running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from llmkit.core.artifact import Build
from llmkit.core.config import Config, Resolved, resolve
from llmkit.core.console import Console
from llmkit.core.context import Context, Result
from llmkit.core.errors import ConfigError
from llmkit.core.extension import Passed
from llmkit.core.fingerprint import Fingerprint
from llmkit.core.follow import FollowingBuild, LeadingBuild
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.move import Kept
from llmkit.core.part import origins

C = TypeVar("C", bound=Config)
Facts = list[tuple[str, str]]
"""Label and value pairs for people; an empty label goes on with the one above."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take, before it is started.

    Attributes:
        facts: For people.
        values: The same and more for `--json`.
        warnings: Sentences about what the figures leave out, or what will not fit.
    """

    facts: Facts
    values: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class Stage(Generic[C]):
    """One stage; a module of `llmkit.stages` defines a subclass and, as `STAGE`, its one instance.

    Attributes:
        name: The command's name.
        version: Behaviour version; raised when the same config would give another result.
        config: What a recipe fills.
        resumable: An interrupted run is gone on with; if not, it starts anew.
        kept: What a finished run keeps, so that one with a larger budget can extend it.
        stand_ins: Values of required fields for a `plan` that is given none.
    """

    name: str
    version: int
    config: type[C]
    resumable = False
    kept = Kept()
    stand_ins: Mapping[str, Any] = {}

    def resolve(
        self,
        *,
        recipe: Path | None = None,
        sets: Sequence[str] = (),
        options: Mapping[str, tuple[str, Any]] | None = None,
        absent: Mapping[str, Any] | None = None,
    ) -> Resolved[C]:
        """Build the stage's config; see `llmkit.core.config.resolve`.

        Raises:
            ConfigError: Every problem found, with the command that lists the valid fields.
        """
        hint = f"llmkit schema {self.name} --fields"
        return resolve(self.config, recipe=recipe, sets=sets, options=options, absent=absent, hint=hint)

    def run(self, config: C, context: Context) -> Result:
        """Check the config, as `--dry-run` does, and make the artifact, or find it made already."""
        self.check(config)
        return self.make(config, context)

    def check(self, config: C) -> None:
        """Find out what the schema cannot know, without reading the inputs; raises what `run` would."""

    def make(self, config: C, context: Context) -> Result:
        """Make the artifact of a config that was checked."""
        raise NotImplementedError

    def build(self, config: C, inputs: Inputs, context: Context) -> Build:
        """Return the build of a run's artifact, to be entered with `with`.

        Of several processes rank 0 makes it; in the others entering it waits for rank 0 and so does `finish`.
        """
        for origin in {origin.text: origin for origin in origins(config)}.values():
            inputs.add_part(origin)
        kind = Build if context.team is None else LeadingBuild if context.leads else FollowingBuild
        build = kind(
            context.output,
            Fingerprint(self.name, self.version, config, inputs),
            config=config,
            inputs=inputs,
            force=context.force,
            resumable=self.resumable,
            kept=self.kept,
            fresh=context.resume == "never",
            passed=self.passed(config, context),
            say=context.console.info,
        )
        if isinstance(build, LeadingBuild | FollowingBuild) and context.team is not None:
            build.team = context.team
        return build

    def passed(self, config: C, context: Context) -> Passed | None:  # noqa: ARG002 - for those that measure
        """Return what says which limit of the config lies behind kept work; None where no limit may be lowered."""
        return None

    def summarize(self, artifact: Artifact) -> Facts:
        """Return what an artifact of this stage is, for people."""
        raise NotImplementedError

    def preview(self, config: C, count: int, console: Console) -> None:  # noqa: ARG002 - for those that have one
        """Show what the stage does to `count` random rows; write nothing.

        Raises:
            ConfigError: The stage has no preview.
        """
        raise ConfigError(f"{self.name} has no preview", hint=f"llmkit {self.name} ... --dry-run shows its config")

    def plan(self, config: C, num_processes: int) -> Estimate:  # noqa: ARG002 - for those that have one
        """Work out what a run takes.

        Args:
            config: The run's, checked.
            num_processes: Processes that share the work, where the stage is run as several.

        Raises:
            ConfigError: The stage has no plan.
        """
        raise ConfigError(f"{self.name} has no plan", hint=f"llmkit {self.name} ... --dry-run shows its config")
