"""Supervised fine-tuning: predict what the assistant says, or the completion of a prompt (Ouyang et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llmkit.core.errors import DataError
from llmkit.data.borders import borders_of, literal_specials
from llmkit.data.chat import CONVERSATIONS
from llmkit.data.targets import Encoded, encode_chats
from llmkit.data.windows import shorter_chats
from llmkit.modeling.coverage import coverage_of
from llmkit.objectives import NextToken
from llmkit.objectives.rows import IGNORED, LEARNED_MARK, LONG, Example, LeftOut, RowObjective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.data.packing import EncodedRows
    from llmkit.data.rows import Row

NOTES = {
    "rewritten": "answers are read but not learned: the chat template writes them otherwise once more follows",
    "altered": "answers are learned as the chat template writes them, not as the data has them",
    "joined": "answers are read but not learned: the tokenizer joins them with the prompt or with what follows",
}
"""What is said of answers that are not learned as they are, by the name of their number in `Encoded`."""
FAST_FROM = 64
"""Rows from which a fast encoder wins back the time that it takes to make."""


class SFT(NextToken, RowObjective):
    """Loss on the assistant's tokens only, the end of its turn included.

    A conversation longer than a block loses its first exchanges; its last answer and the end of that are never cut.
    """

    rows: ClassVar[tuple[str, ...]] = CONVERSATIONS
    layout: ClassVar[Literal["pack", "pad", "bucket"]] = "pack"
    target: ClassVar[str] = "assistant tokens"
    chats: ClassVar[bool] = True
    notes: ClassVar[Mapping[str, str]] = NOTES
    splits: ClassVar[bool] = True

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Example | LeftOut]:
        """Return `input_ids` and `labels` of each conversation; -100 where nothing is learned."""
        from llmkit.modeling.templated import templated_encoder

        conversations = [kind.turns(row) or [] for row in rows]
        fakes = [token is not None for token in literal_specials(tokenizer, conversations)]
        whole = [turns for turns, fake in zip(conversations, fakes, strict=True) if not fake]
        fast = templated_encoder(tokenizer) if len(rows) >= FAST_FROM else None
        encoded = iter(encode_chats(tokenizer, whole, fast))
        found: list[Example | LeftOut] = []
        for fake in fakes:
            if fake:
                found.append(LeftOut("literal_special", "a message holds a special token literally"))
                continue
            made = next(encoded)
            if isinstance(made, DataError):
                found.append(LeftOut("refused", made.message))
            else:
                found.append(self._example(made, tokenizer, limit))
        return found

    def shorter(
        self, row: Mapping[str, Any], kind: Row, fits: Callable[[Mapping[str, Any]], bool], *, split: bool
    ) -> tuple[Sequence[Mapping[str, Any]], int]:
        """Return the conversation without its first exchanges, or cut between exchanges into several."""
        return shorter_chats(row, kind.turns(row) or [], fits, split=split)

    def marks(self, example: Example, name: str) -> list[str]:
        """Return what is learned; of the last token of an answer also that its end is, where no token says so."""
        ids, labels = (np.asarray(example.columns[column]) for column in (name, "labels"))
        learned = np.append(False, labels[:-1] == ids[1:]) & np.append(False, labels[:-1] != IGNORED)
        taught = np.append(ids[1:] != labels[:-1], not example.cut) & (labels != IGNORED)
        marks = np.where(learned, LEARNED_MARK, "").astype(object)
        marks[taught] = f"{LEARNED_MARK}, and the end"
        found: list[str] = marks.tolist()
        return found

    def end_ids(self, tokenizer: PreTrainedTokenizerFast, rows: EncodedRows) -> list[int]:
        """Return EOS, and what the template ends the assistant's turn with: the last target of every answer."""
        ids = super().end_ids(tokenizer, rows)
        ender = borders_of(tokenizer).ender_id
        return ids if ender is None or ender in ids else [*ids, ender]

    @staticmethod
    def _example(made: Encoded, tokenizer: PreTrainedTokenizerFast, limit: int) -> Example | LeftOut:
        ids, labels = made.ids, made.labels
        notes = {name: number for name in NOTES if (number := getattr(made, f"num_{name}"))}
        if not made.answers and (made.num_rewritten or made.num_joined):
            return LeftOut("untaught", "no answer can be learned in the context that inference will show it")
        said = [answer.content for answer in made.answers]
        num_bytes, unread = sum(len(text.encode()) for text in said), coverage_of(tokenizer).measure(said)
        learned = np.flatnonzero(labels != IGNORED)
        if not learned.size:
            return LeftOut("unsupervised", "no assistant tokens")
        if learned[-1] >= limit:
            return LeftOut(
                LONG, f"an answer that does not fit into context_length {limit:,} with its question", ids.size
            )
        ids, labels = ids[:limit], labels[:limit]  # nothing is learned behind that
        return Example({"input_ids": ids, "labels": labels}, learned.size, num_bytes, notes=notes, unread=unread)
