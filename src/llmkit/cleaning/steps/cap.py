"""Limit how much of the corpus one source may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from llmkit.cleaning.steps import Drop, GlobalStep
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.quotas import QuotaRecorder
    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine


class Cap(GlobalStep):
    """Keep a random part of each source that is larger than its limit; the same part whatever the order of inputs."""

    limit: int = Field(ge=1)
    """Most that one source may have."""
    per_source: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Other limits, by the name of the source; 0 leaves it out."""
    unit: Literal["bytes", "documents"] = "bytes"
    """What the limits count: UTF-8 bytes of text, or documents."""
    seed: int = Field(0, ge=0)
    """Seed of the choice."""

    def recorder(self) -> QuotaRecorder:
        """Return a recorder of sizes per source."""
        from llmkit.cleaning.quotas import QuotaRecorder

        return QuotaRecorder(self.seed, count_documents=self.unit == "documents")

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Find each source's part; count the sources that are cut."""
        from llmkit.cleaning.quotas import available, judge_quotas, source_key

        own = {source_key(name): limit for name, limit in self.per_source.items()}
        quotas = {source: own.get(source, self.limit) for source in available(survey)}
        absent = {f"no documents of {name}": 1 for name in self.per_source if source_key(name) not in quotas}
        return {"sources cut": judge_quotas(survey, engine, quotas), **absent}

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:  # noqa: ARG002 - the interface
        """Drop the document: it is beyond its source's limit."""
        return Drop("cap", f"source {document.source}", self.per_source.get(document.source, self.limit))
