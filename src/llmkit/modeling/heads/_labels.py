"""Heads whose outputs have names: label names in a config, and what may be new on a body."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from llmkit.core.errors import ConfigError
from llmkit.modeling.heads import Head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Labelled(Head):
    """Heads over labels; they differ in what is labelled."""

    labels: list[str] = []
    """Names of the labels in the order of the outputs; none keeps those of the model."""

    new: ClassVar[frozenset[str]] = frozenset({"classifier", "score", "head", "pooler"})

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Self:
        """Return the head with the config's label names."""
        return cls(labels=saved_labels(config))

    def configure(self, config: PreTrainedConfig, pad_token_id: int | None = None) -> None:
        """Write the label names.

        Raises:
            ConfigError: A label is there twice.
        """
        super().configure(config, pad_token_id)
        for label in self.labels:
            if self.labels.count(label) > 1:
                raise ConfigError(f"labels: '{label}' is there twice")
        if self.labels:
            config.id2label = dict(enumerate(self.labels))
            config.label2id = {label: i for i, label in enumerate(self.labels)}

    def relabels(self, config: PreTrainedConfig) -> bool:
        """Tell whether the model has other names, or has them in another order; one whose outputs have none has not."""
        saved = saved_labels(config)
        unnamed = saved == [f"LABEL_{i}" for i in range(len(saved))]
        return bool(self.labels) and not unnamed and saved != self.labels


def saved_labels(config: PreTrainedConfig) -> list[str]:
    """Return the label names of a config in the order of the outputs; transformers calls unnamed ones LABEL_0 ..."""
    return [str(config.id2label[i]) for i in sorted(config.id2label)]
