"""Take a tokenizer as it is, or with tokens added to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from llmkit.core.config import NotIdentity
from llmkit.core.errors import ConfigError, DataError, nearest
from llmkit.core.machine import raise_limit
from llmkit.modeling.literal import merges_without
from llmkit.modeling.sentencepiece_model import read_model
from llmkit.modeling.sentencepiece_pipeline import exceptions
from llmkit.modeling.token_bytes import is_byte_level, token_bytes
from llmkit.modeling.tokenizer import id_sections, vocabulary_size
from llmkit.tokenization.borrow import load, locate, sentencepiece_file, tokenizer_files
from llmkit.tokenization.trainers import Texts, TokenizerPart
from llmkit.tokenization.trainers._patterns import Pattern

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.core.console import Console


class Existing(TokenizerPart):
    """A tokenizer made elsewhere, as it is or with tokens added.

    Added tokens get the ids behind the last one; they are found in text wherever they stand, before anything else.
    """

    path: Annotated[str, NotIdentity] = Field(min_length=1)
    """Directory of a tokenizer, token artifact or model; tokenizer.json; SentencePiece `.model`; vocab.json with
    merges.txt beside it; tiktoken file; model in GGUF; or a name on the hub."""
    add_tokens: list[Annotated[str, Field(min_length=1)]] = []
    """Tokens to add, such as words of a domain or a language."""
    add_tokens_from: Annotated[str | None, NotIdentity] = None
    """UTF-8 file with more tokens to add, one a line."""
    add_special_tokens: list[Annotated[str, Field(min_length=1)]] = []
    """Special tokens to add, such as those of a chat template; text never becomes one of them."""
    bos_token: str | None = None
    """The token that begins documents, where the tokenizer does not say."""
    eos_token: str | None = None
    """The token that ends documents, where the tokenizer does not say."""
    pad_token: str | None = None
    """The token that pads, where the tokenizer does not say."""
    pattern: Pattern | None = None
    """How a tiktoken file cuts text into words; null for what its name tells."""

    def needs_text(self) -> bool:
        """Say no: nothing is trained."""
        return False

    def reads(self) -> list[Path]:
        """Return the files of the tokenizer, or its directory where it is one of our artifacts, and the added tokens.

        Raises:
            DataError: There is no such place, or no tokenizer in it.
        """
        listed = [] if self.add_tokens_from is None else [Path(self.add_tokens_from).expanduser()]
        for file in listed:
            if not file.is_file():
                raise DataError(f"tokenizer.add_tokens_from: no such file: {file}", f"ls {file.parent}")
        return [*tokenizer_files(locate(self.path)), *listed]

    def make(self, texts: Texts, console: Console) -> PreTrainedTokenizerFast:  # noqa: ARG002 - the interface
        """Load the tokenizer and add the tokens.

        Raises:
            ConfigError: A token to add is how the vocabulary writes bytes; a role names a token that is not there; or a
                special token is one that text is made of.
            DataError: The tokenizer cannot be used, or its ids have gaps where tokens are to be added.
        """
        from tokenizers import AddedToken

        tokenizer = load(locate(self.path), self.pattern)
        before = tokenizer.get_vocab()
        self._check_bytes(tokenizer, before)
        for token in self.add_special_tokens:
            _check_special(tokenizer, before, "add_special_tokens", token)
        tokenizer.add_tokens([AddedToken(token, normalized=False) for token in self._added()])
        if self.add_special_tokens:
            special = [AddedToken(token, normalized=False, special=True) for token in self.add_special_tokens]
            tokenizer.add_special_tokens({"extra_special_tokens": special}, replace_extra_special_tokens=False)
        _check_ids(before, tokenizer.get_vocab())
        for role in ("bos_token", "eos_token", "pad_token"):
            token = getattr(self, role)
            if token is None:
                continue
            if token not in tokenizer.get_vocab():
                special = tokenizer.get_added_vocab()
                raise ConfigError(
                    f"tokenizer.{role}: the tokenizer has no token {token!r}{nearest(token, special)}",
                    f"add it with tokenizer.add_special_tokens=['{token}']",
                )
            _check_special(tokenizer, before, role, token)
            tokenizer.add_special_tokens({role: token})
        return tokenizer

    def notes(self, tokenizer: PreTrainedTokenizerFast) -> list[str]:
        """Say whose ids they are, which embedding rows are new to a model of the tokenizer, and how to name an EOS."""
        notes = []
        if file := sentencepiece_file(locate(self.path)):
            found = exceptions(read_model(file.read_bytes(), str(file)))
            notes.append("note: ids are those of sentencepiece" + f"; only {', and '.join(found)}" * bool(found))
        if self._added() or self.add_special_tokens:
            before, now = vocabulary_size(load(locate(self.path), self.pattern)), vocabulary_size(tokenizer)
            if now > before:
                rows = f"rows {before}..{now - 1} are new" if now > before + 1 else f"row {before} is new"
                notes.append(f"note: {rows}: a model needs {now:,} embedding rows instead of {before:,}")
            else:
                notes.append(f"note: the tokens to add were all there; the vocabulary stays at {now:,}")
        if tokenizer.eos_token_id is None and tokenizer.sep_token_id is None:
            notes.append("note: tokenizer.eos_token may name the token that ends documents")
        return notes

    def _added(self) -> list[str]:
        listed: list[str] = []
        if self.add_tokens_from is not None:
            try:
                listed = Path(self.add_tokens_from).expanduser().read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise_limit(error)
                raise DataError(f"tokenizer.add_tokens_from: {self.add_tokens_from} cannot be read: {error}") from error
        return list(dict.fromkeys([*self.add_tokens, *(line.strip() for line in listed if line.strip())]))

    def _check_bytes(self, tokenizer: PreTrainedTokenizerFast, vocabulary: Mapping[str, int]) -> None:
        """Refuse tokens such as `£`, which a byte-level vocabulary writes the byte A3 with: they would get its id."""
        if not (self._added() or self.add_special_tokens) or not is_byte_level(tokenizer):
            return
        contents = token_bytes(tokenizer)
        for field, tokens in (("add_tokens", self._added()), ("add_special_tokens", self.add_special_tokens)):
            for token in tokens:
                if token in vocabulary and contents[vocabulary[token]] != token.encode():
                    written = contents[vocabulary[token]].hex(" ").upper()
                    raise ConfigError(
                        f"tokenizer.{field}: the vocabulary writes the bytes {written} as {token!r}",
                        "leave it out: text with it is encoded byte by byte",
                    )


def _check_ids(before: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Refuse ids that are taken: `tokenizers` numbers new tokens by the count, whatever gaps the ids have."""
    names = {i: token for token, i in before.items()}
    for token, i in now.items():
        if token not in before and i in names:
            raise DataError(
                f"the ids of the tokenizer have gaps: the new token {token!r} would get the id {i} of {names[i]!r}",
                "take a tokenizer without gaps, or add no tokens",
            )


def _check_special(tokenizer: PreTrainedTokenizerFast, before: Mapping[str, int], field: str, token: str) -> None:
    """Refuse a token that BPE makes text of: text never becomes a special token."""
    if token not in before:
        return
    if any(added.special and added.content == token for added in tokenizer.added_tokens_decoder.values()):
        return
    model = id_sections(tokenizer.backend_tokenizer)["model"]
    if model["type"] != "BPE" or token not in model["vocab"]:
        return
    if len(token) == 1 or len(merges_without(model, {token})) < len(model["merges"]):
        raise ConfigError(
            f"tokenizer.{field}: {token!r} is a token of ordinary text, which would lose it",
            "name a special token, or add a new one with tokenizer.add_special_tokens",
        )
