"""Conversations to ids and targets, by ids alone: what is learned begins where the ids of the prompt end.

Characters do not tell: with a Unigram tokenizer a prompt that ends in `Answer: ` and the answer `Paris` share the token
`▁Paris`, which is neither the prompt's nor a continuation of what inference sends. So the ids of each prompt, made as
inference makes them, must begin the row, and each answer's last target is a token at which generation stops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmkit.core.errors import DataError
from llmkit.data.borders import Borders, borders_of
from llmkit.data.continuing import continued
from llmkit.data.packing import IGNORED
from llmkit.data.placed import Answer
from llmkit.data.rendering import Turns
from llmkit.data.spoken import View, find_spoken

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Ids = NDArray[np.int64]
Fast = Callable[[Sequence[str]], Sequence[tuple[NDArray[Any], NDArray[np.int64]] | None]]
"""Texts to the ids of each and the UTF-8 byte behind each id; None for what is left to the tokenizer."""

PART_CHARACTERS = 2**20
"""Of prompts and parts of them that are encoded at a time: what `tokenizers` tells of each takes a hundred bytes."""
TAIL_BYTES = 64
"""Ends of prompts up to this size are encoded once: most templates write the same one in every conversation."""


class Target(NamedTuple):
    """One answer, as places among ids.

    Attributes:
        start: Where the prompt ends.
        said: Where the answer itself begins, behind what the template writes before it and behind thinking.
        said_end: Where it ends.
        end: Behind the last id that is learned.
        content: The text of what is learned, without the end of the turn; if scored, of the answer itself.
    """

    start: int
    said: int
    said_end: int
    end: int
    content: str


class Part(NamedTuple):
    """A rendering of a conversation as ids.

    Attributes:
        ids: `[length]`.
        labels: `[length]`, the target of each position; `IGNORED` where nothing is learned.
        answers: Where the learned answers lie.
        joined: Answers only read here: a token of theirs reaches into the prompt, or into what follows.
    """

    ids: Ids
    labels: Ids
    answers: tuple[Target, ...]
    joined: tuple[Answer, ...] = ()


class Encoded(NamedTuple):
    """A conversation as ids.

    Attributes:
        parts: Its renderings: as many as are needed for each answer to be learned behind what inference shows.
        notes: How many answers are not learned, or not as the data has them, by the reason: those of `Spoken`, and
            `joined`, for a token that reaches out of an answer.
    """

    parts: tuple[Part, ...]
    notes: Mapping[str, int]


def encode_chats(
    tokenizer: PreTrainedTokenizerFast,
    conversations: Sequence[Turns],
    fast: Fast | None = None,
    *,
    scored: bool = False,
) -> list[Encoded | DataError]:
    """Encode conversations and mark what the assistant is to learn to say.

    Args:
        tokenizer: The tokenizer, with a template.
        conversations: What to encode.
        fast: Finds the same ids as the tokenizer sooner, where it can.
        scored: Tell the answer itself from what stands around it; else `said` and `said_end` are `start` and `end`.

    Returns:
        The ids and targets of each; or why it cannot be encoded.
    """
    found = find_spoken(tokenizer, conversations)
    views = [view for one in found if not isinstance(one, DataError) for view in one.views]
    if not views:
        return [one for one in found if isinstance(one, DataError)]
    parts = iter(_Encoder(tokenizer, borders_of(tokenizer), fast, scored=scored).encode(views))
    encoded: list[Encoded | DataError] = []
    for one in found:
        if isinstance(one, DataError):
            encoded.append(one)
            continue
        own = [part for _ in one.views for part in next(parts)]
        joined = sum(len(part.joined) for part in own)
        encoded.append(Encoded(tuple(own), {**one.notes, "joined": joined} if joined else one.notes))
    return encoded


class _Encoder:
    """What turns texts with answers into ids with targets.

    Args:
        tokenizer: Whose ids.
        borders: What its template writes around answers.
        fast: Finds the same ids sooner.
        scored: The answer itself is to be told from what stands around it.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, borders: Borders, fast: Fast | None, *, scored: bool
    ) -> None:
        self._tokenizer, self._borders, self._fast, self._scored = tokenizer, borders, fast, scored
        enders = {borders.ender: borders.ender_id, borders.call_ender: borders.call_ender_id}
        self._stops = borders.end_ids
        self._enders = [(text, number) for text, number in enders.items() if text]
        self._is_added = np.zeros(len(tokenizer) + 1, dtype=bool)
        self._is_added[[i for i in tokenizer.added_tokens_decoder if i < self._is_added.size]] = True
        self._tails: dict[bytes, list[int]] = {}

    def encode(self, views: Sequence[View]) -> list[list[Part]]:
        """Return each rendering as ids, and before it those answers of it that need tokens of their own."""
        sooner = self._fast([view.text for view in views]) if self._fast else [None] * len(views)
        known = [self.by_bytes(view, *found) if found else None for view, found in zip(views, sooner, strict=True)]
        others = iter(self.by_ids([view for view, part in zip(views, known, strict=True) if part is None]))
        parts = [part or next(others) for part in known]
        return [self._apart(view, part) for view, part in zip(views, parts, strict=True)]

    def _apart(self, view: View, part: Part) -> list[Part]:
        if not part.joined or len(view.answers) == 1:
            return [part]
        alone = self.by_ids([View(view.text[: answer.end], (answer,)) for answer in part.joined])
        joined = tuple(answer for one in alone for answer in one.joined)
        rest = part._replace(joined=joined)
        found = [one for one in alone if one.answers]
        return [*found, rest] if rest.answers or not found else [*found[:-1], found[-1]._replace(joined=joined)]

    def by_bytes(self, view: View, ids: NDArray[Any], ends: Ids) -> Part | None:
        """Encode by the byte behind each id; None where that does not tell, and the ids themselves have to."""
        text, plain = view.text, view.text.isascii()
        data = text.encode("utf-8", "surrogatepass")
        ids = ids.astype(np.int64)
        added = np.flatnonzero(self._is_added[np.minimum(ids, self._is_added.size - 1)])
        targets = []
        for answer in view.answers:
            places = self._places(answer)
            if not plain:
                places = [len(text[:place].encode("utf-8", "surrogatepass")) for place in places]
            firsts = ends.searchsorted(places, "right").tolist()  # tokens that end at or before each place
            if any(place != (ends[first - 1] if first else 0) for place, first in zip(places, firsts, strict=True)):
                return None
            start, end = firsts[:2]
            ended = end == ids.size or ids[end - 1] in self._stops
            if not all(self._begins_alike(data, ids, ends, added, at) for at in ((start,) if ended else (start, end))):
                return None
            said, said_end = firsts[2:] or (start, end)
            targets.append(Target(start, said, said_end, end, self._text(text, answer)))
        return self._labelled(ids, targets)

    def _text(self, text: str, answer: Answer) -> str:
        """Return the text that the ids stand for: the template may write less than the message, or more."""
        return text[answer.said if self._scored else answer.start : answer.said_end]

    def _places(self, answer: Answer) -> list[int]:
        more = [answer.said, answer.said_end] if self._scored else []
        return [answer.start, answer.end, *more]

    def _begins_alike(self, data: bytes, ids: Ids, ends: Ids, added: Ids, at: int) -> bool:
        """Tell whether the ids before a place are those of the text before it.

        Added tokens, whose places are given, cut the text before anything else does: only what stands behind the last
        of them could differ.
        """
        behind = int(added[place - 1]) + 1 if (place := int(added.searchsorted(at))) else 0
        tail = data[ends[behind - 1] if behind else 0 : ends[at - 1] if at else 0]
        known = self._tails.get(tail)
        if known is None:
            found = self._fast([tail.decode("utf-8", "surrogatepass")])[0] if self._fast and tail else None
            if found is None:
                return not tail
            known = found[0].tolist()
            if len(tail) <= TAIL_BYTES:
                self._tails[tail] = known
        return bool(known == ids[behind:at].tolist())

    def by_ids(self, views: Sequence[View]) -> list[Part]:
        """Encode renderings by the ids of their prompts and parts; some of them at a time."""
        settings: Any = {"add_special_tokens": False, "verbose": False}
        found: list[Part] = []
        some: list[View] = []
        texts: dict[str, None] = {}
        size = 0
        for number, view in enumerate(views, start=1):
            places = {place for answer in view.answers for place in self._places(answer)}
            texts |= dict.fromkeys((view.text, *(view.text[:place] for place in places)))
            some.append(view)
            size += len(view.text) + sum(places)
            if size > PART_CHARACTERS or number == len(views):
                known = dict(zip(texts, self._tokenizer(list(texts), **settings)["input_ids"], strict=True))
                found += (self._by_ids(one, known) for one in some)
                some, texts, size = [], {}, 0
        return found

    def _by_ids(self, view: View, known: dict[str, list[int]]) -> Part:
        text, whole = view.text, known[view.text]
        if view.answers and not _begins(whole, known[text[: view.answers[-1].start]]):
            # What is asked last is what inference goes on from: the answer gets tokens of its own.
            last = view.answers[-1]
            whole = known[text[: last.start]] + continued(self._tokenizer, text[last.start : last.end])
        targets = [self._target(whole, text, answer, known) for answer in view.answers]
        joined = tuple(answer for answer, target in zip(view.answers, targets, strict=True) if target is None)
        return self._labelled(np.array(whole, dtype=np.int64), [one for one in targets if one], joined)

    def _target(self, whole: list[int], text: str, answer: Answer, known: dict[str, list[int]]) -> Target | None:
        """Return where an answer lies among the ids; None where it shares a token with what is around it."""
        prompt = known[text[: answer.start]]
        if not _begins(whole, prompt):
            return None
        start, said_text = len(prompt), text[answer.start : answer.end]
        ender, ender_id = next((one for one in self._enders if said_text.endswith(one[0])), ("", None))
        if ender:
            places = [i + 1 for i in range(start, len(whole)) if whole[i] == ender_id]
            times = said_text.count(ender)
            end = places[times - 1] if times <= len(places) else None
        else:
            end = self._end(whole, known[text[: answer.end]], is_last=answer.end == len(text))
        if end is None:
            return None
        if not self._scored:
            return Target(start, start, end, end, self._text(text, answer))
        said = max(start, min(end, _common(whole, known[text[: answer.said]])))
        said_end, upto = end - bool(ender), known[text[: answer.said_end]]
        if _begins(whole[:said_end], upto):
            said_end = max(said, len(upto))
        return Target(start, said, said_end, end, self._text(text, answer))

    @staticmethod
    def _end(whole: list[int], upto: list[int], *, is_last: bool) -> int | None:
        if is_last:
            return len(whole)
        return len(upto) if _begins(whole, upto) else None

    def _labelled(self, ids: Ids, targets: Sequence[Target], joined: tuple[Answer, ...] = ()) -> Part:
        labels = np.full(ids.shape, IGNORED, dtype=np.int64)
        stop = self._borders.ender_id
        for target in targets:
            first = max(1, target.start)  # an empty prompt predicts nothing
            labels[first - 1 : target.end - 1] = ids[first : target.end]
            if stop is not None and target.end and ids[target.end - 1] not in self._stops:
                labels[target.end - 1] = stop  # taught where the template writes none: what follows is not read as it
        return Part(ids, labels, tuple(targets), joined)


def _begins(ids: Sequence[int], start: Sequence[int]) -> bool:
    return ids[: len(start)] == start


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """Return how many ids two sequences begin with alike."""
    pairs = zip(ids, others, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(others)))
