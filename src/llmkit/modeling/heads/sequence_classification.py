"""Labels or numbers for whole texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from llmkit.core.errors import ConfigError
from llmkit.modeling.architecture import POSITIONS_AFTER_PADDING
from llmkit.modeling.heads import Answer
from llmkit.modeling.heads._labels import Labelled, saved_labels

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_TEXT = 'text = tokenizer("...", return_tensors="pt", return_token_type_ids=False)\n'
_USAGE = {
    "single_label_classification": "print(model.config.id2label[model(**text).logits.argmax().item()])",
    "multi_label_classification": """\
chances = model(**text).logits[0].sigmoid().tolist()
print([model.config.id2label[i] for i, chance in enumerate(chances) if chance > 0.5])""",
    "regression": "print(model(**text).logits[0].tolist())",
}


class SequenceClassification(Labelled):
    """A layer over labels on one vector of the text: the first token's, the pooler's or, of a decoder, the last's."""

    problem_type: Literal["single_label_classification", "multi_label_classification", "regression"] = (
        "single_label_classification"
    )
    """One label a text, any number of labels, or numbers; `labels` then names the numbers, one if it is empty."""

    auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    table: ClassVar[str] = "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES"
    refusal: ClassVar[str] = "has no head for labels of whole texts"
    examples: ClassVar[str] = "bert, modernbert, llama, t5"
    pipeline: ClassVar[str] = "text-classification"
    peft_task: ClassVar[str | None] = "SEQ_CLS"
    chosen: ClassVar[str] = "labels"
    new: ClassVar[frozenset[str]] = Labelled.new | {
        "classification_head", "dense", "logits_proj", "pre_classifier", "sequence_summary",
    }  # fmt: skip

    @property
    def answer(self) -> Answer:
        """Numbers of a regression, else labels."""
        return "number" if self.problem_type == "regression" else "label"

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Self:
        """Return the head with the config's label names and problem type; a single output is a number."""
        given = config.problem_type or ("regression" if config.num_labels == 1 else "single_label_classification")
        return cls(labels=saved_labels(config), problem_type=given)

    def configure(self, config: PreTrainedConfig, pad_token_id: int | None = None) -> None:
        """Write label names and problem type and, for decoders, what rows are padded with.

        Raises:
            ConfigError: A label is there twice, or there is only one to choose from.
        """
        super().configure(config, pad_token_id)
        if self.problem_type == "regression" and not self.labels:
            config.num_labels = 1
        if self.problem_type == "single_label_classification" and config.num_labels == 1:
            raise ConfigError("labels: there is only one to choose from", "give two, or set problem_type")
        config.problem_type = self.problem_type
        if pad_token_id is not None and config.model_type not in POSITIONS_AFTER_PADDING:
            # A decoder's class reads the label at the last token that is not this one.
            config.pad_token_id = config.get_text_config().pad_token_id = pad_token_id

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - it does not write
        """Return code that labels or rates a text."""
        return _TEXT + _USAGE[self.problem_type]
