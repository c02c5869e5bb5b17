"""Encoder-decoders: a text from another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from llmkit.core.errors import ConfigError
from llmkit.modeling.heads import Answer, Head

_USAGE = """\
text = tokenizer("... <extra_id_0> ...", return_tensors="pt", return_token_type_ids=False)
print(tokenizer.decode(model.generate(**text, max_new_tokens=40)[0]))  # what stands in the gap"""


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

    @property
    def answer(self) -> Answer:
        """Tokens."""
        return "tokens"

    def usage(self, *, chat: bool = False) -> str:  # noqa: ARG002 - no template is for two sides
        """Return code that fills a gap."""
        return _USAGE

    def token_ids(self, arch: str, ids: Mapping[str, int | None]) -> dict[str, int | None]:
        """Return the ids, the padding id as what the decoder starts from, too."""
        if ids["pad"] is None:
            raise ConfigError(
                f"model.arch: '{arch}' needs a padding token to start its decoder; the tokenizer has none",
                "llmkit tokenize -r t5-unigram makes one that has it",
            )
        return {**{f"{name}_token_id": i for name, i in ids.items()}, "decoder_start_token_id": ids["pad"]}
