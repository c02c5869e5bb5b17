"""Drop near-duplicates, found by MinHash-LSH and verified, across files and inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from llmkit.cleaning.steps import Drop, GlobalStep, Recorder
from llmkit.data.corpus import Document

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.cleaning.survey import Survey, Verdict
    from llmkit.work.engine import Engine


class NearDuplicates(GlobalStep):
    """Drop all but the smallest id of each group of documents whose sets of n-grams are similar.

    n-grams are of words, and of characters in scripts without spaces. Candidates share a band of their MinHash
    signatures; a pair counts if the signatures agree in a share of at least `similarity` of their values, which
    estimates the Jaccard similarity J with a standard error of sqrt(J(1 - J) / (bands * rows)), 0.05 at most.
    """

    ngram: int = Field(5, ge=1)
    """Words per n-gram (characters in Chinese, Japanese, Thai ...)."""
    bands: int = Field(14, ge=1)
    """Bands of the signature; more of them find less similar documents."""
    rows: int = Field(8, ge=1)
    """Values per band; more of them ask for more similar documents."""
    similarity: float = Field(0.7, ge=0, le=1)
    """Smallest estimated Jaccard similarity of a pair."""
    min_words: int = Field(20, ge=1)
    """Shorter documents are duplicates only if all their words are the same; ones without words are never."""
    seed: int = Field(0, ge=0)
    """Seed of the signatures' permutations."""

    def recorder(self) -> Recorder:
        """Return a recorder of signatures and bands."""
        return _Signatures(self)

    def decide(self, survey: Survey, engine: Engine) -> Mapping[str, int]:
        """Match bands, unite the verified pairs, judge short documents by equality."""
        from llmkit.cleaning.duplicates import judge_equal
        from llmkit.cleaning.minhash import join_components, match_bands

        pairs = sum(survey.map_buckets(engine, match_bands, self, name="bands"))
        short = sum(groups for groups, _ in survey.map_buckets(engine, judge_equal, False, name="short"))
        parts, groups = join_components(survey, engine, survey.num_buckets)
        survey.judge(engine, survey.num_buckets + parts)
        return {"verified pairs": pairs, "groups": groups, "short texts with copies": short}

    def act(self, document: Document, verdicts: list[Verdict]) -> Drop | None:  # noqa: ARG002 - the interface
        """Drop the near-duplicate, with the pair that was compared and, if it leads further, the way to what stays."""
        if verdicts[0].value == 0:
            return Drop("near_duplicates.short", f"same words as {verdicts[0].keeper}", "smallest id stays")
        pairs = [f"{verdict.value:.2f} like {verdict.keeper}" for verdict in verdicts if verdict.value]
        way = ", that ".join(pairs)
        if len(pairs) < len(verdicts):
            way += f", and {verdicts[-1].position + 1 - len(pairs):,} pairs further {verdicts[-1].keeper}"
        return Drop("near_duplicates", way, self.similarity)


class _Signatures:
    """Records of one task: a signature and its bands per document, a key per short document."""

    def __init__(self, step: NearDuplicates) -> None:
        import numpy as np

        from llmkit.cleaning.duplicates import KeyRecorder
        from llmkit.cleaning.minhash import permutations

        self.step = step
        self.size = step.bands * step.rows
        self.multipliers, self.offsets = permutations(self.size, step.seed)
        self.signatures = np.empty((1024, self.size), np.uint32)
        self.placed: list[int] = []
        self.ranks: list[int] = []
        self.short = KeyRecorder()

    def add(self, row: int, document: Document) -> None:
        import numpy as np

        from llmkit.cleaning import kernels
        from llmkit.cleaning.duplicates import rank_of
        from llmkit.cleaning.features import features

        words = features(document).word_hashes
        if len(words) < self.step.min_words:
            if len(words):
                key = hashlib.blake2b(words.tobytes(), digest_size=16).digest()
                self.short.add_key(key, rank_of(document.id), row)
            return
        count = len(self.placed)
        if count == len(self.signatures):
            self.signatures = np.resize(self.signatures, (2 * count, self.size))
        kernels.minhash(words, self.step.ngram, self.multipliers, self.offsets, self.signatures[count])
        self.placed.append(row)
        self.ranks.append(rank_of(document.id))

    def tables(self) -> dict[str, NDArray[Any]]:
        import numpy as np

        from llmkit.cleaning import kernels
        from llmkit.cleaning.minhash import BAND

        count, bands = len(self.placed), self.step.bands
        table = np.zeros(count * bands, BAND)
        table["key"] = kernels.band_keys(self.signatures[:count], bands).ravel()
        table["rank"] = np.repeat(np.array(self.ranks, np.uint64), bands)
        rows = np.array(self.placed, np.uint32)
        table["row"] = np.repeat(rows, bands)
        return {"signatures": self.signatures[:count], "rows": rows, "bands": table, **self.short.tables()}
