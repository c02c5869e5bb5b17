"""Texts that follow a JSON schema: which tokens may come next, by llguidance."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from llmkit.core.errors import DataError
from llmkit.core.extras import require
from llmkit.core.json import dumps
from llmkit.serving.engine import RefusedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from llmkit.runtimes import Running

FIELD = "response_format"
ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
BLANKS: Any = {"whitespace_flexible": True, "whitespace_pattern": r"[\x20\n]{1,16}"}
"""Between parts of JSON: without a bound a model may write blanks until its tokens are used up."""


class Grammars:
    """Grammars over the tokens of one model.

    Args:
        running: The model.

    Raises:
        RefusedError: Its tokens are not those of bytes.
    """

    def __init__(self, running: Running) -> None:
        require("serve", "llguidance")
        import llguidance

        tokenizer = running.tokenizer
        assert tokenizer is not None
        backend = copy(tokenizer.backend_tokenizer)
        backend.no_padding()
        backend.no_truncation()
        ends = sorted(running.facts.ends or ()) or [tokenizer.eos_token_id]
        try:
            self.tokenizer = llguidance.LLTokenizer(backend.to_str(), eos_token=ends)
        except Exception as error:  # noqa: BLE001 - it names no kinds
            raise RefusedError(
                FIELD, f"the tokenizer of this model is none that a grammar can be put on: {error}"
            ) from None
        self._lock = Lock()

    def compiled(self, schema: Mapping[str, Any] | Literal[True]) -> Any:
        """Return a matcher at its start.

        Raises:
            RefusedError: The schema is none, has a keyword that cannot be enforced, or no text follows it.
        """
        from llguidance import LLMatcher

        asked = ANY_OBJECT if schema is True else schema
        try:
            grammar = LLMatcher.grammar_from_json_schema(dumps(asked), overrides=BLANKS)
        except ValueError as error:
            raise RefusedError(FIELD, f"the JSON schema cannot be followed: {error}") from None
        _, words = LLMatcher.validate_grammar_with_warnings(grammar, self.tokenizer)
        if words:
            raise RefusedError(FIELD, f"the JSON schema cannot be followed: {words[0].splitlines()[0]}")
        found = LLMatcher(self.tokenizer, grammar, log_level=0)
        if not any(found.compute_bitmask()) or found.is_error() or found.is_stopped():
            raise RefusedError(FIELD, "the JSON schema cannot be followed: no text does")
        return found


class Grammar:
    """What one text has to follow.

    Args:
        matcher: At its start.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self.over = False

    @classmethod
    def of(cls, grammars: Grammars, schema: Mapping[str, Any] | Literal[True]) -> Grammar:
        """Return the grammar of a schema; see `Grammars.compiled`."""
        return cls(grammars.compiled(schema))

    def allowed(self, size: int) -> NDArray[np.bool_]:
        """Return `[size]` which tokens may come next.

        Raises:
            DataError: It has come to a place from where it does not know on.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        found = np.zeros(size, np.bool_)
        known = np.unpackbits(bits, bitorder="little")[:size].view(np.bool_)
        found[: len(known)] = known
        if self._matcher.is_error() or not found.any():
            raise DataError("the text cannot be gone on with as its JSON schema says: no token may follow")
        return found

    def add(self, token: int) -> None:
        """Take a token in; `over` tells whether nothing may follow it."""
        self._matcher.consume_token(token)
        self.over = bool(self._matcher.is_stopped())
