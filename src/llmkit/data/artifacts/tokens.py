"""Tokenized documents: the tokenizer, and Arrow shards for each split, as `datasets.load_from_disk` reads them.

    DIR/tokenizer.json ...  tokens.json  report.json  report.html
    DIR/dataset_dict.json
    DIR/train/data-00000-of-00002.arrow ...  state.json  dataset_info.json

A shard is one record batch, so that its ids are one memory-mapped array; a row is one document, without special tokens:
`{"id": "a.txt:0:9f2c", "source": "web", "language": "en", "num_bytes": 11, "input_ids": [31, 7, 902], "segments": [0]}`

Written by `llmkit.data.token_shards`, read by `llmkit.data.token_reader`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from llmkit.core.durable import write_json
from llmkit.core.reading import read_json, reading
from llmkit.data.artifacts._folder import Folder
from llmkit.data.split import Split
from llmkit.data.unread import Unread

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "additional_chat_templates/*.jinja", "vocab.json", "source.spm", "target.spm", "sentencepiece.bpe.model",
)  # fmt: skip
FACTS = "tokens.json"
WIDE = 2**16
"""The ids of a larger vocabulary are stored in 32 bits."""


class Tokens(Folder):
    """Kind `tokens`."""

    KIND = "tokens"
    PAYLOAD = (*TOKENIZER_FILES, "*/data-*.arrow", FACTS)
    COUNTS = "report.json"
    """What was counted of every source and split, for programs."""
    DICT, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
    """Names that `datasets` asks for: of the folder, and in that of a split."""

    @staticmethod
    def shard_name(number: int, of: int) -> str:
        """Return the name of one of a split's shards."""
        return f"data-{number:05d}-of-{of:05d}.arrow"

    def is_there(self) -> bool:
        """Whether the folder holds tokens."""
        return (self.path / FACTS).is_file()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """`vocab_size`, `dtype`, `tokenizer_digest`, the fractions, and `splits` with tokens, documents and bytes.

        Raises:
            DataError: The file is damaged.
        """
        facts = read_json(self.path / FACTS, "vocab_size", "tokenizer_digest", "splits")
        with reading(self.path / FACTS):
            sizes = [facts["vocab_size"], *(counts["tokens"] for counts in facts["splits"].values())]
            if not all(type(size) is int and size >= 0 for size in sizes):
                raise ValueError(f"sizes that are none: {', '.join(map(str, sizes))}")
        return facts

    def has(self, split: Split) -> bool:
        """Whether any document is on that side."""
        return (self.path / split).is_dir()

    def unread(self, split: Split) -> Unread:
        """What the tokenizer did not read of a split's text; nothing where nobody counted it."""
        return Unread.in_counts(self.facts["splits"].get(split, {})) if self.is_there() else Unread()

    def write_facts(
        self, *, vocab_size: int, tokenizer_digest: str, splits: Mapping[str, Any], fractions: Mapping[str, float]
    ) -> None:
        """Write `facts`, after all else."""
        facts = {
            "vocab_size": vocab_size,
            "dtype": "uint16" if vocab_size <= WIDE else "uint32",
            "tokenizer_digest": tokenizer_digest,
            "splits": splits,
            **fractions,
        }
        write_json(self.path / FACTS, facts)
