"""Train a byte-level BPE tokenizer (Sennrich et al. 2016, byte alphabet as in GPT-2) with `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")
NUM_BYTES = 256


def train_bpe(
    texts: Iterator[str], *, vocab_size: int, special_tokens: Sequence[str], show_progress: bool
) -> PreTrainedTokenizerFast:
    """Train on texts and return the tokenizer, ready to save.

    The whole byte alphabet is in the vocabulary, so that text the training never saw still has ids. The same texts
    give the same bytes in `tokenizer.json` every time.

    Args:
        texts: The training text, in the order of the corpus.
        vocab_size: Tokens in all: special tokens, the 256 bytes and the merges; fewer if the text runs out of pairs.
        special_tokens: `<|endoftext|>` and `<|pad|>` come first, then these.
        show_progress: Let `tokenizers` draw its bars on the terminal.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(dict.fromkeys([END_OF_TEXT, PAD, *special_tokens])),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=show_progress,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
    )
