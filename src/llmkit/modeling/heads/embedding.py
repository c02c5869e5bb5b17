"""Bodies alone: a text as a point, from the vectors of its tokens (Reimers and Gurevych 2019, "Sentence-BERT")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from llmkit.core.json import dumps
from llmkit.modeling.heads import Answer, Head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_OTHERS = ("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION")
_USAGE = """\
import torch

text = tokenizer({prompt}"...", return_tensors="pt", return_token_type_ids=False)
with torch.no_grad():
    vector = model(**text).last_hidden_state{pooled}{norm}
print(vector.tolist())"""
_POOLED: dict[tuple[str, ...], str] = {
    ("mean",): "[0].mean(0)  # of several texts, leave padding out of the mean",
    ("cls",): "[0, 0]",
    ("lasttoken",): "[0, -1]",
}


class Embedding(Head):
    """Nothing on a body; the fields say how the vectors of a text's tokens become one.

    They stand in files of sentence-transformers beside the model, not in its config: see `modeling/pooling.py`.
    """

    pooling: list[str] = ["mean"]
    """Ways of pooling; the vectors of several are joined."""
    normalize: bool = False
    """Vectors are made one long, so that a product of two is their cosine."""
    prompts: dict[str, str] = {}
    """What is put before texts of some kind, by the kind's name: `{query: "query: "}`."""
    prompt: str = ""
    """What is put before a text of which nothing is said."""

    auto_class: ClassVar[str] = "AutoModel"
    table: ClassVar[str] = "MODEL_MAPPING_NAMES"
    refusal: ClassVar[str] = "reads no text"
    examples: ClassVar[str] = "bert, modernbert, xlm-roberta"
    pipeline: ClassVar[str] = "feature-extraction"
    new: ClassVar[frozenset[str]] = frozenset({"pooler"})
    rank: ClassVar[int] = 20  # a config that names no class means a model that can do more

    @property
    def answer(self) -> Answer:
        """A vector."""
        return "vector"

    @classmethod
    def architectures(cls) -> Mapping[str, frozenset[str]]:
        """Return the bodies of those that read text: the table has pictures and sounds as well."""
        from transformers.models.auto import modeling_auto

        reading = set().union(*(getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES") for name in _OTHERS))
        return {arch: names for arch, names in super().architectures().items() if arch in reading}

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - it does not write
        """Return code that gives a text's vector."""
        pooled = _POOLED.get(tuple(self.pooling), "  # of the tokens: sentence-transformers pools them")
        first = next((prompt for prompt in self.prompts.values() if prompt), "")
        norm = "\n    vector = vector / vector.norm()" if self.normalize else ""
        return _USAGE.format(pooled=pooled, norm=norm, prompt=f"{dumps(first)} + " if first else "")

    def save_beside(self, directory: Path, config: PreTrainedConfig, max_tokens: int) -> None:
        """Write the files with which sentence-transformers makes the same vectors."""
        from llmkit.modeling.pooling import Pooling, write_pooling

        made = Pooling(tuple(self.pooling), self.normalize, max_tokens, self.prompt, prompts=self.prompts)
        write_pooling(directory, made, config.get_text_config().hidden_size)
