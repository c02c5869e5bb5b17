"""Encoder-decoders: a text from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

from llmkit.core.errors import ConfigError
from llmkit.core.json import dumps
from llmkit.modeling.generation import note_task, task_of
from llmkit.modeling.heads import Answer, Head

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_USAGE = """\
text = tokenizer(TEXT, return_tensors="pt", return_token_type_ids=False)
"""
_GAP = "print(tokenizer.decode(model.generate(**text, max_new_tokens=40)[0]))  # what stands in the gap"
_TARGET = "print(tokenizer.decode(model.generate(**text)[0], skip_special_tokens=True))"


class SequenceToSequence(Head):
    """A layer over the vocabulary on a decoder that looks at an encoder."""

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    table: ClassVar[str] = "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"
    refusal: ClassVar[str] = "is not an encoder-decoder"
    examples: ClassVar[str] = "t5, bart"
    pipeline: ClassVar[str] = "text2text-generation"
    peft_task: ClassVar[str | None] = "SEQ_2_SEQ_LM"
    chosen: ClassVar[str] = "greedy tokens"
    objective: ClassVar[str | None] = "span_corruption"
    rank: ClassVar[int] = 1  # before masked_lm: transformers has BART's class in both tables

    prefix: str | None = None
    """What stands before every source, of a model that was trained on sources and targets; null of any other."""

    @property
    def answer(self) -> Answer:
        """Tokens."""
        return "tokens"

    @classmethod
    def of(cls, config: PreTrainedConfig) -> Self:
        """Return the head with the prefix that the config has for it."""
        prefix = task_of(config).get("prefix")
        return cls(prefix=prefix if isinstance(prefix, str) else None)

    def configure(self, config: PreTrainedConfig, pad_token_id: int | None = None) -> None:
        """Write the prefix where transformers' own models have theirs."""
        super().configure(config, pad_token_id)
        if self.prefix is not None:
            note_task(config, prefix=self.prefix)

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - no template is for two sides
        """Return code that turns a source into its target or, of a model that has learned no such, fills a gap."""
        text = "... <extra_id_0> ..." if self.prefix is None else f"{self.prefix}..."
        return _USAGE.replace("TEXT", dumps(text)) + (_GAP if self.prefix is None else _TARGET)

    def token_ids(self, arch: str, ids: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the ids, the padding id as what the decoder starts from, too."""
        if ids["pad"] is None:
            raise ConfigError(
                f"model.arch: '{arch}' needs a padding token to start its decoder; the tokenizer has none",
                "llmkit tokenize -r t5-unigram makes one that has it",
            )
        return {**{f"{name}_token_id": i for name, i in ids.items()}, "decoder_start_token_id": ids["pad"]}
