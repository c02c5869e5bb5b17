"""What a chat template puts around an answer, found by what it writes: how a turn of the assistant begins and ends.

ChatML asks with `<|im_start|>assistant` and a new line, and ends a turn with `<|im_end|>`, the token at which
generation stops. Templates in the wild leave out either: both are mended, in words, before anything is learned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from llmkit.core.errors import DataError
from llmkit.core.json import dumps
from llmkit.data.chat import is_plain, texts_in
from llmkit.data.clock import date_of
from llmkit.data.rendering import Turns, render_all
from llmkit.data.thinking import MARKS, opened

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_QUESTION, _ANSWER, _MORE = "Qone", "Atwo", "Qthree"
"""Contents that no template writes of itself."""
_VALUE = "Vfive"
_CALL = {"id": "Csix12345", "type": "function", "function": {"name": "Fseven", "arguments": {"Aeight": _VALUE}}}
_PARAMETERS = {"type": "object", "properties": {"Aeight": {"type": "string", "description": "Dnine"}}}
_TOOL = {"type": "function", "function": {"name": "Fseven", "description": "Dten", "parameters": _PARAMETERS}}
_THINKING = {mark for pair in MARKS for mark in pair}

_known: WeakKeyDictionary[PreTrainedTokenizerFast, tuple[object, Borders]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Borders:
    """What stands around an answer.

    Attributes:
        ender: Text of the token that ends the assistant's turn; empty where the template writes none, and EOS is
            learned in its place.
        ender_id: Its id, or EOS's; None where there is neither.
        header: What the template writes before an answer but not at the end of a prompt, though it is more than blanks
            and the marks of an empty thought.
        asks: What its prompts end with behind a question.
        lead: What it writes between such a prompt and the answer; None where that does not follow from the prompt.
        tail: All that it writes behind an answer.
        begun: What its prompts end with beside what it writes before an answer, such as `<think>`; empty for nothing.
        call_ender: Text of the token that ends a turn that calls tools: most templates have one for all.
        call_ender_id: Its id, or `ender_id`.
        controls: Texts of the tokens that the template writes around turns: a message that holds one could fake a turn.
    """

    ender: str
    ender_id: int | None
    header: str
    asks: str
    lead: str | None
    tail: str
    begun: str
    call_ender: str
    call_ender_id: int | None
    controls: frozenset[str]

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end answers."""
        return tuple(dict.fromkeys(i for i in (self.ender_id, self.call_ender_id) if i is not None))


def borders_of(tokenizer: PreTrainedTokenizerFast) -> Borders:
    """Return what the tokenizer's template puts around answers, found once.

    Raises:
        DataError: The template fails on every conversation that it is tried with.
    """
    state = (tokenizer.chat_template, date_of(tokenizer), len(tokenizer), tokenizer.eos_token_id)
    known = _known.get(tokenizer)
    if known is None or known[0] != state:
        known = _known[tokenizer] = (state, _find(tokenizer))
    return known[1]


def mend_template(tokenizer: PreTrainedTokenizerFast, say: Callable[[str], None]) -> None:
    """Make the template ask for answers where it does not; say so, and whatever else is learned in another way.

    Raises:
        DataError: No token ends an answer: the template writes none and the tokenizer has no EOS.
    """
    borders = borders_of(tokenizer)
    if borders.header:
        asked = dumps(borders.header)
        own = tokenizer.chat_template.removesuffix("\n")  # which Jinja leaves out at the end alone
        tokenizer.chat_template = own + "{% if add_generation_prompt %}{{ " + asked + " }}{% endif %}"
        say(f"the chat template asks for no answer: prompts now end with {asked}, which it writes before each answer")
        borders = borders_of(tokenizer)
    if borders.begun:
        more = dumps(borders.begun)
        thought = ", with their thinking or an empty thought" if opened(borders.begun) else ""
        say(f"prompts end with {more}, which the chat template does not write before answers: these are learned behind"
            f" it{thought}")  # fmt: skip
    if borders.ender:
        return
    if borders.ender_id is None:
        raise DataError(
            "the chat template ends no turn with a token, and the tokenizer has no EOS: an answer would never end",
            hint="give the tokenizer an eos_token, or a chat_template that ends turns with a token of their own",
        )
    say(f"the chat template ends no turn with a token: {tokenizer.eos_token} is learned as the end of each answer")


def _find(tokenizer: PreTrainedTokenizerFast) -> Borders:
    user, answer, more = (dict[str, Any](role=role, content=text) for role, text in (
        ("user", _QUESTION), ("assistant", _ANSWER), ("user", _MORE),
    ))  # fmt: skip
    system = {"role": "system", "content": "Sfour"}
    error: DataError | None = None
    for first, question in (((), user), ((system,), user), ((), {**user, "tools": [_TOOL]})):
        asked, plain, ended, followed = _rendered(tokenizer, first, question, answer, more)
        if not isinstance(ended, DataError):
            break
        error = error or ended
    else:
        assert error is not None
        raise error
    frame = "".join(text for text in (asked, ended, followed) if isinstance(text, str))
    tail = ended[ended.rfind(_ANSWER) + len(_ANSWER) :]
    asks = asked[asked.rfind(_QUESTION) + len(_QUESTION) :] if isinstance(asked, str) and _QUESTION in asked else ""
    follows = isinstance(asked, str) and ended.startswith(asked)
    lead = ended[len(asked) : ended.rfind(_ANSWER)] if isinstance(asked, str) and follows else None
    ender = _first((token for token in _added(tokenizer) if token not in (lead or "")), tail)
    header = _header(asked, plain, ended) if isinstance(asked, str) and isinstance(plain, str) else ""
    begun = _beside(asked, ended) if isinstance(asked, str) else ""
    controls = {token for token in _added(tokenizer) if token in frame} - _THINKING
    end_id = tokenizer.convert_tokens_to_ids(ender) if ender else tokenizer.eos_token_id
    call_ender = _call_ender(tokenizer, ender, user) if ender else ""
    call_end_id = tokenizer.convert_tokens_to_ids(call_ender) if call_ender else end_id
    own = frozenset({*controls, call_ender} - {""})
    return Borders(ender, end_id, header, asks, lead, tail, begun, call_ender, call_end_id, own)


def _call_ender(tokenizer: PreTrainedTokenizerFast, ender: str, user: dict[str, Any]) -> str:
    """Return the token that ends a turn with calls: that of other answers or EOS, else the first special one behind.

    One that ends each of several calls does not end the turn. Nothing is returned where there is none: EOS is learned.
    """
    for calls in ([_CALL, {**_CALL, "id": "Celeven12"}], [_CALL]):  # some templates write no more than one
        turn = {"role": "assistant", "content": "", "tool_calls": calls}
        (text,) = render_all(tokenizer, [[{**user, "tools": [_TOOL]}, turn]])
        if isinstance(text, str) and _VALUE in text:
            break
    else:
        return ender
    tail = text[text.rindex(_VALUE) + len(_VALUE) :]
    behind = text[text.index(_VALUE) :]
    special = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    known = next((token for token in (ender, tokenizer.eos_token) if token and token in tail), "")
    return known or _first((token for token in special if behind.count(token) == 1), tail)


def _rendered(
    tokenizer: PreTrainedTokenizerFast, first: Sequence[dict[str, Any]], *turns: dict[str, Any]
) -> tuple[str | DataError, str | DataError, str | DataError, str | DataError]:
    """Return the question with a prompt and without, with its answer, and with what may follow."""
    user, answer, more = turns
    (asked,) = render_all(tokenizer, [[*first, user]], prompt=True)
    plain, ended = render_all(tokenizer, [[*first, user], [*first, user, answer]])
    (followed,) = render_all(tokenizer, [[*first, user, answer, more]], prompt=True)
    if isinstance(ended, str) and _ANSWER not in ended:
        ended = DataError(
            "the chat template does not write what the assistant says",
            hint="give the tokenizer another chat_template",
        )
    return asked, plain, ended, followed


def _beside(asked: str, ended: str) -> str:
    """Return what a prompt ends with that the text of its answer does not have."""
    if ended.startswith(asked):
        return ""
    alike = next((i for i, (one, other) in enumerate(zip(asked, ended, strict=False)) if one != other), len(ended))
    common = asked[:alike]
    if "<" in common and ">" not in common[common.rindex("<") :]:
        common = common[: common.rindex("<")]  # the mark that they part in, whole
    return asked[len(common) :].strip()


def _header(asked: str, plain: str, ended: str) -> str:
    """Return what a template that asks for nothing writes before an answer."""
    if not plain.startswith(asked) or not ended.startswith(asked):
        return ""
    header = ended[len(asked) : ended.rfind(_ANSWER)].rstrip(" ")
    for first, last in MARKS:
        header = header.split(first, 1)[0] if last in header else header
    return header if header.strip() else ""


def _added(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the texts of all added and special tokens."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values()]
    return [token for token in dict.fromkeys([*added, *tokenizer.all_special_tokens]) if token.strip()]


def _first(tokens: Iterable[str], text: str) -> str:
    """Return the token that stands first in a text, the longest of several; empty for none."""
    found = [(text.index(token), -len(token), token) for token in tokens if token in text]
    return min(found)[2] if found else ""


def literal_special(tokenizer: PreTrainedTokenizerFast, turns: Turns) -> str | None:
    """Return a token that stands literally in a message though it could fake a turn, if there is one."""
    return next(literal_specials(tokenizer, [turns]))


def literal_specials(tokenizer: PreTrainedTokenizerFast, conversations: Iterable[Turns]) -> Iterator[str | None]:
    """Yield of each conversation a token in a message that could fake a turn, if there is one.

    Special tokens are such, and those that the template writes around turns, whether or not they are marked special.
    """
    tokens = {*tokenizer.all_special_tokens, *(borders_of(tokenizer).controls if tokenizer.chat_template else ())}
    tokens |= {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    longest_first = sorted(filter(None, tokens - _THINKING), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
    normalize = _normalizer(tokenizer)
    for turns in conversations:
        said = [turn["content"] for turn in turns] if is_plain(turns) else [x for turn in turns for x in texts_in(turn)]
        texts = said if normalize is None else [*said, *map(normalize, said)]
        yield next((match[0] for text in texts if (match := pattern.search(text))), None)


def _normalizer(tokenizer: PreTrainedTokenizerFast) -> Callable[[str], str] | None:
    """Return what gives a text as added tokens are looked for in it, where that is another text."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    if normalizer is None or not any(token.normalized for token in tokenizer.added_tokens_decoder.values()):
        return None
    found: Callable[[str], str] = normalizer.normalize_str
    return found
