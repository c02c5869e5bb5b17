"""compare: what becomes an artifact of finished evaluations that stand side by side; it has no recipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from llmkit.core.config import Config as BaseConfig
from llmkit.core.context import Context, Result
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact
from llmkit.core.own import Origin
from llmkit.core.stage import Facts, Stage
from llmkit.data.artifacts import Differences, Scores
from llmkit.evaluation.comparison import Comparison
from llmkit.stages._compare_page import write_page


class Config(BaseConfig):
    """What decides a comparison beside the runs."""

    runs: list[str]
    """What they are called, the reference first; one that has a baseline of its own is there as both."""
    strict: bool = False
    """Leave out tasks that a run only asks otherwise, as where runs are held to the reference."""


class Compare(Stage[Config]):
    """Evaluations side by side."""

    name, version, config = "compare", 1, Config

    def keep(self, found: Comparison, context: Context, *, strict: bool, own: Sequence[Origin] = ()) -> Result:
        """Write a comparison as an artifact made from its runs.

        Args:
            found: The comparison.
            context: Where it goes.
            strict: See `Config.strict`.
            own: Classes of the user's own that computed scores.

        Raises:
            ConfigError: The output holds another comparison, and is not to be replaced.
        """
        inputs = Inputs()
        for number, column in enumerate(found.columns):
            if all(column.run is not other.run for other in found.columns[:number]):
                inputs.add_artifact(column.run.path, Scores.KIND, role="run" if number else "reference")
        for origin in own:
            inputs.add_part(origin)
        config = Config(runs=[column.name for column in found.columns], strict=strict)
        with self.build(config, inputs, context) as build:
            if build.finished:
                return Result(build.finished, up_to_date=True)
            context.announce(build)
            folder = Differences(build.dir)
            folder.write_results(found.facts())
            write_page(found, folder.report)
            return Result(build.finish(Differences.KIND, payload=Differences.PAYLOAD, metrics=_marks(found)))

    def summarize(self, artifact: Artifact) -> Facts:
        """Return how many scores of each run are better and worse, and where the report is."""
        reference = artifact.manifest.config["written"]["runs"][0]
        rows = [
            (
                run,
                f"{marks['better']:,} better, {marks['worse']:,} worse than {reference}, of {marks['scores']:,} scores",
            )
            for run, marks in artifact.manifest.metrics.items()
        ]
        return [*rows, ("report", str(Differences(artifact.path).report))]


def _marks(found: Comparison) -> dict[str, Any]:
    """Return of each run how many scores it shares with the reference, and how many differ beyond noise."""
    counts = {column.name: Counter(scores=0, better=0, worse=0) for column in found.columns[1:]}
    for _, run, one in found.differences():
        counts[run].update({"scores": 1, one.mark or "same": 1})
    return {run: {name: count[name] for name in ("scores", "better", "worse")} for run, count in counts.items()}


STAGE = Compare()
