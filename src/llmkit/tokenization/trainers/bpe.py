"""Train a byte-level BPE (Sennrich et al. 2016, with the byte alphabet of GPT-2) with `tokenizers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from llmkit.tokenization.trainers import Specials, Texts
from llmkit.tokenization.trainers._long_words import LongWords
from llmkit.tokenization.trainers._patterns import Chinese, Digits, Pattern, byte_level
from llmkit.tokenization.trainers._training import TrainedPart

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")
NUM_BYTES = 256


class Bpe(TrainedPart):
    """Byte-level BPE: nothing is ever unknown, and decoding gives back every byte.

    The same text gives the same bytes in `tokenizer.json` every time. Words of more than 1,000 characters (a genome,
    base64) are trained on in pieces of that length, which a warning says; they are encoded whole.
    """

    vocab_size: int = Field(16384, gt=NUM_BYTES, le=2**24)
    """Tokens in all: special tokens, the 256 bytes and the merges."""
    special_tokens: list[str] = list(CHAT_TOKENS)
    """Special tokens beside `<|endoftext|>` and `<|pad|>`; by default those of the chat template, so that fine-tuning
    needs no new embedding rows."""
    pattern: Pattern = "gpt2"
    """How text is cut into words, which merges never cross: as GPT-2, Llama 3 (cl100k), Qwen 2, GPT-4o or DeepSeek 3
    do. `deepseek3` keeps runs of Chinese and Japanese apart from other scripts."""
    digits: Digits = "pattern"
    """How numbers are cut: as the pattern does (gpt2 not at all, qwen2 every digit, the others in threes from the
    left), every digit by itself, or in threes from either end."""
    chinese: Chinese = "pattern"
    """Whether runs of Han characters are cut apart from other scripts, or every Han character by itself; `pattern`
    leaves it to the pattern."""
    normalizer: Literal["none", "nfc", "nfkc"] = "none"
    """Unicode normalization form of the text. With one, decoding gives back the normalized text."""
    min_frequency: int = Field(1, ge=1)
    """A pair seen fewer times is not merged."""

    @model_validator(mode="after")
    def _check_size(self) -> Bpe:
        needed = NUM_BYTES + len(self._specials())
        if self.vocab_size < needed:
            raise ValueError(
                f"vocab_size {self.vocab_size} has no room for 256 bytes and {needed - NUM_BYTES} specials"
            )
        return self

    def _specials(self) -> list[str]:
        return list(dict.fromkeys([END_OF_TEXT, PAD, *self.special_tokens]))

    def specials(self) -> Specials:
        """Return `<|endoftext|>`, which begins and ends documents, `<|pad|>` and those asked for."""
        return Specials({"bos": END_OF_TEXT, "eos": END_OF_TEXT, "pad": PAD}, tuple(self._specials()))

    def make(self, texts: Texts, console: Console) -> PreTrainedTokenizerFast:
        """Train and return the tokenizer; `<|endoftext|>` is its BOS and EOS."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from transformers import PreTrainedTokenizerFast

        console.info(f"training a byte-level BPE of {self.vocab_size:,} tokens")
        tokenizer = Tokenizer(models.BPE())
        if self.normalizer != "none":
            tokenizer.normalizer = normalizers.NFC() if self.normalizer == "nfc" else normalizers.NFKC()
        tokenizer.pre_tokenizer = byte_level(self.pattern, self.digits, self.chinese)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=self._specials(),
            # All of it, seen or not: text the training never saw must still have ids.
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        words = LongWords(tokenizer.pre_tokenizer)
        tokenizer.train_from_iterator(words.cut(self.sample(texts)), trainer)
        words.say(console)
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token=END_OF_TEXT,
            eos_token=END_OF_TEXT,
            pad_token=PAD,
            clean_up_tokenization_spaces=False,
        )
