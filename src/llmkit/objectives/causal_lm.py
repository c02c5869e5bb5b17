"""Causal language modelling: predict every next token (Radford et al. 2018, "Improving Language Understanding")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.objectives import NextToken

if TYPE_CHECKING:
    from llmkit.modeling.tokenizer import SpecialIds


class CausalLM(NextToken):
    """Predict each next token of packed documents, `BOS tokens EOS` each, isolated from each other."""

    def specials(self, ids: SpecialIds) -> tuple[list[int], list[int]]:
        """Return BOS (else EOS) before a document and EOS, where there is one, after it."""
        return [ids.bos], [] if ids.eos is None else [ids.eos]
