"""A model as a training leaves it: what `from_pretrained` loads, a card, and what the run has logged and kept.

DIR/model.safetensors  config.json  tokenizer.json ...  README.md  report.html
DIR/adapter_model.safetensors  adapter_config.json  adapter_base.json  instead of the first two, of an adapter
DIR/modules.json  sentence_bert_config.json  config_sentence_transformers.json  1_Pooling/  beside them, of vectors
DIR/metrics.jsonl  samples.jsonl  starts.jsonl  tensorboard/  checkpoints/step-00000500/ ...
"""

from __future__ import annotations

from llmkit.core.adapter import ADAPTER, RECORD
from llmkit.core.move import Kept
from llmkit.data.artifacts._folder import Folder
from llmkit.data.artifacts.tokens import TOKENIZER_FILES


class Model(Folder):
    """Kind `model`."""

    KIND = "model"
    KINDS = (KIND, "export")
    """What a stage may load a model from."""
    MODULES, MODULE_SETTINGS = "modules.json", "sentence_bert_config.json"
    MODULE_TEXTS, MODULE_CONFIGS = "config_sentence_transformers.json", "[0-9]_*/config.json"
    """What sentence-transformers reads of a model that gives vectors."""
    PAYLOAD = (
        "*.safetensors", "model.safetensors.index.json", "config.json", "generation_config.json", ADAPTER, RECORD,
        MODULES, MODULE_SETTINGS, MODULE_TEXTS, MODULE_CONFIGS, *TOKENIZER_FILES,
    )  # fmt: skip
    METRICS, SAMPLES, STARTS = "metrics.jsonl", "samples.jsonl", "starts.jsonl"
    TRACKER_ID, TENSORBOARD = "tracker_id.txt", "tensorboard"
    """Under the id in the first a resumed run goes on at an experiment tracker; TensorBoard's is a folder."""
    CHECKPOINTS = "checkpoints"
    KEPT = Kept(CHECKPOINTS, (METRICS, SAMPLES, STARTS, TRACKER_ID, TENSORBOARD))
    """What a run that extends a finished one goes on with."""
