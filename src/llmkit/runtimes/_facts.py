"""What a loaded model is, as far as its files say it, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from llmkit.runtimes import Facts

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    from llmkit.modeling.heads import Head


def ends_of(model: PreTrainedModel) -> tuple[int, ...]:
    """Return the ids at which a model stops writing, by its generation config."""
    found = model.generation_config.eos_token_id if model.can_generate() else None
    return tuple(found) if isinstance(found, list) else () if found is None else (found,)


def facts_of(
    config: PreTrainedConfig, head: Head, tokenizer: PreTrainedTokenizerFast, *,
    ends: Iterable[int], prompts: Mapping[str, str], versions: Mapping[str, str],
) -> Facts:  # fmt: skip
    """Return the facts of a model by its config, head and tokenizer; see `Facts` for the others."""
    from llmkit.modeling.architecture import position_limit
    from llmkit.modeling.generation import asked_by

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    named = dict(getattr(config, "id2label", None) or {})
    return Facts(
        answer=head.answer,
        positions=position_limit(config),
        start=eos if bos is None else bos,
        two_sided=bool(config.is_encoder_decoder),
        asked_by=asked_by(config),
        labels=tuple(str(named[i]) for i in sorted(named)) if hasattr(head, "labels") else (),
        several=getattr(head, "problem_type", "") == "multi_label_classification",
        prompts=prompts,
        ends=frozenset(ends),
        versions=versions,
    )
