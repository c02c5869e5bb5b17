"""Train a WordPiece vocabulary as BERT has it (Devlin et al. 2019), with `tokenizers`, the same ids every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import Field

from llmkit.core.errors import ConfigError, DataError
from llmkit.tokenization.trainers import Specials, Texts
from llmkit.tokenization.trainers._alphabet import Alphabet, count_alphabet
from llmkit.tokenization.trainers._long_words import LongWords
from llmkit.tokenization.trainers._training import TrainedPart

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console

PAD, UNKNOWN, START, SEPARATOR, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUING = "##"


class Wordpiece(TrainedPart):
    """WordPiece as BERT has it: words cut at white space and punctuation, pieces inside a word begin with `##`.

    A word with a character outside the alphabet is `[UNK]`. Ids go `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`, other
    special tokens, characters, `##` characters, then merges as they were found; characters by code point. The same
    text gives the same bytes in `tokenizer.json` every time. Words of more than 1,000 characters are trained on in
    pieces of that length, which a warning says.
    """

    vocab_size: int = Field(30522, gt=len(SPECIALS), le=2**24)
    """Tokens in all, special tokens included."""
    lowercase: bool = True
    """Put text into lower case."""
    strip_accents: bool | None = None
    """Take accents off letters; null does what `lowercase` does."""
    chinese_characters: bool = True
    """Make every Chinese character a word of its own."""
    clean_text: bool = True
    """Drop control characters and make all white space plain spaces."""
    max_alphabet: int | None = Field(None, gt=0)
    """Characters to keep at most, the most frequent ones; null for a quarter of the vocabulary."""
    min_frequency: int = Field(1, ge=1)
    """A pair seen fewer times is not merged."""

    def specials(self) -> Specials:
        """Return BERT's five and those asked for."""
        roles = {"pad": PAD, "unk": UNKNOWN, "cls": START, "sep": SEPARATOR, "mask": MASK}
        return Specials(roles, tuple(self._specials()))

    def make(self, texts: Texts, console: Console) -> PreTrainedTokenizerFast:
        """Train and return the tokenizer.

        Raises:
            ConfigError: The characters of the text alone are more than `vocab_size`.
            DataError: There is no text.
        """
        from tokenizers import Tokenizer, decoders, models, processors
        from transformers import PreTrainedTokenizerFast

        console.info(f"training a WordPiece vocabulary of {self.vocab_size:,} tokens")
        vocabulary = {token: i for i, token in enumerate(self._train(texts, console))}
        tokenizer = self._prepare(
            Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN, max_input_chars_per_word=100))
        )
        tokenizer.decoder = decoders.WordPiece(prefix=CONTINUING)
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{START} $A {SEPARATOR}",
            pair=f"{START} $A {SEPARATOR} $B:1 {SEPARATOR}:1",
            special_tokens=[(token, vocabulary[token]) for token in (START, SEPARATOR)],
        )
        tokenizer.add_special_tokens(self._specials())
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            unk_token=UNKNOWN,
            cls_token=START,
            sep_token=SEPARATOR,
            pad_token=PAD,
            mask_token=MASK,
            clean_up_tokenization_spaces=False,
        )

    def _specials(self) -> list[str]:
        return list(dict.fromkeys([*SPECIALS, *self.special_tokens]))

    def _prepare(self, tokenizer: Tokenizer) -> Tokenizer:
        from tokenizers import normalizers, pre_tokenizers

        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=self.clean_text,
            handle_chinese_chars=self.chinese_characters,
            strip_accents=self.strip_accents,
            lowercase=self.lowercase,
        )
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        return tokenizer

    def _train(self, texts: Texts, console: Console) -> list[str]:
        """Return the tokens in the order of their ids."""
        from tokenizers import Tokenizer, models, trainers

        tokenizer = self._prepare(Tokenizer(models.WordPiece(unk_token=UNKNOWN)))
        alphabet = count_alphabet(self.sample(texts), tokenizer, self.max_alphabet or max(1, self.vocab_size // 4))
        specials = self._specials()
        # The trainer numbers `##` characters as it meets them in a hash map and breaks ties between merges by these
        # numbers, so that two runs differ. Named as special tokens they have their numbers beforehand.
        continuing = [CONTINUING + character for character in alphabet.continuing]
        self._check(alphabet, len(specials) + len(alphabet.characters) + len(continuing))
        trainer = trainers.WordPieceTrainer(
            vocab_size=self.vocab_size,
            min_frequency=self.min_frequency,
            special_tokens=[*specials, *continuing],
            limit_alphabet=len(alphabet.characters),
            continuing_subword_prefix=CONTINUING,
            show_progress=False,
        )
        words = LongWords(tokenizer.pre_tokenizer)
        tokenizer.train_from_iterator(words.cut(self.sample(texts)), trainer)
        words.say(console)
        ids: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
        first = dict.fromkeys([*specials, *alphabet.characters, *continuing])
        return [*first, *(token for token in sorted(ids, key=ids.__getitem__) if token not in first)]

    def _check(self, alphabet: Alphabet, needed: int) -> None:
        if not alphabet.characters:
            raise DataError("there is no text to train the tokenizer on", "check the train split of the corpus")
        if needed > self.vocab_size:
            raise ConfigError(
                f"tokenizer.vocab_size: {self.vocab_size:,} has no room for the {len(alphabet.characters):,} "
                f"characters of the text, which take {needed:,} tokens",
                f"set tokenizer.vocab_size above {needed:,}, or lower tokenizer.max_alphabet",
            )
