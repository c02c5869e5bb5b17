"""Passages of one's own texts, tables and facts: cut, indexed, found by words and by meaning, put before a question."""

from __future__ import annotations

from llmkit.retrieval.citing import prompt
from llmkit.retrieval.retriever import Passage, Retriever

__all__ = ["Passage", "Retriever", "prompt"]
