"""Texts to ids as a model is served with them: special tokens added, cut at a limit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from llmkit.core.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from transformers import PreTrainedConfig, PreTrainedTokenizerFast

UNLIMITED = 2**31 - 1
"""The limit of texts that are never cut."""
Cut = Literal["longest_first", "only_second"]
_cutting: WeakKeyDictionary[PreTrainedTokenizerFast, dict[tuple[int, Cut], Tokenizer]] = WeakKeyDictionary()
"""Copies that cut at a limit: making one takes up to a second."""


def check_ends(tokenizer: PreTrainedTokenizerFast, config: PreTrainedConfig) -> None:
    """Make sure that texts have the end at which an encoder-decoder, such as T5 or BART, reads their label.

    Raises:
        DataError: The tokenizer puts none behind them.
    """
    end = config.eos_token_id
    if not config.is_encoder_decoder or end in encode_texts(tokenizer, ["a"], UNLIMITED)[0].ids:
        return
    name = "none is named in its config" if end is None else f"'{tokenizer.convert_ids_to_tokens(end)}', id {end}"
    raise DataError(
        f"the model ({config.model_type}) reads a label at the last end of a text ({name}), and its tokenizer puts none"
        " behind a text",
        "have the post-processor of its tokenizer.json add it, as T5's and BART's own tokenizers do",
    )


def encode_texts(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[Any],
    limit: int,
    *,
    words: bool = False,
    cut: Cut = "longest_first",
    offsets: bool = True,
) -> list[Encoding]:
    """Encode texts, pairs of texts or lists of words.

    An encoding's `overflowing` is not empty where something was cut. The tokenizer's own settings stay as they are.

    Args:
        tokenizer: The tokenizer.
        texts: What to encode.
        limit: Most tokens, special ones included.
        words: Texts are lists of words.
        cut: Which text of a pair is cut, both from their ends.
            Where the first of a pair alone is too long, the longer one is cut all the same.
        offsets: Keep track of where tokens stand in their text, which costs about a fifth of the time.
    """
    copies = _cutting.setdefault(tokenizer, {})
    cutting = copies.get((limit, cut))
    if cutting is None:
        from tokenizers import Tokenizer

        copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        copy.no_padding()
        copy.enable_truncation(limit, strategy=cut)
        cutting = copies[limit, cut] = copy
    encode = cutting.encode_batch if offsets else cutting.encode_batch_fast
    try:
        found: list[Encoding] = encode(list(texts), is_pretokenized=words, add_special_tokens=True)
    except Exception:  # what `tokenizers` raises has no class of its own
        if cut == "longest_first":
            raise
        if len(texts) > 1:
            alone = ([text] for text in texts)
            return [encode_texts(tokenizer, text, limit, words=words, cut=cut, offsets=offsets)[0] for text in alone]
        return encode_texts(tokenizer, texts, limit, words=words, offsets=offsets)
    return found
