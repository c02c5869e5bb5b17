"""Choices and answers as rows hold them: lists, objects of labels, JSON in a text; numbers, letters and texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from llmkit.core.json import dumps


class BadRowError(Exception):
    """A row that cannot be asked about; the message goes on from "they"."""


def parsed(text: str) -> Any:
    """Return the choices that a text holds as JSON.

    Raises:
        BadRowError: It is none.
    """
    try:
        return json.loads(text)
    except ValueError:
        raise BadRowError("have choices that are no list") from None


def texts_of(value: Any) -> tuple[list[str], list[str]]:
    """Return the choices and labels of a list, of {text, label} as ARC has it, of {label: text}, or of such dicts."""
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        return _strings(value["text"]), _strings(value.get("label") or [])
    if isinstance(value, Mapping):
        return _strings(value.values()), _strings(value)
    if not isinstance(value, list):
        raise BadRowError("have choices that are no list")
    if value and all(isinstance(one, Mapping) and "text" in one for one in value):
        return _strings(one["text"] for one in value), _strings(one["label"] for one in value if "label" in one)
    return _strings(value), []


def _strings(values: Any) -> list[str]:
    return ["" if value is None else str(value) for value in values]


def permuted(value: Any, order: Sequence[int]) -> Any:
    """Return choices in another order; labels stay where they are."""
    if isinstance(value, str):
        return dumps(permuted(json.loads(value), order))
    if isinstance(value, Mapping) and isinstance(value.get("text"), list):
        return {**value, "text": [value["text"][number] for number in order]}
    if isinstance(value, Mapping):
        texts = list(value.values())
        return {label: texts[number] for label, number in zip(value, order, strict=True)}
    if value and all(isinstance(one, Mapping) for one in value):
        return [{**one, "text": value[number]["text"]} for one, number in zip(value, order, strict=True)]
    return [value[number] for number in order]


def number_of(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> int | None:
    """Return the number of the choice that an answer names; None of one that there is not."""
    if isinstance(answer, bool) or (isinstance(answer, float) and answer.is_integer()):
        answer = int(answer)  # no and yes; a column of numbers with gaps is read as one of floats
    text = str(answer).strip()
    if text in labels:
        return labels.index(text)
    if isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        if len(text) == 1 and text.upper() in ascii_uppercase:
            number = ascii_uppercase.index(text.upper())
            return number if number < len(choices) else None
    if text.isascii() and text.isdigit():
        return int(text) if int(text) < len(choices) else None
    return None
