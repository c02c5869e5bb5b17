"""The likelihood of a text behind a context, encoded as lm-evaluation-harness does it.

Context and continuation are encoded together and cut where the ids of the context alone end; white space at the end of
the context is moved to the continuation, since most tokenizers join it with the word that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.runtimes import Ids, Score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Pair = tuple[str, str]
"""A context, and what is scored behind it."""


class PairEncoder:
    """Encodes contexts and continuations.

    Args:
        tokenizer: The model's.
        start: The id that a text without a context is scored from.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, start: int) -> None:
        self.tokenizer, self.start = tokenizer, start
        begins = tokenizer("a")["input_ids"][:1]
        self._begin: Ids = (start,) if begins == [tokenizer.bos_token_id] else ()
        self._start_text = str(tokenizer.decode(start))

    def encode(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return what to ask for each pair; a target is empty where the tokenizer merges it into the context."""
        moved = [_moved(context, continuation) for context, continuation in pairs]
        wholes = self._ids([context + continuation for context, continuation in moved])
        alone = dict.fromkeys(context for context, _ in moved if context)
        contexts = dict(zip(alone, self._ids(list(alone)), strict=True))
        made = []
        for (context, continuation), whole in zip(moved, wholes, strict=True):
            if context:
                ids = self._from_start(contexts[context], context)
                made.append(Score(ids, self._from_start(whole, context + continuation)[len(ids) :]))
            elif whole[:1] == (self.start,):
                made.append(Score(whole[:1], whole[1:]))
            else:
                made.append(Score((self.start,), whole))
        return made

    def _ids(self, texts: list[str]) -> list[Ids]:
        if not texts:
            return []
        encoded = self.tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
        return [tuple(ids) for ids in encoded["input_ids"]]

    def _from_start(self, ids: Ids, text: str) -> Ids:
        """Return the ids as the tokenizer begins a text, whose first token a chat template may have written."""
        return ids if text.startswith(self._start_text) else self._begin + ids


def _moved(context: str, continuation: str) -> Pair:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def fitted(request: Score, max_length: int, *, cut: bool) -> tuple[Score | None, bool]:
    """Return a request that fits into a model, and whether its context was cut; None where it cannot.

    Args:
        request: Context and target.
        max_length: Positions of the model; the last target takes none.
        cut: Leave out the beginning of a context that is too long, as lm-evaluation-harness does.
    """
    over = len(request.context) + len(request.target) - max_length - 1
    if over <= 0:
        return request, False
    if not cut or over >= len(request.context):
        return None, False
    return Score(request.context[over:], request.target), True
