"""Sources and targets to ids: on the two sides of an encoder-decoder, or one behind the other for a decoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from llmkit.core.errors import DataError
from llmkit.data.borders import literal_specials
from llmkit.data.targets import Part, encode_chats
from llmkit.objectives.rows import IGNORED, Example, LeftOut

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Limits(NamedTuple):
    """Most tokens, special ones included.

    Attributes:
        source: Of what is asked.
        target: Of what is learned, EOS included.
        both: Of a row that has one behind the other.
    """

    source: int
    target: int
    both: int


def two_sides(
    tokenizer: PreTrainedTokenizerFast, sources: Sequence[str], targets: Sequence[str], limits: Limits
) -> Sequence[Example | LeftOut]:
    """Return `input_ids` and `target_input_ids`: the source as inference reads it, and the target with its EOS.

    A source that is too long is cut before its special tokens. A special token that stands in a target literally could
    be its end, and leaves the row out.
    """
    from llmkit.modeling.served import encode_texts

    read = encode_texts(tokenizer, sources, limits.source, offsets=False)
    said = tokenizer(text_target=[*targets], verbose=False)["input_ids"]
    fakes = literal_specials(tokenizer, [[{"role": "", "content": text}] for text in targets])
    eos, special = tokenizer.eos_token_id, set(tokenizer.all_special_ids)
    found: list[Example | LeftOut] = []
    for source, ids, fake in zip(read, said, fakes, strict=True):
        whole = ids if eos in ids else [*ids, eos]
        if fake is not None:
            found.append(LeftOut("literal_special", "a target holds a special token literally"))
        elif not source.ids or special.issuperset(ids):
            found.append(LeftOut("empty", f"no token stands for the {'target' if source.ids else 'source'}"))
        elif len(whole) > limits.target:
            found.append(_too_long(limits))
        else:
            columns = {"input_ids": source.ids, "target_input_ids": whole}
            found.append(Example(columns, len(whole), cut=bool(source.overflowing)))
    return found


def one_side(
    tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], targets: Sequence[str], limits: Limits
) -> Sequence[Example | LeftOut]:
    """Return `input_ids` and `labels`, as `sft` has them: the prompt's ids are those of inference, the end is learned.

    A prompt is never cut, for its end is what asks.
    """
    turns = [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": target}]
        for prompt, target in zip(prompts, targets, strict=True)
    ]
    found: list[Example | LeftOut] = []
    fakes = list(literal_specials(tokenizer, turns))
    for made, fake in zip(encode_chats(tokenizer, turns), fakes, strict=True):
        if fake is not None:
            found.append(LeftOut("literal_special", "a text holds a special token literally"))
        elif isinstance(made, DataError):
            found.append(LeftOut("refused", made.message))
        else:
            found.append(_behind(made.parts[-1], limits))
    return found


def _behind(part: Part, limits: Limits) -> Example | LeftOut:
    learned = int((part.labels != IGNORED).sum())
    if not part.answers:
        return LeftOut("untaught", "the target shares a token with the prompt")
    if learned > limits.target:
        return _too_long(limits)
    if part.ids.size > min(limits.both, limits.source + learned):
        return LeftOut("long_source", "a prompt that is too long, or leaves no room for its target")
    return Example({"input_ids": part.ids, "labels": part.labels}, learned)


def _too_long(limits: Limits) -> LeftOut:
    return LeftOut("long_target", f"a target of more than {limits.target} tokens, see objective.max_target_length")
