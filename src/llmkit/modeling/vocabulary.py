"""What an objective must know of a tokenizer: its size, the ids of its special tokens, which tokens start a word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from llmkit.core.errors import DataError, nearest
from llmkit.modeling.token_bytes import token_bytes
from llmkit.modeling.tokenizer import vocabulary_size
from llmkit.text.characters import INVISIBLE, MARK, UNSPACED, WORD, character_table
from llmkit.text.utf8 import first_character

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerFast

# Contents a token may have where the tokenizer gives it no role: a BPE with `special_tokens: ["[MASK]"]`.
CONTENTS = {"cls": ("[CLS]", "<cls>"), "sep": ("[SEP]", "<sep>"), "mask": ("[MASK]", "<mask>")}


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a tokenizer, by what they are for.

    Attributes:
        size: The largest id plus one: the embedding rows a model needs.
        bos: What a document starts from: BOS, else CLS, else EOS.
        eos, pad, cls, sep, mask, unk: None where the tokenizer has no such token. PAD is not replaced by EOS: a loss
            that masks padding by id would then mask every EOS, and the model would never learn to stop.
        ids: The added tokens (special tokens, sentinels, chat markers) by content; text never encodes to one of them.
        where: The tokenizer's directory, for errors.
        tokenizer: What `starts_word` is read from.
        has_types: Models of the tokenizer are given `token_type_ids`.
    """

    size: int
    bos: int | None = None
    eos: int | None = None
    pad: int | None = None
    cls: int | None = None
    sep: int | None = None
    mask: int | None = None
    unk: int | None = None
    ids: Mapping[str, int] = field(default_factory=dict)
    where: str = ""
    tokenizer: PreTrainedTokenizerFast | None = field(default=None, repr=False, compare=False)
    has_types: bool = False

    def need(self, role: str, purpose: str) -> int:
        """Return the id of a role such as `mask`.

        Args:
            role: An attribute of this class.
            purpose: Who needs it, for the message: "masked_lm".

        Raises:
            DataError: The tokenizer has no such token; the message says where and how to make it.
        """
        found: int | None = getattr(self, role)
        if found is not None:
            return found
        message = f"the tokenizer in '{self.where}' has no {role.upper()} token, which {purpose} needs"
        if role in CONTENTS:
            content = CONTENTS[role][0]
            hint = f"tokenize with -r bert-wordpiece, or with --set 'tokenizer.special_tokens=[\"{content}\"]'"
        else:
            hint = (
                f'set "{role}_token" in its tokenizer_config.json to one of its tokens, or train one: llmkit tokenize'
            )
        raise DataError(message, hint)

    def token(self, content: str, purpose: str) -> int:
        """Return the id of an added token such as `<|fim_prefix|>`.

        Raises:
            DataError: There is no such added token.
        """
        if content in self.ids:
            return self.ids[content]
        raise DataError(
            f"the tokenizer in '{self.where}' has no token '{content}', which {purpose} needs"
            f"{nearest(content, self.ids)}",
            f"tokenize with --set 'tokenizer.special_tokens=[\"{content}\"]'",
        )

    @property
    def padding(self) -> int:
        """What rows are padded with: PAD or, where there is none, EOS; behind a mask it stands for nothing."""
        return next((i for i in (self.pad, self.eos) if i is not None), 0)

    @cached_property
    def special(self) -> NDArray[np.int64]:
        """The ids that no text encodes to, ascending."""
        roles = (self.bos, self.eos, self.pad, self.cls, self.sep, self.mask, self.unk)
        return np.array(sorted({*self.ids.values(), *(i for i in roles if i is not None)}), np.int64)

    @cached_property
    def ordinary(self) -> NDArray[np.int64]:
        """The ids of text, ascending."""
        return np.setdiff1d(np.arange(self.size), self.special)

    @cached_property
    def starts_word(self) -> NDArray[np.bool_]:
        """Whether each id begins a word, bool `[size]`.

        A token does unless it goes on with letters, marks or digits: `##ing` of WordPiece, `ing` without its mark of a
        space in byte-level BPE and SentencePiece. Every character of a script without spaces, such as Chinese, begins
        one. Without a tokenizer every token is a word.
        """
        starts = np.ones(self.size, np.bool_)
        if self.tokenizer is None:
            return starts
        model = self.tokenizer.backend_tokenizer.model
        if type(model).__name__ == "WordPiece":
            prefix = model.continuing_subword_prefix or "##"
            for token, number in self.tokenizer.get_vocab().items():
                starts[number] = not token.startswith(prefix)
        else:
            for number, content in enumerate(token_bytes(self.tokenizer)):
                if content:
                    starts[number] = _begins_word(content[: 1 if content[0] < 0x80 else 4])
        starts[list(self.ids.values())] = True
        return starts


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> Vocabulary:
    """Return the vocabulary of a loaded tokenizer."""
    added = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    roles: dict[str, int | None] = {
        role: getattr(tokenizer, f"{role}_token_id") for role in ("eos", "pad", "cls", "sep", "mask", "unk")
    }
    for role, contents in CONTENTS.items():
        if roles[role] is None:
            roles[role] = next((added[content] for content in contents if content in added), None)
    start = next((i for i in (tokenizer.bos_token_id, roles["cls"], roles["eos"]) if i is not None), None)
    return Vocabulary(
        size=vocabulary_size(tokenizer),
        bos=start,
        **roles,
        ids=MappingProxyType(added),
        where=str(tokenizer.name_or_path),
        tokenizer=tokenizer,
        has_types="token_type_ids" in tokenizer.model_input_names,
    )


@cache
def _begins_word(head: bytes) -> bool:
    """Tell by the bytes of a token's first character; a part of one is judged by most of those that it may become."""
    first = first_character(head)
    flags = character_table().info[first.start : first.stop]
    if len(first) > 1:
        flags = flags[flags & INVISIBLE == 0]  # many are not assigned
    begins = (flags & MARK == 0) & ((flags & UNSPACED != 0) | (flags & WORD == 0))
    return bool(2 * np.count_nonzero(begins) > flags.size)
