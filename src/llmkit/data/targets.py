"""Conversations to ids and targets, by ids alone: what is learned begins where the ids of the prompt end.

Characters do not tell: with a Unigram tokenizer a prompt that ends in `Answer: ` and the answer `Paris` share the token
`▁Paris`, which is neither the prompt's nor a continuation of what inference sends. So the ids of each prompt, made as
inference makes them, must begin the row, and each answer's last target is a token at which generation stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.data.borders import Borders, borders_of
from llmkit.data.packing import IGNORED
from llmkit.data.rendering import Turns
from llmkit.data.spoken import Answer, Spoken, find_spoken

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

Ids = NDArray[np.int64]
Fast = Callable[[Sequence[str]], Sequence[tuple[NDArray[Any], NDArray[np.int64]] | None]]
"""Texts to the ids of each and the UTF-8 byte behind each id; None for what is left to the tokenizer."""

PART_CHARACTERS = 2**20
"""Of prompts and parts of them that are encoded at a time: what `tokenizers` tells of each takes a hundred bytes."""
TAIL_BYTES = 64
"""Ends of prompts up to this size are encoded once: most templates write the same one in every conversation."""

_continuing: WeakKeyDictionary[PreTrainedTokenizerFast, Tokenizer] = WeakKeyDictionary()


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


@dataclass(frozen=True, slots=True)
class Encoded:
    """A conversation as ids.

    Attributes:
        ids: `[length]`.
        labels: `[length]`, the target of each position; `IGNORED` where nothing is learned.
        answers: Where the learned answers lie.
        num_rewritten: Answers only read: the template writes them otherwise once more follows.
        num_altered: Answers of which the template does not write all, or writes something else.
        num_joined: Answers only read: a token of theirs reaches into the prompt, or into what follows.
        ends_learned: The last answer is among those that are learned.
    """

    ids: Ids
    labels: Ids
    answers: tuple[Target, ...]
    num_rewritten: int = 0
    num_joined: int = 0
    num_altered: int = 0
    ends_learned: bool = True


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
    found: list[Any] = list(find_spoken(tokenizer, conversations))
    left = [number for number, one in enumerate(found) if isinstance(one, Spoken)]
    if not left:
        return found
    encoder = _Encoder(tokenizer, borders_of(tokenizer), fast, scored=scored)
    spoken = {number: found[number] for number in left}
    sooner = fast([spoken[number].text for number in left]) if fast is not None else [None] * len(left)
    for number, known in zip(left, sooner, strict=True):
        found[number] = encoder.by_bytes(spoken[number], *known) if known is not None else None
    encoder.by_ids([number for number in left if found[number] is None], spoken, found)
    return found


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
        self._is_added = np.zeros(len(tokenizer) + 1, dtype=bool)
        self._is_added[[i for i in tokenizer.added_tokens_decoder if i < self._is_added.size]] = True
        self._tails: dict[bytes, list[int]] = {}

    def by_bytes(self, spoken: Spoken, ids: NDArray[Any], ends: Ids) -> Encoded | None:
        """Encode by the byte behind each id; None where that does not tell, and the ids themselves have to."""
        text, plain = spoken.text, spoken.text.isascii()
        data = text.encode("utf-8", "surrogatepass")
        ids = ids.astype(np.int64)
        added = np.flatnonzero(self._is_added[np.minimum(ids, self._is_added.size - 1)])
        targets = []
        for answer in spoken.answers:
            places = self._places(answer)
            if not plain:
                places = [len(text[:place].encode("utf-8", "surrogatepass")) for place in places]
            firsts = ends.searchsorted(places, "right").tolist()  # tokens that end at or before each place
            if any(place != (ends[first - 1] if first else 0) for place, first in zip(places, firsts, strict=True)):
                return None
            start, end = firsts[:2]
            ended = end == ids.size or ids[end - 1] == self._borders.ender_id
            if not all(self._begins_alike(data, ids, ends, added, at) for at in ((start,) if ended else (start, end))):
                return None
            said, said_end = firsts[2:] or (start, end)
            targets.append(Target(start, said, said_end, end, self._text(text, answer)))
        return self._labelled(ids, targets, spoken)

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

    def by_ids(self, numbers: Sequence[int], spoken: dict[int, Spoken], found: list[Any]) -> None:
        """Encode conversations by the ids of their prompts and parts, into `found`; some of them at a time."""
        settings: Any = {"add_special_tokens": False, "verbose": False}
        part: list[int] = []
        texts: dict[str, None] = {}
        size = 0
        for number in numbers:
            text = spoken[number].text
            places = {place for answer in spoken[number].answers for place in self._places(answer)}
            texts |= dict.fromkeys((text, *(text[:place] for place in places)))
            part.append(number)
            size += len(text) + sum(places)
            if size > PART_CHARACTERS or number == numbers[-1]:
                known = dict(zip(texts, self._tokenizer(list(texts), **settings)["input_ids"], strict=True))
                for one in part:
                    found[one] = self._by_ids(spoken[one], known)
                part, texts, size = [], {}, 0

    def _by_ids(self, spoken: Spoken, known: dict[str, list[int]]) -> Encoded:
        text, whole = spoken.text, known[spoken.text]
        if spoken.answers and not _begins(whole, known[text[: spoken.answers[-1].start]]):
            # What is asked last is what inference goes on from: the answer gets tokens of its own.
            last = spoken.answers[-1]
            whole = known[text[: last.start]] + self._continue(text[last.start : last.end])
        targets = [self._target(whole, text, answer, known) for answer in spoken.answers]
        ids = np.array(whole, dtype=np.int64)
        made = self._labelled(ids, [one for one in targets if one], spoken, sum(one is None for one in targets))
        return replace(made, ends_learned=bool(targets) and targets[-1] is not None)

    def _target(self, whole: list[int], text: str, answer: Answer, known: dict[str, list[int]]) -> Target | None:
        """Return where an answer lies among the ids; None where it shares a token with what is around it."""
        prompt = known[text[: answer.start]]
        if not _begins(whole, prompt):
            return None
        start = len(prompt)
        ended = text[: answer.end].endswith(self._borders.ender) if self._borders.ender else False
        if ended:
            end = next((i + 1 for i in range(start, len(whole)) if whole[i] == self._borders.ender_id), None)
        else:
            end = self._end(whole, known[text[: answer.end]], is_last=answer.end == len(text))
        if end is None:
            return None
        if not self._scored:
            return Target(start, start, end, end, self._text(text, answer))
        said = max(start, min(end, _common(whole, known[text[: answer.said]])))
        said_end, upto = end - ended, known[text[: answer.said_end]]
        if _begins(whole[:said_end], upto):
            said_end = max(said, len(upto))
        return Target(start, said, said_end, end, self._text(text, answer))

    @staticmethod
    def _end(whole: list[int], upto: list[int], *, is_last: bool) -> int | None:
        if is_last:
            return len(whole)
        return len(upto) if _begins(whole, upto) else None

    def _labelled(self, ids: Ids, targets: Sequence[Target], spoken: Spoken, joined: int = 0) -> Encoded:
        labels = np.full(ids.shape, IGNORED, dtype=np.int64)
        stop = self._borders.ender_id
        for target in targets:
            first = max(1, target.start)  # an empty prompt predicts nothing
            labels[first - 1 : target.end - 1] = ids[first : target.end]
            if stop is not None and target.end and ids[target.end - 1] != stop:
                labels[target.end - 1] = stop  # taught where the template writes none: what follows is not read as it
        return Encoded(ids, labels, tuple(targets), spoken.num_rewritten, joined, spoken.num_altered)

    def _continue(self, text: str) -> list[int]:
        """Return the ids of a text that goes on from another one: nothing is put before it."""
        backend = _continuing.get(self._tokenizer)
        if backend is None:
            backend = _continuing[self._tokenizer] = _without_prefix(self._tokenizer)
        ids: list[int] = backend.encode(text, add_special_tokens=False).ids
        return ids


def _begins(ids: Sequence[int], start: Sequence[int]) -> bool:
    return ids[: len(start)] == start


def _common(ids: Sequence[int], others: Sequence[int]) -> int:
    """Return how many ids two sequences begin with alike."""
    pairs = zip(ids, others, strict=False)
    return next((i for i, (one, other) in enumerate(pairs) if one != other), min(len(ids), len(others)))


def _without_prefix(tokenizer: PreTrainedTokenizerFast) -> Tokenizer:
    """Return a tokenizer that puts no blank before a text, as SentencePiece's and others do at its beginning."""
    import json

    from tokenizers import Tokenizer

    def bare(part: Any) -> Any:
        if isinstance(part, list):
            return [bare(one) for one in part if not (isinstance(one, dict) and one.get("type") == "Prepend")]
        if not isinstance(part, dict):
            return part
        changed = {name: bare(value) for name, value in part.items()}
        if "prepend_scheme" in changed:
            changed["prepend_scheme"] = "never"
        if "add_prefix_space" in changed:
            changed["add_prefix_space"] = False
        return changed

    content = json.loads(tokenizer.backend_tokenizer.to_str())
    for section in ("normalizer", "pre_tokenizer"):
        content[section] = bare(content[section])
        if isinstance(content[section], dict) and content[section].get("type") == "Prepend":
            content[section] = None
    backend = Tokenizer.from_str(dumps(content))
    backend.no_padding()
    backend.no_truncation()
    return backend
