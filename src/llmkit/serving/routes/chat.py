"""`POST /v1/chat/completions`: a conversation is gone on with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llmkit.data.chat import asked_turns
from llmkit.data.rows._values import RowError
from llmkit.serving.bodies import ChatBody
from llmkit.serving.engine import Piece, RefusedError, TokenChance
from llmkit.serving.service import read
from llmkit.serving.texts import Choice, Shape, Texts, check_count, in_thread

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from llmkit.data.chat import Turn
    from llmkit.retrieval import Retriever
    from llmkit.serving.running import RunningEngine
    from llmkit.serving.service import Service
    from llmkit.serving.stream import Stream


class ChatShape(Shape):
    """OpenAI's shape of an answer."""

    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def __init__(self, *, numbers: bool) -> None:
        self.numbers = numbers

    def choice(self, number: int, choice: Choice) -> dict[str, Any]:
        """Return a message."""
        said = {"role": "assistant", "content": choice.text}
        return {
            "index": number, "message": said, "logprobs": self._logprobs(choice.logprobs),
            "finish_reason": choice.finish,
        }  # fmt: skip

    def delta(self, number: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        """Return what a message has grown by."""
        said = {"role": "assistant"} if first else {}
        if piece.text or first:
            said["content"] = piece.text
        return {
            "index": number,
            "delta": said,
            "logprobs": self._logprobs(piece.logprobs),
            "finish_reason": piece.finish,
        }

    def _logprobs(self, found: Sequence[TokenChance]) -> dict[str, Any] | None:
        if not self.numbers:
            return None
        return {"content": [{**_one(each), "top_logprobs": [_one(top) for top in each.top]} for each in found]}


def _one(chance: TokenChance) -> dict[str, Any]:
    return {"token": chance.bytes.decode("utf-8", "replace"), "logprob": chance.logprob, "bytes": list(chance.bytes)}


async def chat(request: Request) -> Response:
    """Answer a conversation."""
    service: Service = request.app.state.service
    body = await read(request, ChatBody, service.limits)
    engine = service.engine(body.model, "chat")
    _check_tools(body.tools or ())
    turns = turns_of(body.messages, None if body.tool_choice == "none" else body.tools)
    citations: list[dict[str, Any]] = []
    if service.documents is not None:
        turns, citations = await in_thread(informed, service.documents, engine, turns, body.numbers()[0])
    streams, size = await in_thread(_begin, engine, body, turns, service.limits.request_s)
    beside = {} if service.documents is None else {"citations": citations}
    texts = Texts(service, request, body.model, streams, ChatShape(numbers=body.logprobs), size, beside)
    return await texts.respond(stream=body.stream, usage=_usage(body))


def informed(
    documents: Retriever, engine: RunningEngine, turns: list[Turn], new: int | None
) -> tuple[list[Turn], list[dict[str, Any]]]:
    """Return a conversation with what goes with its last question before it, as much as there is room for.

    Args:
        documents: What is searched.
        engine: What answers.
        turns: The conversation.
        new: Tokens of the answer; None leaves a quarter of the positions to it.

    Returns:
        The conversation, and the passages by their numbers.
    """
    from llmkit.retrieval import prompt

    asked = next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
    found, room = documents.search(asked), engine.positions
    if room is not None:
        room -= room // 4 if new is None else new
        while found and len(engine.encode(prompt(turns, found))) > room:
            found = found[:-1]
    cited = [
        {
            "n": number, "title": str(one.meta.get("title") or one.file or one.id),
            "source": str(one.meta.get("url") or one.file or one.source), "text": one.text,
        }
        for number, one in enumerate(found, 1)
    ]  # fmt: skip
    return prompt(turns, found), cited


def turns_of(messages: Any, tools: Any) -> list[Turn]:
    """Return a conversation as the template is given it.

    Raises:
        RefusedError: It is none.
    """
    try:
        return asked_turns(messages, tools)
    except RowError as error:
        words = re.sub(r"\.(\d+)", r"[\1]", str(error))
        place = words.split(" ", 1)[0] if words.startswith(("messages", "tools")) else "messages"
        raise RefusedError(place, words) from None


def _check_tools(tools: Sequence[dict[str, Any]]) -> None:
    """Refuse tools that are none: a template would write whatever stands there.

    Raises:
        RefusedError: The first that is none; the field is where.
    """
    for i, tool in enumerate(tools):
        place = f"tools[{i}]"
        if (kind := tool.get("type", "function")) != "function":
            raise RefusedError(f"{place}.type", f"only functions are tools, not {kind!r:.64}")
        if not isinstance(function := tool.get("function"), dict):
            words = "it is missing" if function is None else "it has to be an object with name and parameters"
            raise RefusedError(f"{place}.function", words)
        name, parameters = function.get("name"), function.get("parameters")
        if not isinstance(name, str) or not name.strip():
            words = "it is missing" if name is None else "it has to be a text that is not empty"
            raise RefusedError(f"{place}.function.name", words)
        if parameters is not None and not isinstance(parameters, dict):
            raise RefusedError(f"{place}.function.parameters", "it has to be a JSON schema, an object")


def _begin(engine: RunningEngine, body: ChatBody, turns: Sequence[Turn], limit_s: float) -> tuple[list[Stream], int]:
    most, numbers = body.numbers()
    check_count(engine, 1, body.n)
    ids = engine.encode(turns)
    if "tools" in turns[0] and ids == engine.encode([{**turns[0], "tools": None}, *turns[1:]]):
        raise RefusedError("tools", "the chat template of this model shows no tools")
    asked = [(ids, body.sampling(most, numbers, choice)) for choice in range(body.n)]
    try:
        return engine.submit_all(asked, patience_s=limit_s), len(ids)
    except RefusedError as error:
        place = "messages" if error.field == "prompt" else error.field
        raise RefusedError(place, error.message, error.hint) from None


def _usage(body: ChatBody) -> bool:
    return body.stream_options is not None and body.stream_options.include_usage
