"""Passages that are searched, by their words and, where a model made vectors of them, by their meaning.

DIR/README.md  data-00000.parquet ...  index.json  bm25/  vectors.npy
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmkit.core.digest import digest_file, digest_text
from llmkit.core.durable import write_json
from llmkit.core.reading import read_json
from llmkit.data.artifacts.corpus import Corpus


class Index(Corpus):
    """Kind `index`."""

    KIND = "index"
    FACTS = "index.json"
    WORDS = "bm25"
    """Folder of the library that counts words."""
    VECTORS = "vectors.npy"
    PAYLOAD = (*Corpus.PAYLOAD, FACTS, f"{WORDS}/*", VECTORS)

    @property
    def words(self) -> Path:
        """What is searched by words."""
        return self.path / self.WORDS

    @property
    def vectors(self) -> Path:
        """Vectors `[passages, dimensions]`, each one long; not there without a model."""
        return self.path / self.VECTORS

    def write_facts(self, facts: dict[str, Any]) -> None:
        """Write what those who search have to know."""
        write_json(self.path / self.FACTS, facts)

    def write_card(self, passages: int, dimensions: int) -> None:
        """Write the dataset card README.md; see `llmkit.data.corpus.write_card` for what its head is for."""
        digest = digest_text(" ".join(digest_file(path) for path in self.files()))
        vectors = f", and by vectors of {dimensions:,} dimensions" if dimensions else ""
        lines = [
            "---",
            "configs:",
            "- config_name: default",
            f"  data_files: {self.PAYLOAD[0]}",
            f"  description: digest {digest[:32]}",
            "---",
            "",
            "# Index",
            "",
            f"{passages:,} passages, made by `llmkit index`, to be found by their words{vectors}:",
            "",
            "```sh",
            'llmkit search DIR "..."',
            "```",
            "",
            "What it was made from: `llmkit lineage DIR`.",
            "",
        ]
        self.card.write_text("\n".join(lines), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Return what was written.

        Raises:
            DataError: The file is missing or damaged.
        """
        return read_json(self.path / self.FACTS, "passages", "triples", "prompts")
