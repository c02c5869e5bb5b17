"""Supervised fine-tuning: predict what the assistant says, or the completion of a prompt (Ouyang et al. 2022)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llmkit.core.errors import DataError
from llmkit.data.borders import borders_of, literal_specials
from llmkit.data.chat import CONVERSATIONS, TrainOn, Turn, is_empty, is_trained, mark_trained, unwritten
from llmkit.data.targets import Encoded, encode_chats
from llmkit.data.unread import Unread
from llmkit.modeling.coverage import coverage_of
from llmkit.objectives import NextToken
from llmkit.objectives.rows import IGNORED, LEARNED_MARK, Example, LeftOut, RowObjective

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
ROW_NOTES = {
    "empty": "answers are empty: they are read but not learned",
    "tools": "rows have tools, of which the chat template writes nothing",
    "reasoning": "rows have reasoning, of which the chat template writes nothing",
}
"""What is said of rows, see `_noted`."""
FAST_FROM = 64
"""Rows from which a fast encoder wins back the time that it takes to make."""


class SFT(NextToken, RowObjective):
    """Loss on the assistant's tokens only, the end of its turn included.

    A conversation longer than a block is cut at its end; one of which no answer is left is left out.
    """

    rows: ClassVar[tuple[str, ...]] = CONVERSATIONS
    layout: ClassVar[Literal["pack", "pad", "bucket"]] = "pack"
    target: ClassVar[str] = "assistant tokens"
    chats: ClassVar[bool] = True
    notes: ClassVar[Mapping[str, str]] = {**NOTES, **ROW_NOTES}

    train_on: TrainOn = "assistant"
    """What is learned of a conversation: what the `assistant` says, the end of its turns included; the `last` of its
    turns alone; or `all` of it, every token behind the first, as pretraining on chats does. Turns of the weight 0 are
    only read, but with `all`."""

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Example | LeftOut]:
        """Return `input_ids` and `labels` of each conversation; -100 where nothing is learned."""
        from llmkit.modeling.templated import templated_encoder

        conversations = [mark_trained(kind.turns(row) or [], self.train_on) for row in rows]
        fakes = [token is not None for token in literal_specials(tokenizer, conversations)]
        whole = [turns for turns, fake in zip(conversations, fakes, strict=True) if not fake]
        fast = templated_encoder(tokenizer) if len(rows) >= FAST_FROM else None
        encoded = iter(encode_chats(tokenizer, whole, fast))
        found: list[Example | LeftOut] = []
        for turns, fake in zip(conversations, fakes, strict=True):
            if fake:
                found.append(LeftOut("literal_special", "a message holds a special token literally"))
                continue
            made = next(encoded)
            if isinstance(made, DataError):
                found.append(LeftOut("refused", made.message))
            elif self.train_on == "all":
                found.append(_noted(_whole(made, turns, limit), turns, tokenizer))
            elif not any(map(is_trained, turns)) and any(turn["role"] == "assistant" for turn in turns):
                found.append(
                    LeftOut("untrained", "no answer that is to be learned: all are empty or have the weight 0")
                )
            else:
                found.append(_noted(self._example(made, tokenizer, limit), turns, tokenizer))
        return found

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
        cut = ids.size > limit
        if cut:
            ids, labels = ids[:limit], labels[:limit]
            num_bytes = len(tokenizer.decode(labels[labels != IGNORED], skip_special_tokens=True).encode("utf-8"))
            unread = Unread()  # the unknown token is a special one, and has no bytes here
        targets = int((labels != IGNORED).sum())
        if not targets:
            return LeftOut("unsupervised", "no assistant tokens within context_length")
        return Example({"input_ids": ids, "labels": labels}, targets, num_bytes, cut, notes, unread)


def _whole(made: Encoded, turns: Sequence[Turn], limit: int) -> Example | LeftOut:
    """Return an example in which every token is learned that another one precedes."""
    ids = made.ids[:limit]
    if ids.size < 2:
        return LeftOut("unsupervised", "no token to learn behind the first")
    labels = np.append(ids[1:], made.labels[:limit][-1])  # which may be the EOS that no template writes
    num_bytes = sum(len(turn["content"].encode()) for turn in turns)
    targets = int((labels != IGNORED).sum())
    return Example({"input_ids": ids, "labels": labels}, targets, num_bytes, made.ids.size > limit)


def _noted(found: Example | LeftOut, turns: Sequence[Turn], tokenizer: PreTrainedTokenizerFast) -> Example | LeftOut:
    """Add what of a conversation is not learned, or not written, to an example's notes."""
    missing = Counter(unwritten(turns, tokenizer.chat_template))
    missing["empty"] = sum(turn["role"] == "assistant" and is_empty(turn) for turn in turns)
    return replace(found, notes={**found.notes, **+missing}) if +missing and isinstance(found, Example) else found
