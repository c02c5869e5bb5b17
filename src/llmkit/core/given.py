"""Text that a person gives a command: arguments and standard input, which Python lets be no UTF-8."""

from __future__ import annotations

import sys

from llmkit.core.errors import ConfigError


def check_given(text: str, name: str) -> str:
    """Return a text; bytes that are no UTF-8 are lone surrogates in it, which no tokenizer takes.

    Args:
        text: The text.
        name: The argument, as people know it.

    Raises:
        ConfigError: It has some.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{name} is not UTF-8 (character {error.start + 1:,})", _HINT) from None
    return text


def read_stdin() -> str:
    """Return what comes on standard input.

    Raises:
        ConfigError: It is not UTF-8.
    """
    try:
        return check_given(sys.stdin.read(), "stdin")
    except UnicodeDecodeError as error:  # in most locales; in others the bytes come as surrogates
        raise ConfigError(f"stdin is not UTF-8 (byte {error.start + 1:,})", _HINT) from None


_HINT = "iconv -f ENCODING -t UTF-8 FILE writes it in UTF-8"
