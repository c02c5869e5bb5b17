"""Remove lines or paragraphs that stand in other documents, or earlier in the same one, too."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from llmkit.cleaning.steps import Drop, GlobalStep, Recorder
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from llmkit.cleaning.features import Spans
    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine


class DuplicateLines(GlobalStep):
    """Keep one copy of each line or paragraph in the whole corpus: boilerplate goes, the text around it stays.

    The copy in the document with the smallest id stays. Labelled rows are left alone.
    """

    edits: ClassVar[bool] = True

    unit: Literal["line", "paragraph"] = "paragraph"
    """What is compared: lines, or paragraphs (blank lines between them)."""
    min_chars: int = Field(40, ge=1)
    """Shorter lines or paragraphs are never removed: `Yes.` and `}` are no boilerplate."""
    max_removed: float | None = Field(0.8, ge=0, le=1)
    """Drop a document of which more than this share of characters went; null to keep what is left."""

    def recorder(self) -> Recorder:
        """Return a recorder of line hashes."""
        import numpy as np

        from llmkit.cleaning.duplicates import KeyRecorder, rank_of

        step = self

        class Keys(KeyRecorder):
            def add(self, row: int, document: Document) -> None:
                if document.row is not None:
                    return
                spans = step._spans(document)
                rank = rank_of(document.id)
                for position in np.flatnonzero(spans.lengths >= step.min_chars).tolist():
                    # The length widens the key: two lines must share 64 bits of hash and their length to collide.
                    key = spans.hashes[position].byteswap().tobytes() + int(spans.lengths[position]).to_bytes(8, "big")
                    self.add_key(key, rank, row, position)

        return Keys()

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Judge bucket by bucket; count the lines or paragraphs that occur more than once."""
        from llmkit.cleaning.duplicates import judge_equal

        groups = sum(found for found, _ in survey.map_buckets(engine, judge_equal, False))
        survey.judge(engine)
        return {f"{self.unit}s with copies": groups}

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:
        """Cut the copies out; drop the document if too little is left."""
        text, spans = document.text, self._spans(document)
        positions = [verdict.position for verdict in verdicts]
        removed = int(spans.lengths[positions].sum())
        left = _leave_out(text, spans, positions)
        document.count(f"{self.unit}s removed", len(verdicts))
        if self.max_removed is not None and removed > self.max_removed * len(text):
            return Drop("duplicate_lines.max_removed", removed / len(text), self.max_removed)
        if not left.strip():
            return Drop("duplicate_lines.nothing_left", removed, 0)
        document.text = left
        return None

    def _spans(self, document: Document) -> Spans:
        from llmkit.cleaning.features import features

        return features(document).lines if self.unit == "line" else features(document).paragraphs


def _leave_out(text: str, spans: Spans, positions: list[int]) -> str:
    """Return the text without some of its spans; empty if none is left.

    Of the gaps around what goes, the one with the most line feeds stays, so that paragraphs stay apart, and what
    follows keeps its indentation.
    """
    starts, ends = spans.starts.tolist(), spans.ends.tolist()
    gone = set(positions)
    kept = [k for k in range(len(starts)) if k not in gone]
    if not kept:
        return ""
    parts = [text[: starts[0]] if kept[0] == 0 else _indentation(text[ends[kept[0] - 1] : starts[kept[0]]])]
    for before, after in pairwise(kept):
        gaps = [text[ends[k] : starts[k + 1]] for k in range(before, after)]
        widest = max(gaps, key=lambda gap: gap.count("\n"))
        parts += [text[starts[before] : ends[before]], widest[: widest.rfind("\n") + 1], _indentation(gaps[-1])]
    last = kept[-1]
    return "".join(parts) + text[starts[last] : None if last + 1 == len(starts) else ends[last]]


def _indentation(gap: str) -> str:
    return gap[gap.rfind("\n") + 1 :]
