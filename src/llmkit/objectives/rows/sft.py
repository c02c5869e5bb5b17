"""Supervised fine-tuning: predict what the assistant says, or the completion of a prompt (Ouyang et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llmkit.core.errors import DataError
from llmkit.data.borders import borders_of, literal_specials
from llmkit.data.chat import CONVERSATIONS, TrainOn, Turn, is_empty, is_trained, mark_trained
from llmkit.data.targets import Encoded, Part, encode_chats
from llmkit.data.windows import shorter_chats
from llmkit.modeling.coverage import coverage_of
from llmkit.objectives import NextToken
from llmkit.objectives.rows import IGNORED, LEARNED_MARK, LONG, Example, LeftOut, Outcome, RowObjective

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from llmkit.data.packing import EncodedRows
    from llmkit.data.rows import Row

NOTES = {
    "unprompted": "answers are read but not learned: the chat template does not begin them with the prompt that asks",
    "unasked": "answers are read but not learned: nothing is asked before them",
    "altered": "answers are learned as the chat template writes them, not as the data has them",
    "joined": "answers are read but not learned: the tokenizer joins them with the prompt or with what follows",
    "empty": "answers are empty: they are read but not learned",
    "tools": "rows have tools, of which the chat template writes nothing",
    "lost": "exchanges are left out: each is longer than context_length by itself",
    "reasoning": "answers are learned without their reasoning: the chat template does not write it",
}
"""What is said of answers that are not learned as they are, and of rows, by the names in `Encoded.notes`."""
FAST_FROM = 64
"""Rows from which a fast encoder wins back the time that it takes to make."""


class SFT(NextToken, RowObjective):
    """Loss on the assistant's tokens only, the end of its turn included.

    Each answer is learned behind what inference shows before it. Where a template writes earlier turns otherwise once
    more follows, a conversation becomes several examples: as few as that needs, each answer in one of them.
    One longer than a block loses its first exchanges; its last answer and the end of that are never cut.
    """

    rows: ClassVar[tuple[str, ...]] = CONVERSATIONS
    layout: ClassVar[Literal["pack", "pad", "bucket"]] = "pack"
    chats: ClassVar[bool] = True
    notes: ClassVar[Mapping[str, str]] = NOTES
    expands: ClassVar[str] = "the chat template writes earlier turns otherwise once more follows"
    splits: ClassVar[bool] = True

    train_on: TrainOn = "assistant"
    """What is learned of a conversation: what the `assistant` says, the end of its turns included; the `last` of its
    turns alone; or `all` of it, every token behind the first, as pretraining on chats does. Turns of the weight 0 are
    only read, but with `all`."""

    @property
    def target(self) -> str:  # type: ignore[override]
        """What is learned, for people."""
        return "assistant tokens" if self.learns_answers else "tokens"

    @property
    def learns_answers(self) -> bool:
        """Whether what is learned are answers; else what is asked is learned as well."""
        return self.train_on != "all"

    def encode(
        self, rows: Sequence[Mapping[str, Any]], kind: Row, tokenizer: PreTrainedTokenizerFast, limit: int
    ) -> Sequence[Outcome]:
        """Return `input_ids` and `labels` of each conversation; -100 where nothing is learned."""
        from llmkit.modeling.templated import templated_encoder

        conversations = [mark_trained(kind.turns(row) or [], self.train_on) for row in rows]
        fakes = [token is not None for token in literal_specials(tokenizer, conversations)]
        whole = [turns for turns, fake in zip(conversations, fakes, strict=True) if not fake]
        fast = templated_encoder(tokenizer) if len(rows) >= FAST_FROM else None
        encoded = iter(encode_chats(tokenizer, whole, fast))
        found: list[Outcome] = []
        for turns, fake in zip(conversations, fakes, strict=True):
            if fake:
                found.append(LeftOut("literal_special", "a message holds a special token literally"))
                continue
            made = next(encoded)
            if isinstance(made, DataError):
                found.append(LeftOut("refused", made.message))
            elif self.train_on != "all" and _only_untrained(turns):
                found.append(
                    LeftOut("untrained", "no answer that is to be learned: all are empty or have the weight 0")
                )
            else:
                found.append(self._outcome(made, turns, tokenizer, limit))
        return found

    def shorter(
        self, row: Mapping[str, Any], kind: Row, fits: Callable[[Mapping[str, Any]], bool], *, split: bool
    ) -> tuple[Sequence[Mapping[str, Any]], int]:
        """Return the conversation without its first exchanges, or cut between exchanges into several."""
        return shorter_chats(row, kind, fits, split=split and self.train_on != "last")

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
        ids = [*super().end_ids(tokenizer, rows), *borders_of(tokenizer).end_ids]
        return list(dict.fromkeys(ids))

    def _outcome(self, made: Encoded, turns: Sequence[Turn], tokenizer: PreTrainedTokenizerFast, limit: int) -> Outcome:
        parts = made.parts if self.train_on != "all" else (*made.parts[:-1], _whole(made.parts[-1]))
        if any(_needed(part) > limit for part in parts):
            why = f"an answer that does not fit into context_length {limit:,} with its question"
            return LeftOut(LONG, why, max(part.ids.size for part in parts))
        examples = [_example(part, tokenizer, limit) for part in parts]
        if self.train_on == "all":
            examples[-1].num_bytes = sum(len(turn["content"].encode()) for turn in turns)
        found = [example for example in examples if example.targets]
        if not found and "joined" in made.notes and not any(part.answers for part in parts):
            return LeftOut("untaught", "no answer can be learned in the context that inference will show it")
        if not found:
            return LeftOut("unsupervised", f"no {self.target}")
        empty = sum(turn["role"] == "assistant" and is_empty(turn) for turn in turns)
        found[0].notes = {**made.notes, "empty": empty} if empty else made.notes
        return found[0] if len(found) == 1 else found


def _only_untrained(turns: Sequence[Turn]) -> bool:
    """Tell whether there are answers, and none of them is to be learned."""
    said = [turn for turn in turns if turn["role"] == "assistant"]
    return bool(said) and not any(map(is_trained, said))


def _whole(part: Part) -> Part:
    """Return a part in which every token is learned that another one precedes."""
    if part.ids.size < 2:
        return part
    return part._replace(
        labels=np.append(part.ids[1:], part.labels[-1])
    )  # which may be the EOS that no template writes


def _needed(part: Part) -> int:
    """Return how many ids have to be read to learn all that a part teaches: what stands behind is not needed."""
    learned = np.flatnonzero(part.labels != IGNORED)
    return int(learned[-1]) + 1 if learned.size else 0


def _example(part: Part, tokenizer: PreTrainedTokenizerFast, limit: int) -> Example:
    ids, labels = part.ids[:limit], part.labels[:limit]
    said = [answer.content for answer in part.answers]
    num_bytes, unread = sum(len(text.encode()) for text in said), coverage_of(tokenizer).measure(said)
    targets = int((labels != IGNORED).sum())
    return Example({"input_ids": ids, "labels": labels}, targets, num_bytes, unread=unread)
