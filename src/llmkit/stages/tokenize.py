"""tokenize: train or take a tokenizer and encode corpora into the token artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from llmkit.core.artifact import Build
from llmkit.core.config import Config as BaseConfig
from llmkit.core.config import NotIdentity
from llmkit.core.context import Context, Result
from llmkit.core.durable import write_json
from llmkit.core.errors import DataError
from llmkit.core.inputs import Inputs
from llmkit.core.manifest import Artifact, open_artifact
from llmkit.data.tokens import TOKENS_FILE
from llmkit.modeling.tokenizer import load_tokenizer, tokenizer_digest, vocabulary_size
from llmkit.tokenization.encode import encode_corpora, training_texts
from llmkit.tokenization.train import CHAT_TOKENS, NUM_BYTES, train_bpe

VERSION = 1
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


class TokenizerConfig(BaseConfig):
    """The tokenizer: trained here, or taken from a directory."""

    type: Literal["bpe"] = "bpe"
    """What to train: byte-level BPE."""
    vocab_size: int = Field(16384, gt=NUM_BYTES, le=2**24)
    """Tokens in all, special tokens and the 256 bytes included."""
    special_tokens: list[str] = list(CHAT_TOKENS)
    """Special tokens beside `<|endoftext|>` and `<|pad|>`; by default those of the chat template, so that fine-tuning
    needs no new embedding rows."""
    path: Annotated[str | None, NotIdentity] = None
    """Directory of an existing tokenizer to use instead of training one; then the other fields do not count."""

    @field_validator("special_tokens")
    @classmethod
    def _check_special(cls, tokens: list[str]) -> list[str]:
        for token in tokens:
            if len(token) < 2:
                raise ValueError(f"special token {token!r} needs two characters or more: single ones stand for bytes")
        return tokens

    @model_validator(mode="after")
    def _check_size(self) -> TokenizerConfig:
        needed = NUM_BYTES + 2 + len(self.special_tokens)
        if self.vocab_size < needed:
            raise ValueError(
                f"vocab_size {self.vocab_size} has no room for 256 bytes and {needed - NUM_BYTES} specials"
            )
        return self


class Config(BaseConfig):
    """Config of `llmkit tokenize`."""

    inputs: Annotated[list[str], NotIdentity] = Field(min_length=1)
    """Corpus artifacts, in this order."""
    tokenizer: TokenizerConfig = TokenizerConfig()
    """The tokenizer."""
    validation_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the documents, by a hash of their text, that training never sees and validates on."""
    test_fraction: float = Field(0.02, ge=0, lt=1)
    """Share of the documents held out for `llmkit eval`."""

    @model_validator(mode="after")
    def _check_fractions(self) -> Config:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        return self


def run(config: Config, context: Context) -> Result:
    """Tokenize corpora."""
    inputs = Inputs()
    corpora = [inputs.add_artifact(path, "corpus", role="inputs") for path in config.inputs]
    if config.tokenizer.path is not None:
        inputs.add_directory(config.tokenizer.path, ("tokens", "model", "export"), role="tokenizer")
    with context.build("tokenize", VERSION, config, inputs) as build:
        if build.finished:
            return Result(build.finished, up_to_date=True)
        context.announce(build)
        return _tokenize(config, context, build, corpora)


def _tokenize(config: Config, context: Context, build: Build, corpora: list[Path]) -> Result:
    fractions = {"validation_fraction": config.validation_fraction, "test_fraction": config.test_fraction}
    if config.tokenizer.path is not None:
        tokenizer = load_tokenizer(config.tokenizer.path)
    else:
        context.console.info(f"training a byte-level BPE of {config.tokenizer.vocab_size:,} tokens")
        tokenizer = train_bpe(
            training_texts(corpora, **fractions),
            vocab_size=config.tokenizer.vocab_size,
            special_tokens=config.tokenizer.special_tokens,
            show_progress=False,
        )
    tokenizer.save_pretrained(build.dir)
    total = sum(open_artifact(path, "corpus", role="inputs").manifest.metrics["bytes_kept"] for path in corpora)
    with context.console.progress("encoding", total=total / 1e6, unit="MB") as progress:
        counts = encode_corpora(corpora, tokenizer, build.dir, progress, **fractions)
    if not counts.get("train") or counts["train"].num_tokens == 0:
        raise DataError(f"the train split is empty: {total:,} bytes of text gave no training document")
    vocab_size = vocabulary_size(tokenizer)
    splits = {split: vars_of(count) for split, count in counts.items()}
    num_tokens = sum(count.num_tokens for count in counts.values())
    num_bytes = sum(count.num_bytes for count in counts.values())
    metrics = {"vocab_size": vocab_size, "splits": splits, "bytes_per_token": round(num_bytes / max(num_tokens, 1), 4)}
    write_json(
        build.dir / TOKENS_FILE,
        {
            "vocab_size": vocab_size,
            "dtype": "uint16" if vocab_size <= 2**16 else "uint32",
            "tokenizer_digest": tokenizer_digest(build.dir),
            "splits": splits,
            **fractions,
        },
    )
    artifact = build.finish("tokens", payload=[*TOKENIZER_FILES, "*/data-*.arrow", TOKENS_FILE], metrics=metrics)
    notes = []
    if config.tokenizer.path is None and vocab_size < config.tokenizer.vocab_size:
        notes.append(f"note: the text gave only {vocab_size:,} of {config.tokenizer.vocab_size:,} tokens")
    return Result(artifact, notes=notes)


def summarize(artifact: Artifact) -> list[tuple[str, str]]:
    """Return label and value pairs: the tokenizer, and what each split holds."""
    metrics = artifact.manifest.metrics
    return [
        ("tokenizer", f"{metrics['vocab_size']:,} tokens, {metrics['bytes_per_token']:.2f} bytes per token"),
        *(
            (split, f"{counts['tokens']:,} tokens, {counts['documents']:,} documents")
            for split, counts in metrics["splits"].items()
        ),
    ]


def vars_of(count: Any) -> dict[str, int]:
    """Return a split's counts as plain values."""
    return {"documents": count.num_documents, "tokens": count.num_tokens, "bytes": count.num_bytes}
