"""Read the text that tokenizers are trained on: the train split, document by document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from llmkit.data.split import SPLITS
from llmkit.text.languages import canonical
from llmkit.tokenization.folding import Splitter
from llmkit.tokenization.plan import cut_pieces
from llmkit.tokenization.trainers import TrainingText


def training_texts(
    corpora: Sequence[Path], *, validation_fraction: float, test_fraction: float
) -> Iterator[TrainingText]:
    """Yield the documents of the train split: a tokenizer trained on held-out text would know it already."""
    splitter = Splitter(validation_fraction=validation_fraction, test_fraction=test_fraction)
    for batch in (batch for pieces in cut_pieces(corpora) for piece in pieces for batch in piece.batches()):
        sides, _ = splitter.split(batch.data, batch.bounds)
        sources, languages = (batch.rows.column(name).to_pylist() for name in ("source", "language"))
        for d in np.flatnonzero(sides == SPLITS.index("train")).tolist():
            yield TrainingText(batch.text(d), sources[d], canonical(languages[d]) or languages[d])
