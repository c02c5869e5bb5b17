"""Bring the sources of a corpus into given proportions by leaving out what is too much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.cleaning.steps import Drop, GlobalStep
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.quotas import QuotaRecorder
    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine


class Mixture(GlobalStep):
    """Keep as much of each source as its weight allows: the scarcest one stays whole, the others follow.

    Proportions are of UTF-8 bytes. Nothing is repeated: to see a source more than once, weigh it when training.
    """

    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)
    """Proportion of each source; they need not add up to one. A weight of 0 leaves the source out."""
    others: float = Field(0, ge=0)
    """Weight of each source that is not named."""
    seed: int = Field(0, ge=0)
    """Seed of the choice."""

    def recorder(self) -> QuotaRecorder:
        """Return a recorder of sizes per source."""
        from llmkit.cleaning.quotas import QuotaRecorder

        return QuotaRecorder(self.seed)

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Find each source's part: its weight times what the scarcest source has per unit of weight."""
        from llmkit.cleaning.quotas import available, judge_quotas, source_key

        weights = {source_key(name): weight for name, weight in self.weights.items()}
        sizes = available(survey)
        wanted = {source: weights.get(source, self.others) for source in sizes}
        unit = min((size / wanted[source] for source, size in sizes.items() if size and wanted[source]), default=0.0)
        # The scarcest source stays whole: not one byte of it may be lost to rounding.
        quotas = {source: min(size, round(wanted[source] * unit)) for source, size in sizes.items()}
        absent = {f"no documents of {name}": 1 for name in self.weights if source_key(name) not in sizes}
        return {"sources cut": judge_quotas(survey, engine, quotas), **absent}

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:  # noqa: ARG002 - the interface
        """Drop the document: there is enough of its source."""
        return Drop("mixture", f"source {document.source}", self.weights.get(document.source, self.others))
