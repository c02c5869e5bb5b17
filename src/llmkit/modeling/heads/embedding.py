"""Bodies alone: a text as a point, from the vectors of its tokens (Reimers and Gurevych 2019, "Sentence-BERT")."""

from __future__ import annotations

from typing import ClassVar

from llmkit.modeling.heads import Answer, Head

_OTHERS = ("CAUSAL_LM", "MASKED_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION")
_USAGE = """\
text = tokenizer("...", return_tensors="pt", return_token_type_ids=False)
print(model(**text).last_hidden_state.mean(1)[0].tolist())  # of several texts, leave padding out of the mean"""


class Embedding(Head):
    """Nothing on a body; whoever asks it says how the vectors of a text's tokens become one."""

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
    def architectures(cls) -> dict[str, frozenset[str]]:
        """Return the bodies of those that read text: the table has pictures and sounds as well."""
        from transformers.models.auto import modeling_auto

        reading = set().union(*(getattr(modeling_auto, f"MODEL_FOR_{name}_MAPPING_NAMES") for name in _OTHERS))
        return {arch: names for arch, names in super().architectures().items() if arch in reading}

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - it does not write
        """Return code that gives the mean of a text's vectors."""
        return _USAGE
