"""Rows with a model's answers, in Parquet shards in the order of the input; `llmkit.prediction` writes them.

DIR/README.md  data-00000.parquet ...  report.html  rejected/sample.parquet
"""

from __future__ import annotations

from llmkit.data.artifacts.corpus import Corpus


class Predictions(Corpus):
    """Kind `predictions`."""

    KIND = "predictions"
