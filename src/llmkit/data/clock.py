"""The clock of chat templates, `strftime_now`: what is trained must not depend on the day, so its date is kept.

A run settles the date once, and it is part of the run's identity. It travels with the tokenizer, in
tokenizer_config.json: whatever renders with the tokenizer renders as in training.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator

from llmkit.core.context import Context
from llmkit.core.errors import DataError
from llmkit.core.recorded import recorded

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def _checked(date: str | None) -> str | None:
    if date is not None and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        raise ValueError("a date is YYYY-MM-DD")
    return date and dt.date.fromisoformat(date).isoformat()


Date = Annotated[str | None, AfterValidator(_checked)]
"""A field that holds a date, or none."""
CLOCK = "strftime_now"
"""What templates call, with a format as of `strftime`."""
KEY = "chat_date"
"""Where tokenizer_config.json has the date."""


def today() -> str:
    """Return today's date."""
    return dt.date.today().isoformat()


def has_clock(template: str) -> bool:
    """Return whether a chat template asks for the time."""
    if CLOCK not in template:
        return False
    from jinja2 import Environment, TemplateSyntaxError

    try:
        return any(kind == "name" and value == CLOCK for _, kind, value in Environment().lex(template))  # noqa: S701
    except TemplateSyntaxError:  # said where it is compiled
        return False


def settle_date(given: str | None, context: Context) -> str:
    """Return the date of a run: the given one, else that of the run that it goes on with, else today."""
    if given is not None:
        return given

    def settle() -> dict[str, Any]:
        own = [] if context.resume == "never" else [context.output]  # begun anew, it has a date of its own
        runs = [*own, *(context.checkpoint.parents[1:3] if context.checkpoint else ())]
        return {"date": next((date for run in runs if (date := recorded(run, "date"))), None) or today()}

    return str(context.shared("date", settle)["date"])


def set_date(tokenizer: PreTrainedTokenizerFast, date: str | None) -> None:
    """Set what a tokenizer's template takes for today, or let it take the day that it is."""
    tokenizer.init_kwargs.pop(KEY, None)
    if date is not None:
        tokenizer.init_kwargs[KEY] = date


def date_of(tokenizer: PreTrainedTokenizerFast) -> str | None:
    """Return what a tokenizer's template takes for today; None for the day that it is."""
    date = tokenizer.init_kwargs.get(KEY)
    try:
        return _checked(date) if isinstance(date, str) else None
    except ValueError:
        raise DataError(f"tokenizer_config.json: {KEY} is {date!r}, no date", hint="write YYYY-MM-DD there") from None


def clock(tokenizer: PreTrainedTokenizerFast) -> Callable[[str], str]:
    """Return what `strftime_now` is in a tokenizer's template: midnight of its date."""
    now = dt.datetime.fromisoformat(date_of(tokenizer) or today())
    return now.strftime
