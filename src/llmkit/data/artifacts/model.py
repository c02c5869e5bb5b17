"""A model as a training leaves it: what `from_pretrained` loads, a card, and what the run has logged and kept."""

from __future__ import annotations

from llmkit.core.move import Kept


class Model:
    """Kind `model`."""

    REPORT = "report.html"
    METRICS, SAMPLES, STARTS = "metrics.jsonl", "samples.jsonl", "starts.jsonl"
    TRACKER_ID, TENSORBOARD = "tracker_id.txt", "tensorboard"
    """Under the id in the first a resumed run goes on at an experiment tracker; TensorBoard's is a folder."""
    CHECKPOINTS = "checkpoints"
    KEPT = Kept(CHECKPOINTS, (METRICS, SAMPLES, STARTS, TRACKER_ID, TENSORBOARD))
    """What a run that extends a finished one goes on with."""
