"""Train a Unigram model (Kudo 2018) with sentencepiece, and write it as a tokenizer.json with the same ids."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from llmkit.core.errors import ConfigError, DataError
from llmkit.core.machine import raise_limit
from llmkit.modeling.sentencepiece_model import read_model
from llmkit.modeling.sentencepiece_pipeline import to_tokenizer
from llmkit.tokenization.trainers import Specials, Texts
from llmkit.tokenization.trainers._training import TrainedPart

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
NUM_BYTES = 256
BYTE_CHARS = "0123456789ABCDEFx<>"
NUM_THREADS = 4
"""Part of the result: sentencepiece adds up expectations per thread, and the sum is not the same in another order."""
LINE_CHARS = 2000
"""Longer lines are cut: sentencepiece leaves out what is longer than its limit, 4,192 bytes by default."""


class Unigram(TrainedPart):
    """Unigram as SentencePiece has it; with sentinels, as T5 has it.

    Ids go `<pad>`, `</s>`, `<unk>`, other special tokens, bytes, pieces by probability, sentinels. The same text gives
    the same bytes in `tokenizer.json` every time. Lines of more than 2,000 characters are trained on in parts, cut at a
    space where there is one.
    """

    vocab_size: int = Field(32000, gt=3, le=2**24)
    """Tokens in all, special tokens, bytes and sentinels included."""
    sentinels: int = Field(0, ge=0)
    """Add so many tokens `<extra_id_0>` ..., which stand for the spans that a T5 model fills in; `<extra_id_0>` has
    the last id."""
    max_training_bytes: int | None = Field(50_000_000, gt=0)
    """Train on a sample of about so many UTF-8 bytes, spread over the whole corpus; null for all of it. Training takes
    about 20 bytes of memory per byte of text."""
    normalizer: Literal["none", "nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf"] = "nmt_nfkc"
    """Unicode normalization: none, NFKC, NFKC that also makes all white space plain spaces, and both with case folded.
    With one, decoding gives back the normalized text."""
    byte_fallback: bool = True
    """Encode characters outside the vocabulary as bytes; without it they are `<unk>`."""
    character_coverage: float = Field(0.9995, gt=0, le=1)
    """Part of all characters in the text that the vocabulary has to cover."""
    digits: Literal["together", "one"] = "together"
    """Whether numbers may be pieces, or every digit is one."""
    scripts_apart: bool = True
    """Let no piece hold characters of two scripts: Chinese and Latin stay apart."""
    prefix_space: bool = True
    """Put a space before the text, so that its first word is the same as inside."""
    collapse_spaces: bool = True
    """Drop spaces at either end and repeated ones; text with indentation needs this off."""
    max_piece_chars: int = Field(16, ge=1)
    """Longest piece, in characters."""

    @model_validator(mode="after")
    def _check_size(self) -> Unigram:
        needed = 3 + len(self._specials()) + self.sentinels + (NUM_BYTES + len(BYTE_CHARS)) * self.byte_fallback
        if self.vocab_size <= needed:
            raise ValueError(f"vocab_size {self.vocab_size} has no room: specials, sentinels and bytes take {needed}")
        return self

    def _specials(self) -> list[str]:
        return [token for token in dict.fromkeys(self.special_tokens) if token not in (PAD, END, UNKNOWN)]

    def specials(self) -> Specials:
        """Return the three that T5 has, those asked for, and the sentinels."""
        tokens = (PAD, END, UNKNOWN, *self._specials(), *self._sentinels())
        return Specials({"pad": PAD, "eos": END, "unk": UNKNOWN}, tokens)

    def make(self, texts: Texts, console: Console) -> PreTrainedTokenizerFast:
        """Train and return the tokenizer.

        Raises:
            ConfigError: The characters of the text alone are more than `vocab_size`.
            DataError: There is no text.
        """
        console.info(f"training a Unigram model of {self.vocab_size:,} tokens")
        tokenizer = to_tokenizer(read_model(self.train(texts), "the trained model"))
        if self.sentinels:
            tokenizer.add_special_tokens({"extra_special_tokens": self._sentinels()})
        return tokenizer

    def _sentinels(self) -> list[str]:
        return [f"<extra_id_{number}>" for number in reversed(range(self.sentinels))]

    def train(self, texts: Texts) -> bytes:
        """Return the SentencePiece model file, which has no sentinels."""
        import sentencepiece

        model = io.BytesIO()
        lines = self._lines(texts)
        first = next(lines, None)
        if first is None:
            raise DataError("there is no text to train the tokenizer on", "check the train split of the corpus")
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=_chain(first, lines),
                model_writer=model,
                model_type="unigram",
                vocab_size=self.vocab_size - self.sentinels,
                hard_vocab_limit=False,
                num_threads=NUM_THREADS,
                normalization_rule_name="identity" if self.normalizer == "none" else self.normalizer,
                byte_fallback=self.byte_fallback,
                # A literal `<0x41>` must be worth more as characters than as the byte it names.
                required_chars=BYTE_CHARS if self.byte_fallback else "",
                character_coverage=self.character_coverage,
                split_digits=self.digits == "one",
                split_by_unicode_script=self.scripts_apart,
                add_dummy_prefix=self.prefix_space,
                remove_extra_whitespaces=self.collapse_spaces,
                allow_whitespace_only_pieces=not self.collapse_spaces,
                max_sentencepiece_length=self.max_piece_chars,
                max_sentence_length=8 * LINE_CHARS,
                control_symbols=self._specials(),
                pad_id=0,
                eos_id=1,
                unk_id=2,
                bos_id=-1,
                pad_piece=PAD,
                eos_piece=END,
                unk_piece=UNKNOWN,
                minloglevel=2,
            )
        except RuntimeError as error:
            raise_limit(error)
            raise _explain(error, self.vocab_size) from error
        return model.getvalue()

    def _lines(self, texts: Texts) -> Iterator[str]:
        for text in self.sample(texts):
            for line in text.split("\n"):
                start = 0
                while len(line) - start > LINE_CHARS:
                    space = line.rfind(" ", start, start + LINE_CHARS)
                    stop = space if space > start else start + LINE_CHARS
                    yield line[start:stop]
                    start = stop
                if line[start:].strip():
                    yield line[start:]


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _explain(error: RuntimeError, vocab_size: int) -> ConfigError:
    last = str(error).rpartition("] ")[2] or str(error)
    return ConfigError(
        f"tokenizer.vocab_size: sentencepiece cannot train {vocab_size:,} tokens: {last.strip()}",
        "raise tokenizer.vocab_size or lower tokenizer.character_coverage",
    )
